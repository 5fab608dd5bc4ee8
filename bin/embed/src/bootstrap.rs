//! From a data folder to what the actors start with: the part of a start that only a real machine has. Folders and their
//! modes, RocksDB, randomness, the clock. What is on the disk, and in which order, is `storage::boot`'s.

use crate::config::Config;
use crate::disk_monitor::DiskMonitor;
use actors::raft_core::log_tail::LogTail;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use messages::NodeIdentity;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use storage::apply::{Bootstrap, StateMachine};
use storage::boot::{Boot, BootError, MembersOf, Stores};
use storage::disk::space::Space;
use storage::disk::{Disk, OsDisk};
use storage::engine::rocks::{RocksEngine, RocksMemory, RocksOptions};
use storage::engine::{Engine, EngineError};
use storage::member::pointer::is_store_name;
use storage::member::{ClusterError, Folders, RESTORING};
use storage::wal::{Wal, WalConfig};

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The folder cannot be made or read.
    #[error("cannot use data folder {}: {source}; check that it exists, is writable and belongs to this user", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is not a member's yet.
    #[error("{} is left over from a restore that was interrupted; remove the data folder and restore the snapshot again", .0.display())]
    Restoring(PathBuf),
    /// Log and store do not fit together.
    #[error("log and store in {} do not fit together: {why}; restore this member from a snapshot, or remove it from the cluster and add it again", path.display())]
    Mismatch {
        /// The data folder.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// What is in it.
    #[error(transparent)]
    Boot(BootError),
    /// No randomness from the operating system.
    #[error("the operating system gives no random numbers")]
    Random,
}

/// What a member starts with.
pub struct Booted {
    /// Who it is.
    pub identity: NodeIdentity,
    /// The engine.
    pub engine: Arc<RocksEngine>,
    /// Memory that stores of this member share.
    pub memory: RocksMemory,
    /// The write side of the store.
    pub store: StateMachine<RocksEngine>,
    /// Name of the store.
    pub store_name: String,
    /// All stores of this member.
    pub stores: Arc<RocksStores>,
    /// The log.
    pub wal: Wal,
    /// The log's file system.
    pub disk: Arc<dyn Disk>,
    /// The log as the raft core sees it.
    pub tail: LogTail,
    /// Greater than that of every earlier start of this member.
    pub boot_epoch: u64,
    /// Folders.
    pub folders: Folders,
}

/// The stores of a member as RocksDB keeps them: folders beside the log.
pub struct RocksStores {
    member: PathBuf,
    options: RocksOptions,
    memory: RocksMemory,
}

impl Stores for RocksStores {
    type Engine = RocksEngine;

    fn open(&self, name: &str) -> Result<Arc<RocksEngine>, EngineError> {
        Ok(Arc::new(RocksEngine::open_sharing(&self.member.join(name), &self.options, &self.memory)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.member)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| is_store_name(name)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_dir_all(self.member.join(name))
    }
}

/// Whether a member lives in this data folder already. What a first start is told is ignored then.
pub fn holds_member(data_dir: &Path) -> bool {
    Folders::of(data_dir, None).store.exists()
}

/// Opens the member of the data folder, or makes the one that `first` describes. `members_of` is asked when the store cannot be opened and is
/// to be rebuilt. Blocking.
///
/// # Errors
/// [`BootstrapError`], each saying what to do.
pub fn boot(
    config: &Config,
    first: impl FnOnce() -> Result<Bootstrap, ClusterError>,
    members_of: MembersOf<'_>,
) -> Result<Booted, BootstrapError> {
    let folders = Folders::of(&config.data_dir, config.wal_dir.as_deref());
    let restoring = config.data_dir.join(RESTORING);
    if restoring.exists() {
        return Err(BootstrapError::Restoring(restoring));
    }
    for dir in [&config.data_dir, &folders.store] {
        make_private(dir)?;
    }
    DiskMonitor::before_start(&folders.member);
    let options =
        Space::of(&folders.store).map_or_else(|_| RocksOptions::default(), |disk| RocksOptions::on_disk_of(disk.total));
    let budgets = config.budgets();
    let options = options.within(budgets.block_cache, budgets.memtables);
    let memory = RocksMemory::new(&options);
    let stores = Arc::new(RocksStores { member: folders.member.clone(), options, memory: memory.clone() });
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let boot = Boot {
        disk: disk.clone(),
        member: &folders.member,
        wal_dir: &folders.wal,
        stores: stores.as_ref(),
        wal: wal_config(&folders),
        chunk_bytes: budgets.owners.apply_chunk,
        log_id: random()?,
        force_new_cluster: config.force_new_cluster,
        rebuild: config.rebuild.then_some(members_of),
        epoch_floor: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
    };
    let booted = boot.start(first).map_err(|why| match why {
        BootError::Mismatch(why) => BootstrapError::Mismatch { path: config.data_dir.clone(), why },
        BootError::Folder { path, source } => BootstrapError::Folder { path, source },
        why => BootstrapError::Boot(why),
    })?;
    if config.defragment_at_start > 0 {
        defragment(booted.engine.as_ref(), booted.store.view().status.live_bytes, config.defragment_at_start);
    }
    let identity = booted.store.identity();
    Ok(Booted {
        identity: NodeIdentity {
            cluster_id: identity.cluster_id,
            member_id: identity.member_id,
            name: config.name.clone(),
        },
        engine: booted.engine,
        memory,
        store: booted.store,
        store_name: booted.store_name,
        stores,
        wal: booted.wal,
        disk,
        tail: LogTail::new(booted.log),
        boot_epoch: booted.boot_epoch,
        folders,
    })
}

/// Whether rewriting files of this size would free at least `threshold` bytes.
fn is_worth_it(size: u64, in_use: u64, threshold: u64) -> bool {
    size.saturating_sub(in_use) >= threshold
}

/// Rewrites the files of a store when they have so many bytes more than what is in use. It may take minutes, and the member serves
/// nobody meanwhile, as in etcd. One that fails is no reason not to start: nothing was lost.
fn defragment(engine: &RocksEngine, in_use: i64, threshold: u64) {
    let (size, in_use) = (engine.disk_bytes(), u64::try_from(in_use).unwrap_or_default());
    if !is_worth_it(size, in_use, threshold) {
        tracing::info!(
            "current-db-size-bytes" = size,
            "current-db-size-in-use-bytes" = in_use,
            "bootstrap-defrag-threshold-bytes" = threshold,
            "Skipping defragmentation"
        );
        return;
    }
    tracing::info!("current-db-size-bytes" = size, "current-db-size-in-use-bytes" = in_use, "starting defragment");
    let begun = Instant::now();
    match engine.compact_files(&|| true) {
        Ok(()) => {
            let left = engine.disk_bytes();
            tracing::info!("current-db-size-bytes" = left, took = ?begun.elapsed(), "finished defragment");
        }
        Err(why) => {
            tracing::error!(error = %why, "defragmentation failed; the member starts with its files as they are")
        }
    }
}

fn make_private(dir: &Path) -> Result<(), BootstrapError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let failed = |source| BootstrapError::Folder { path: dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mode = std::fs::metadata(dir).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(dir = %dir.display(), mode = format!("{mode:o}"), "data folder is open to other users, etcd and Conclave make it 0700");
    }
    Ok(())
}

/// Sizes of the log's files, by the disk that it lies on, or will.
fn wal_config(folders: &Folders) -> WalConfig {
    let mut dirs = folders.wal.ancestors().filter(|dir| dir.exists());
    let disk = dirs.next().and_then(|dir| Space::of(dir).ok());
    disk.map_or_else(WalConfig::default, |disk| WalConfig::on_disk_of(disk.total))
}

/// A random number from the operating system.
///
/// # Errors
/// When it has none.
pub(crate) fn random() -> Result<u64, BootstrapError> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| BootstrapError::Random)?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rewritten_from_the_threshold_on() {
        assert!(is_worth_it(110, 10, 100));
        assert!(!is_worth_it(109, 10, 100));
        assert!(!is_worth_it(10, 109, 1), "rows that are still in memory take no room in files");
    }
}
