//! `dump-db`: what etcd-dump-db prints of etcd's database, line for line.
//!
//! Must never change a file: the tool of etcd's opens databases for writing.

mod decode;

use crate::cli::DumpDb;
use crate::convert::as_etcds;
use crate::failure::Failure;
use crate::file::open_file;
use crate::print::finish;
use crate::target::Target;
use crate::unpack::etcds_folder;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::etcd::{BoltError, Database, EtcdFolder, Scanned};

/// Rows of the bucket `meta` that differ between members with the same data.
const UNEQUAL: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];
/// Buckets of etcd's: on the page with their names there are no versions.
const BUCKETS: [&str; 10] =
    ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"];

/// Carries out the command.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &DumpDb, patience: Duration) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match command {
        DumpDb::ListBucket { path } => names(&Opened::of(path, patience)?, &mut out)?,
        DumpDb::IterateBucket { path, bucket, limit, decode } => {
            rows(&Opened::of(path, patience)?, bucket, *limit, *decode, &mut out)?;
        }
        DumpDb::ScanKeys { path, start_revision } => scan(&Opened::of(path, patience)?, *start_revision, &mut out)?,
        DumpDb::Hash { path } => {
            let opened = Opened::of(path, patience)?;
            let hash = hash(&opened)?;
            finish(writeln!(out, "db path: {}\nHash: {hash}", opened.path.display()))?;
        }
    }
    finish(out.flush())
}

/// A database to read.
struct Opened {
    path: PathBuf,
    database: Database<File>,
    /// Keeps etcd from being started meanwhile.
    _held: Option<EtcdFolder>,
    /// Where a store of ours was written as one of etcd's.
    _folder: Option<tempfile::TempDir>,
}

impl Opened {
    /// A file, or what lies in a data folder, etcd's or ours.
    fn of(path: &Path, patience: Duration) -> Result<Self, Failure> {
        if !path.is_dir() {
            return Self::file(path.to_owned(), None);
        }
        if !matches!(Target::of(path, None), Ok(Target::Member(_))) {
            let held = etcds_folder(path, None)?;
            let opened = Self::file(held.database().to_owned(), None)?;
            return Ok(Self { _held: Some(held), ..opened });
        }
        let folder = tempfile::Builder::new().prefix("conclaveutl-").tempdir();
        let folder = folder.map_err(|error| Failure::io("make a folder in", &std::env::temp_dir(), &error))?;
        let file = folder.path().join("db");
        as_etcds(path, &file, patience)?;
        Self::file(file, Some(folder))
    }

    fn file(path: PathBuf, folder: Option<tempfile::TempDir>) -> Result<Self, Failure> {
        let (file, _) = open_file(&path)?;
        let database = Database::open(file).map_err(|why| within(&path, &why))?;
        Ok(Self { path, database, _held: None, _folder: folder })
    }

    fn within(&self, why: &BoltError) -> Failure {
        within(&self.path, why)
    }
}

fn within(path: &Path, why: &BoltError) -> Failure {
    Failure::new(why.to_string()).within(path.display())
}

fn names(opened: &Opened, out: &mut impl Write) -> Result<(), Failure> {
    let mut rows = opened.database.rows(&opened.database.root());
    while let Some(row) = rows.next().map_err(|why| opened.within(&why))? {
        if row.bucket.is_some() {
            finish(writeln!(out, "{}", String::from_utf8_lossy(&row.key)))?;
        }
    }
    Ok(())
}

fn rows(opened: &Opened, name: &str, limit: u64, decode: bool, out: &mut impl Write) -> Result<(), Failure> {
    let found = opened.database.bucket(name.as_bytes()).map_err(|why| opened.within(&why))?;
    let bucket = found.ok_or_else(|| Failure::new(format!("got nil bucket for {name}")))?;
    let (mut rows, mut left) = (opened.database.rows_back(&bucket), if limit == 0 { u64::MAX } else { limit });
    while left > 0
        && let Some(row) = rows.next().map_err(|why| opened.within(&why))?
    {
        let line = if decode { decode::row(name, &row.key, &row.value)? } else { decode::plain(&row.key, &row.value) };
        finish(writeln!(out, "{line}"))?;
        left -= 1;
    }
    Ok(())
}

fn scan(opened: &Opened, from: i64, out: &mut impl Write) -> Result<(), Failure> {
    let mut printed = Ok(());
    opened.database.scan(&mut |scanned| {
        match scanned {
            Scanned::Damaged(why) => eprintln!("{why}; going on behind it"),
            Scanned::Row { page, index, count, key, value } => match decode::revision(&key) {
                Some((revision, _)) if from != 0 && revision.main < from => {}
                Some(_) => match decode::row("key", &key, &value) {
                    Ok(line) => printed = writeln!(out, "pageID={page}, index={index}/{}, {line}", count - 1),
                    Err(why) => eprintln!("page {page}, row {index}: {}", why.text()),
                },
                None if BUCKETS.iter().any(|bucket| bucket.as_bytes() == key) => return false,
                None => eprintln!("page {page}, row {index}: the key {} is no revision", units::quote(&key)),
            },
        }
        printed.is_ok()
    });
    finish(printed)
}

/// As etcd's maintenance call `Hash`, without what differs between members.
fn hash(opened: &Opened) -> Result<u32, Failure> {
    let fail = |why: BoltError| opened.within(&why);
    let mut hash = 0;
    let mut buckets = opened.database.rows(&opened.database.root());
    while let Some(found) = buckets.next().map_err(fail)? {
        let (name, Some(bucket)) = (found.key, found.bucket) else { continue };
        hash = crc32c::crc32c_append(hash, &name);
        let mut rows = opened.database.rows(&bucket);
        while let Some(row) = rows.next().map_err(fail)? {
            if !(name == "meta" && UNEQUAL.iter().any(|key| row.key == *key)) {
                hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, &row.key), &row.value);
            }
        }
    }
    Ok(hash)
}
