//! `snapshot convert`: a snapshot in the other format, or one of the data folder of a stopped member, ours or etcd's.
//!
//! The file appears under its name when it is whole and on the disk. Must never leave a part behind, nor replace a file.

use crate::cli::SnapshotFormat;
use crate::failure::Failure;
use crate::target::{self, Target, options};
use crate::unpack::{Unpacked, unpack};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::apply::{OpenError, State};
use storage::engine::Engine;
use storage::engine::rocks::{RocksEngine, RocksSnapshot};
use storage::etcd::EtcdSource;
use storage::member::{HeldMember, hold};
use storage::snapshot::{Hash, SnapshotSource, StreamEnd, StreamHeader};
use units::size;

/// How long to wait for a process that has a member open.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the storage of etcd's files is called: that of the newest release this build knows.
const STORAGE_VERSION: &str = "3.7.0";

/// Carries out the command.
///
/// # Errors
/// [`Failure`].
pub fn run(
    paths: &[PathBuf],
    format: SnapshotFormat,
    from_wal_dir: Option<&Path>,
    skip_hash_check: bool,
) -> Result<(), Failure> {
    let [from, to] = paths else {
        return Err(Failure::bad_args(
            "snapshot convert requires exactly two arguments: what to read, and the new file",
        ));
    };
    if to.exists() {
        return Err(Failure::new(format!("{} exists; choose another name, or move this file away", to.display())));
    }
    // beside the new file: there is room for the one if there is for the other
    let beside = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new().prefix(".conclaveutl-").tempdir_in(beside);
    let folder = folder.map_err(|error| Failure::io("make a folder in", beside, &error))?;
    let hash = if skip_hash_check { Hash::Skip } else { Hash::Check };
    let (rows, unpacked, held) = open(from, from_wal_dir, &folder.path().join("store"), hash)?;
    let part = folder.path().join("snapshot");
    let written = write(rows, format, &part)?;
    drop(held);
    std::fs::rename(&part, to).map_err(|error| Failure::io("rename", to, &error))?;
    File::open(beside).and_then(|folder| folder.sync_all()).map_err(|error| Failure::io("sync", beside, &error))?;
    eprintln!(
        "wrote {}: {}, {} keys, revision {}, from {} {} of {}{}",
        to.display(),
        size(written),
        unpacked.keys,
        unpacked.revision,
        unpacked.what,
        from.display(),
        size(unpacked.bytes),
        unpacked.note.map(|note| format!("\nnote: {note}")).unwrap_or_default(),
    );
    Ok(())
}

/// Writes the store of a member that is not running into a file of etcd's. The member may be started again at once.
///
/// # Errors
/// [`Failure`]; the file may be there in part then.
pub fn as_etcds(member: &Path, file: &Path, patience: Duration) -> Result<(), Failure> {
    let opened = target::open(&Target::of(member, None)?, patience)?;
    write(opened.rows, SnapshotFormat::Etcd, file).map(drop)
}

/// The rows of a member that is not running, or those of a file or a folder of etcd's, for which a store is made at `store`.
fn open(
    from: &Path,
    from_wal_dir: Option<&Path>,
    store: &Path,
    hash: Hash,
) -> Result<(RocksSnapshot, Unpacked, Option<HeldMember>), Failure> {
    if let Target::Member(folders) = Target::of(from, from_wal_dir)? {
        let held = hold(&folders, PATIENCE)?;
        let rows = RocksEngine::read_only(&folders.store, &options())?;
        let state = State::read(&rows)?;
        let bytes = state.logical_bytes() as u64;
        let what = "the store of the member";
        let unpacked = Unpacked { revision: state.revision, keys: state.keys as u64, bytes, what, note: None };
        return Ok((rows, unpacked, Some(held)));
    }
    let engine = Arc::new(RocksEngine::open(store, &options())?);
    let unpacked = unpack(from, from_wal_dir, &engine, hash, "reading")?;
    Ok((engine.snapshot(), unpacked, None))
}

/// Writes the file, hash and all, and syncs it. Returns its length.
fn write(rows: RocksSnapshot, format: SnapshotFormat, path: &Path) -> Result<u64, Failure> {
    let fail = |error: &io::Error| Failure::io("write", path, error);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| fail(&error))?;
    let (mut out, mut length, mut failed) = (BufWriter::new(file), 0, None);
    let mut take = |bytes: &[u8]| {
        length += bytes.len() as u64;
        failed = out.write_all(bytes).err();
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let end = match format {
        SnapshotFormat::Etcd => EtcdSource::new(rows, STORAGE_VERSION)?.send(|chunk| take(&chunk))?,
        SnapshotFormat::Conclave => {
            let header = StreamHeader::read(&rows, STORAGE_VERSION)?;
            let source = SnapshotSource::new(rows, &header).map_err(OpenError::from)?;
            source.send(|chunk| take(&chunk))?
        }
    };
    if let StreamEnd::Whole(hash) = end {
        let _ = take(&hash);
    }
    if let Some(error) = failed {
        return Err(fail(&error));
    }
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|error| fail(&error))?;
    Ok(length)
}
