//! `defrag`: rewrites the files of a stopped member's store.

use crate::failure::Failure;
use crate::target::{Target, options};
use std::path::Path;
use std::time::{Duration, Instant};
use storage::engine::Engine;
use storage::engine::rocks::RocksEngine;
use storage::member::hold;
use units::size;

/// Carries out the command.
///
/// # Errors
/// [`Failure`] when there is no such member, or it runs.
pub fn run(data_dir: &Path, wal_dir: Option<&Path>, timeout: Duration) -> Result<(), Failure> {
    let failed =
        |why: Failure| Failure::new(format!("Failed to defragment etcd data[{}] ({})", data_dir.display(), why.text()));
    defrag(data_dir, wal_dir, timeout).map_err(failed)
}

fn defrag(data_dir: &Path, wal_dir: Option<&Path>, timeout: Duration) -> Result<(), Failure> {
    let folders = Target::member(data_dir, wal_dir)?;
    let begun = Instant::now();
    // waits for a process that is ending; RocksDB's own lock is what counts from here on
    drop(hold(&folders, timeout)?);
    let engine = RocksEngine::open(&folders.store, &options())?;
    let before = engine.disk_bytes();
    engine.compact_files(&|| true)?;
    let after = engine.disk_bytes();
    drop(engine);
    let (store, took) = (folders.store.display(), begun.elapsed());
    eprintln!("defragmented {store}: {} before, {} after, took {took:.1?}", size(before), size(after));
    Ok(())
}
