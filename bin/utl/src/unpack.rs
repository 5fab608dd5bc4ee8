//! A store out of what a path names: a snapshot file of ours or of etcd's, a database of etcd's, or a data folder of etcd's.
//!
//! Must never write to what it was given, nor take a file whose hash is wrong unless it is told to.

use crate::failure::Failure;
use crate::file::open_file;
use crate::progress::{Meter, Metered, Unit};
use aws_lc_rs::digest;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use storage::apply::MemberIds;
use storage::engine::rocks::RocksEngine;
use storage::etcd::{Database, EtcdFolder, Imported, import};
use storage::snapshot::{HASH_BYTES, Hash, restore};

/// What a file of bbolt's has behind the head of its first page.
const BBOLT_MAGIC: [u8; 4] = 0xed0c_daed_u32.to_le_bytes();
/// Where that stands in the page.
const BBOLT_MAGIC_AT: u64 = 16;
/// Sizes that its pages may have, as powers of two.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 10..=24;
/// A snapshot of etcd's is pages and a hash: its length says whether the hash is there.
const SECTOR: u64 = 512;
/// Bytes hashed at once.
const PIECE: usize = 256 << 10;

/// What a store was made of.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Its revision.
    pub revision: i64,
    /// Living keys.
    pub keys: u64,
    /// Bytes of what was read, without a hash.
    pub bytes: u64,
    /// What that was, for people.
    pub what: &'static str,
    /// What there is to say besides.
    pub note: Option<String>,
}

/// Whether a file is a database of etcd's, or a snapshot, which is one with a hash behind it. One of its two first pages is enough:
/// what is wrong with the other one is told later.
///
/// # Errors
/// [`Failure`] when it cannot be read.
pub fn is_etcds(path: &Path) -> Result<bool, Failure> {
    let (file, _) = open_file(path)?;
    // the second page is where pages of any size would have it
    let pages = std::iter::once(0).chain(PAGE_SIZES.map(|power| 1 << power));
    for page in pages {
        let mut magic = [0; BBOLT_MAGIC.len()];
        match file.read_exact_at(&mut magic, page + BBOLT_MAGIC_AT) {
            Ok(()) if magic == BBOLT_MAGIC => return Ok(true),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(Failure::io("read", path, &error)),
        }
    }
    Ok(false)
}

/// Fills an empty store from a path, with a line on the terminal meanwhile that begins with `doing`.
///
/// # Errors
/// [`Failure`], naming the path.
pub fn unpack(
    path: &Path,
    wal_dir: Option<&Path>,
    engine: &Arc<RocksEngine>,
    hash: Hash,
    doing: &'static str,
) -> Result<Unpacked, Failure> {
    if path.is_dir() {
        return folder(path, wal_dir, engine, doing);
    }
    if let Some(wal_dir) = wal_dir {
        let shown = wal_dir.display();
        return Err(Failure::bad_args(format!("{shown} is not needed: a snapshot file has no log beside it")));
    }
    if is_etcds(path)? {
        return etcds_file(path, engine, hash, doing);
    }
    let (file, bytes) = open_file(path)?;
    let mut meter = Meter::new(doing, Unit::Bytes, Some(bytes));
    let summary = restore(Metered::new(file, &mut meter), engine.as_ref(), hash);
    drop(meter);
    let summary = summary.map_err(|why| Failure::from(why).within(path.display()))?;
    let (revision, keys, bytes) = (summary.header.revision, summary.keys(), summary.bytes);
    Ok(Unpacked { revision, keys, bytes, what: "snapshot", note: None })
}

fn of_etcd(imported: &Imported, bytes: u64, what: &'static str) -> Unpacked {
    let state = &imported.state;
    Unpacked { revision: state.revision, keys: state.keys as u64, bytes, what, note: None }
}

/// A snapshot of etcd's, or a database that was copied from a data folder.
fn etcds_file(path: &Path, engine: &Arc<RocksEngine>, hash: Hash, doing: &'static str) -> Result<Unpacked, Failure> {
    let (mut file, length) = open_file(path)?;
    if hash == Hash::Check {
        check_hash(path, &mut file, length)?;
    }
    let within = |why: Failure| why.within(path.display());
    let database = Database::open(file).map_err(|why| within(Failure::new(why.to_string())))?;
    let bytes = database.bytes();
    let mut meter = Meter::new(doing, Unit::Bytes, Some(bytes));
    // whose it is, the file does not say
    let nobody = MemberIds { cluster_id: 0, member_id: 0 };
    let imported = import(&database, engine.as_ref(), nobody, &mut |bytes| meter.at(bytes));
    drop(meter);
    let imported = imported.map_err(|why| within(why.into()))?;
    Ok(of_etcd(&imported, bytes, "etcd's snapshot"))
}

/// Compares the hash behind a snapshot of etcd's with its bytes; the texts are etcdutl's.
fn check_hash(path: &Path, file: &mut File, length: u64) -> Result<(), Failure> {
    if length % SECTOR != HASH_BYTES as u64 {
        return Err(Failure::new("snapshot missing hash but --skip-hash-check=false"));
    }
    let fail = |error| Failure::io("read", path, &error);
    let mut meter = Meter::new("hashing", Unit::Bytes, Some(length));
    let mut rest = Metered::new(file.take(length - HASH_BYTES as u64), &mut meter);
    let (mut context, mut piece) = (digest::Context::new(&digest::SHA256), vec![0; PIECE]);
    loop {
        match rest.read(&mut piece).map_err(fail)? {
            0 => break,
            read => context.update(&piece[..read]),
        }
    }
    drop(meter);
    let mut said = [0; HASH_BYTES];
    file.read_exact(&mut said).map_err(fail)?;
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let computed = context.finish();
    match computed.as_ref() == said {
        true => Ok(()),
        false => {
            let go = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
            let (said, computed) = (go(&said), go(computed.as_ref()));
            Err(Failure::new(format!("expected sha256 [{said}], got [{computed}]")))
        }
    }
}

/// A data folder of etcd's.
fn folder(
    path: &Path,
    wal_dir: Option<&Path>,
    engine: &Arc<RocksEngine>,
    doing: &'static str,
) -> Result<Unpacked, Failure> {
    let etcds = etcds_folder(path, wal_dir)?;
    let bytes = etcds.bytes()?;
    let mut meter = Meter::new(doing, Unit::Bytes, Some(bytes));
    let filled = etcds.fill(engine, &mut |bytes| meter.at(bytes));
    drop(meter);
    let (imported, replayed) = filled.map_err(|why| Failure::from(why).within(path.display()))?;
    let state = storage::apply::State::read(&storage::engine::Engine::snapshot(engine.as_ref()))?;
    let mut note = format!("{} entries of etcd's log were applied", replayed.entries);
    if replayed.uncommitted > 0 {
        note += &format!(
            "; {} behind them were left out, because this member does not know whether they are committed: another one may hold more",
            replayed.uncommitted
        );
    }
    let keys = state.keys as u64;
    Ok(Unpacked { revision: state.revision, keys, note: Some(note), ..of_etcd(&imported, bytes, "etcd's data folder") })
}

/// The data folder of etcd's at a path.
///
/// # Errors
/// [`Failure`] when it is none, or etcd has it open.
pub fn etcds_folder(path: &Path, wal_dir: Option<&Path>) -> Result<EtcdFolder, Failure> {
    let found = EtcdFolder::find(path, wal_dir)?;
    found.ok_or_else(|| Failure::new(storage::etcd::EtcdError::NoFolder(path.to_owned()).to_string()))
}
