//! From a data folder to what the actors start with: a new member, or the one that lives there.
//!
//! Order on disk for a new member: log, then store. So a log without a store is a first start that was interrupted, and is
//! finished; a store without a log is refused, because the store alone may lack what was acknowledged. Must never change a folder that belongs to somebody else.

use crate::config::Config;
use crate::disk_monitor::DiskMonitor;
use actors::raft_core::log_tail::LogTail;
use actors::raft_core::recover::{self, TailError};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use messages::NodeIdentity;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::apply::{self, Applier, Bootstrap, OpenError};
use storage::disk::space::Space;
use storage::disk::{Disk, OsDisk};
use storage::engine::EngineError;
use storage::engine::rocks::{RocksEngine, RocksMemory, RocksOptions};
use storage::member::{ClusterError, Folders, Founders, RESTORING, create_log, founders};
use storage::wal::{ReadError, Recovered, UncheckedWal, Wal, WalConfig, WalError};

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The folder cannot be made or read.
    #[error("cannot use data folder {}: {source}; check that it exists, is writable and belongs to this user", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This member is not in its own initial cluster.
    #[error(transparent)]
    NotInCluster(#[from] ClusterError),
    /// The folder is not a member's yet.
    #[error("{} is left over from a restore that was interrupted; remove the data folder and restore the snapshot again", .0.display())]
    Restoring(PathBuf),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The engine below it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The log, while reading its entries.
    #[error("write-ahead log: {0}")]
    WalRead(#[from] ReadError),
    /// Log and store do not fit together.
    #[error("log and store in {} do not fit together: {why}; restore this member from a snapshot, or remove it from the cluster and add it again", path.display())]
    Mismatch {
        /// The data folder.
        path: PathBuf,
        /// How.
        why: String,
    },
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
    pub store: Applier<RocksEngine>,
    /// The log.
    pub wal: Wal,
    /// The log's file system.
    pub disk: Arc<dyn Disk>,
    /// The log as the raft core sees it.
    pub tail: LogTail,
    /// Applied index of the store.
    pub applied: u64,
    /// Folders.
    pub folders: Folders,
}

/// Opens or makes the member that the configuration describes. Blocking.
///
/// # Errors
/// [`BootstrapError`], each saying what to do.
pub fn boot(config: &Config) -> Result<Booted, BootstrapError> {
    let folders = Folders::of(&config.data_dir, config.wal_dir.as_deref());
    let restoring = config.data_dir.join(RESTORING);
    if restoring.exists() {
        return Err(BootstrapError::Restoring(restoring));
    }
    for dir in [&config.data_dir, &folders.store] {
        make_private(dir)?;
    }
    DiskMonitor::before_start(&folders.member);
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let options =
        Space::of(&folders.store).map_or_else(|_| RocksOptions::default(), |disk| RocksOptions::on_disk_of(disk.total));
    let budgets = config.budgets();
    let options = options.within(budgets.block_cache, budgets.memtables);
    let memory = RocksMemory::new(&options);
    let engine = Arc::new(RocksEngine::open_sharing(&folders.store, &options, &memory)?);
    let (wal, recovered, store) = match Applier::open(engine.clone()) {
        Ok(store) => {
            let (wal, recovered) = open_wal(&disk, &folders, config, store.identity())?;
            (wal, recovered, store)
        }
        Err(OpenError::Empty) => found(&disk, &folders, config, engine.clone())?,
        Err(why) => return Err(why.into()),
    };
    let identity = store.identity();
    let applied = store.applied();
    let tail = tail(&wal, &recovered, &store, config)?;
    Ok(Booted {
        identity: NodeIdentity {
            cluster_id: identity.cluster_id,
            member_id: identity.member_id,
            name: config.name.clone(),
        },
        engine,
        memory,
        store,
        wal,
        disk,
        tail,
        applied: applied.index,
        folders,
    })
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

/// Makes a new member, log first: a log without a store is a first start that was interrupted, a store without a log has
/// lost what only the log holds.
fn found(
    disk: &Arc<dyn Disk>,
    folders: &Folders,
    config: &Config,
    engine: Arc<RocksEngine>,
) -> Result<(Wal, Recovered, Applier<RocksEngine>), BootstrapError> {
    let first = founders(Founders {
        cluster: &config.initial_cluster,
        token: &config.initial_cluster_token,
        name: &config.name,
    })?;
    let (wal, recovered) = match open_wal(disk, folders, config, first.identity) {
        Err(BootstrapError::Mismatch { .. }) => create_wal(disk, folders, &first)?,
        opened => opened?,
    };
    if recovered.truncated != first.applied {
        let why = format!("the log begins behind entry {} and there is no store", recovered.truncated.index);
        return Err(BootstrapError::Mismatch { path: config.data_dir.clone(), why });
    }
    let identity = first.identity;
    let store = Applier::bootstrap(engine, &first)?;
    tracing::info!(
        "local-member-id" = format!("{:x}", identity.member_id),
        "cluster-id" = format!("{:x}", identity.cluster_id),
        "made a new member"
    );
    Ok((wal, recovered, store))
}

/// Sizes of the log's files, by the disk that it lies on, or will.
fn wal_config(folders: &Folders) -> WalConfig {
    let mut dirs = folders.wal.ancestors().filter(|dir| dir.exists());
    let disk = dirs.next().and_then(|dir| Space::of(dir).ok());
    disk.map_or_else(WalConfig::default, |disk| WalConfig::on_disk_of(disk.total))
}

/// Opens the log of a member that has one.
fn open_wal(
    disk: &Arc<dyn Disk>,
    folders: &Folders,
    config: &Config,
    identity: apply::Identity,
) -> Result<(Wal, Recovered), BootstrapError> {
    let unchecked = match UncheckedWal::open(disk.clone(), &folders.wal, wal_config(folders)) {
        Err(WalError::Missing { .. }) => {
            let why = format!("there is no log in {}; is its disk mounted, is --wal-dir right?", folders.wal.display());
            return Err(BootstrapError::Mismatch { path: config.data_dir.clone(), why });
        }
        opened => opened?,
    };
    unchecked.expect(identity.cluster_id, identity.member_id)?;
    let (wal, recovered) = unchecked.recover()?;
    if let Some(cut) = &recovered.cut {
        tracing::warn!(file = %cut.file.display(), offset = cut.offset, "cut a torn, never acknowledged write off the log");
    }
    Ok((wal, recovered))
}

fn create_wal(disk: &Arc<dyn Disk>, folders: &Folders, first: &Bootstrap) -> Result<(Wal, Recovered), BootstrapError> {
    let at = first.applied;
    let (wal, meta, hard_state) = create_log(disk.clone(), &folders.wal, wal_config(folders), first, random()?)?;
    sync_parents(disk.as_ref(), &folders.wal)?;
    Ok((wal, Recovered { meta, hard_state, truncated: at, last: at, ..Recovered::default() }))
}

/// Makes the names of new folders durable, up to the first one that is not ours.
fn sync_parents(disk: &dyn Disk, dir: &Path) -> Result<(), BootstrapError> {
    for parent in dir.ancestors().skip(1).take(3).filter(|p| !p.as_os_str().is_empty()) {
        disk.sync_dir(parent).map_err(|source| BootstrapError::Folder { path: parent.to_owned(), source })?;
    }
    Ok(())
}

/// The log as the core reads it.
fn tail(
    wal: &Wal,
    recovered: &Recovered,
    store: &Applier<RocksEngine>,
    config: &Config,
) -> Result<LogTail, BootstrapError> {
    recover::tail(wal, recovered, store.conf_state().clone(), store.applied()).map_err(|why| match why {
        TailError::Mismatch(why) => BootstrapError::Mismatch { path: config.data_dir.clone(), why },
        TailError::Read(why) => why.into(),
    })
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
