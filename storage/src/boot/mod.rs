//! From a data folder to what the owners start with: one path for the daemon, the embedded node and the simulator, generic
//! over disk and engine.
//!
//! 1. The store pointer says which store is the current one.
//! 2. Store and log are opened, or made: the log first, then the store. So a log without a store is a first start that was
//!    interrupted, and is finished; a store without a log is refused, because the store alone may lack what was acknowledged.
//! 3. An install that was begun is finished: pointer, then log.
//! 4. The boot epoch is counted up, durably, before anybody is told it.
//! 5. Log and store are held against each other, and what the store has not applied is loaded.
//! 6. A store that cannot be opened is refused, or, when it is to be rebuilt from the leader's, an empty one takes its place (`stand_in`).
//! 7. With `--force-new-cluster` the member becomes the only one of its cluster.
//!
//! Must never change a folder that belongs to somebody else, and never guess where the parts do not fit together.

mod epoch;
mod force_new;
mod log;
mod stand_in;

#[cfg(test)]
mod boot_tests;

pub use epoch::{EPOCH_FILE, EpochError};
pub use log::LogStart;
pub use stand_in::MembersOf;

use crate::apply::{Bootstrap, OpenError, StateMachine};
use crate::disk::Disk;
use crate::engine::{Engine, EngineError};
use crate::member::pointer::{self, FIRST_STORE, PointerError};
use crate::member::{ClusterError, create_log};
use crate::wal::{Install, ReadError, Recovered, UncheckedWal, Wal, WalConfig, WalError};
use raft::LogId;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a member cannot start from its folder.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// This member is not in its own initial cluster.
    #[error(transparent)]
    NotInCluster(#[from] ClusterError),
    /// The store pointer.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// The boot epoch.
    #[error(transparent)]
    Epoch(#[from] EpochError),
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
    /// Log and store do not fit together: how.
    #[error("log and store do not fit together: {0}")]
    Mismatch(String),
    /// A folder cannot be made durable.
    #[error("cannot use folder {}: {source}; check that it exists, is writable and belongs to this user", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The stores of a member, by name. A member has one, and a second one while a snapshot is staged.
pub trait Stores {
    /// What they are kept in.
    type Engine: Engine;

    /// Opens the store of this name, an empty one if there is none.
    ///
    /// # Errors
    /// [`EngineError`].
    fn open(&self, name: &str) -> Result<Arc<Self::Engine>, EngineError>;

    /// Names of the stores that are there.
    ///
    /// # Errors
    /// In the system's words.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a store that nobody has open.
    ///
    /// # Errors
    /// In the system's words.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// What a start is told.
pub struct Boot<'a, S: Stores> {
    /// File system of log, pointer and epoch.
    pub disk: Arc<dyn Disk>,
    /// The member's folder: pointer, epoch, stores.
    pub member: &'a Path,
    /// The folder of the log.
    pub wal_dir: &'a Path,
    /// The stores.
    pub stores: &'a S,
    /// Sizes of the log.
    pub wal: WalConfig,
    /// Effects of one batch of the store, [`crate::apply::CHUNK_BYTES`] but in tests.
    pub chunk_bytes: usize,
    /// A random number: the id of the log, should one be made.
    pub log_id: u64,
    /// Make a cluster of this member alone, whoever was in it. Ignored at a first start, as in etcd.
    pub force_new_cluster: bool,
    /// The store is to be rebuilt from the leader's, whether it opens or not: says who the members are. Ignored at a first start.
    pub rebuild: Option<MembersOf<'a>>,
    /// Least boot epoch: seconds of the clock, so that a folder that was set back to an older copy counts on.
    pub epoch_floor: u64,
}

/// What the owners start with.
pub struct Booted<E: Engine> {
    /// The write side of the store.
    pub store: StateMachine<E>,
    /// Its engine.
    pub engine: Arc<E>,
    /// Name of the store.
    pub store_name: String,
    /// The log.
    pub wal: Wal,
    /// What the log said.
    pub recovered: Recovered,
    /// The log as the raft core starts with it.
    pub log: LogStart,
    /// Greater than that of every earlier start.
    pub boot_epoch: u64,
}

/// What the store pointer leads to.
enum Present<E: Engine> {
    Store(Box<Opened<E>>),
    /// Nothing was ever written there.
    Empty(String, Arc<E>),
}

/// A store that is open.
struct Opened<E: Engine> {
    name: String,
    engine: Arc<E>,
    store: StateMachine<E>,
}

impl<S: Stores> Boot<'_, S> {
    /// Opens the member, or makes the one that `first` describes. Blocking.
    ///
    /// # Errors
    /// [`BootError`], each saying what to do.
    pub fn start(
        self,
        first: impl FnOnce() -> Result<Bootstrap, ClusterError>,
    ) -> Result<Booted<S::Engine>, BootError> {
        let name = pointer::read(self.disk.as_ref(), self.member)?;
        let mut is_new = false;
        let (mut wal, mut recovered, mut opened) = match self.open_present(name) {
            Ok(Present::Store(opened)) => {
                let identity = opened.store.identity();
                let (wal, recovered) = self.open_wal(identity.cluster_id, identity.member_id)?;
                (wal, recovered, *opened)
            }
            Ok(Present::Empty(name, engine)) => {
                is_new = true;
                self.found(name, engine, &first()?)?
            }
            Err(why) => self.stand_in(why)?,
        };
        if let Some(install) = recovered.install.take() {
            opened = self.finish_install(opened, &install)?;
            wal.finish_install()?;
            let at = LogId { term: install.meta.term, index: install.meta.index };
            recovered.hard_state.commit = recovered.hard_state.commit.max(at.index);
            recovered.truncated = at;
            recovered.last = at;
            recovered.terms.clear();
        }
        if !stand_in::is_one(&opened.name) {
            self.remove_others(&opened.name);
        }
        let floor = self.epoch_floor;
        let boot_epoch = epoch::count_up(self.disk.as_ref(), self.member, floor)?;
        let Opened { name: store_name, engine, mut store } = opened;
        let mut log = LogStart::read(&wal, &recovered, store.conf_state().clone(), store.applied())?;
        if self.force_new_cluster && !is_new {
            force_new::empty_changes(&mut wal, &mut log)?;
            store = force_new::take_over(store, &engine, self.chunk_bytes)?;
            log.conf_state = store.conf_state().clone();
        }
        Ok(Booted { store, engine, store_name, wal, recovered, log, boot_epoch })
    }

    /// Opens the store of this name.
    fn open_present(&self, name: String) -> Result<Present<S::Engine>, BootError> {
        let engine = self.stores.open(&name)?;
        match StateMachine::open_with(engine.clone(), self.chunk_bytes) {
            Ok(store) => Ok(Present::Store(Box::new(Opened { name, engine, store }))),
            Err(OpenError::Empty) if name != FIRST_STORE => {
                Err(BootError::Mismatch(format!("the store {name}, which the store pointer names, is not there")))
            }
            Err(OpenError::Empty) => Ok(Present::Empty(name, engine)),
            Err(why) => Err(why.into()),
        }
    }

    /// Opens the log of a member that has one.
    fn open_wal(&self, cluster: u64, member: u64) -> Result<(Wal, Recovered), BootError> {
        let unchecked = self.open_unchecked()?;
        unchecked.expect(cluster, member)?;
        recover(unchecked)
    }

    fn open_unchecked(&self) -> Result<UncheckedWal, BootError> {
        let dir = self.wal_dir;
        match UncheckedWal::open(self.disk.clone(), dir, self.wal) {
            Err(WalError::Missing { .. }) => {
                let why = format!("there is no log in {}; is its disk mounted, is --wal-dir right?", dir.display());
                Err(BootError::Mismatch(why))
            }
            opened => Ok(opened?),
        }
    }

    /// Makes a new member, log first.
    fn found(
        &self,
        name: String,
        engine: Arc<S::Engine>,
        first: &Bootstrap,
    ) -> Result<(Wal, Recovered, Opened<S::Engine>), BootError> {
        let identity = first.identity;
        let (wal, recovered) = match self.open_wal(identity.cluster_id, identity.member_id) {
            Err(BootError::Mismatch(_)) => self.create_wal(first)?,
            opened => opened?,
        };
        if recovered.truncated != first.applied {
            let why = format!("the log begins behind entry {} and there is no store", recovered.truncated.index);
            return Err(BootError::Mismatch(why));
        }
        crate::apply::bootstrap(engine.as_ref(), first)?;
        let store = StateMachine::open_with(engine.clone(), self.chunk_bytes)?;
        tracing::info!(
            "local-member-id" = format!("{:x}", identity.member_id),
            "cluster-id" = format!("{:x}", identity.cluster_id),
            "made a new member"
        );
        Ok((wal, recovered, Opened { name, engine, store }))
    }

    fn create_wal(&self, first: &Bootstrap) -> Result<(Wal, Recovered), BootError> {
        let at = first.applied;
        let dir = self.wal_dir;
        let (wal, meta, hard_state) = create_log(self.disk.clone(), dir, self.wal, first, self.log_id)?;
        // names of new folders, up to the first one that is not ours
        for parent in dir.ancestors().skip(1).take(3).filter(|p| !p.as_os_str().is_empty()) {
            self.sync_dir(parent)?;
        }
        Ok((wal, Recovered { meta, hard_state, truncated: at, last: at, ..Recovered::default() }))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), BootError> {
        self.disk.sync_dir(dir).map_err(|source| BootError::Folder { path: dir.to_owned(), source })
    }

    /// The log says that a staged store, which was verified before that was written, replaces the present one.
    fn finish_install(&self, present: Opened<S::Engine>, install: &Install) -> Result<Opened<S::Engine>, BootError> {
        if present.name == install.store {
            return Ok(present);
        }
        let identity = present.store.identity();
        drop(present);
        let mismatch = |why: String| BootError::Mismatch(format!("the installed snapshot {}: {why}", install.store));
        if !pointer::is_store_name(&install.store)
            || !self.stores.list().is_ok_and(|names| names.contains(&install.store))
        {
            return Err(mismatch("there is no such store".to_owned()));
        }
        let engine = self.stores.open(&install.store)?;
        let store = StateMachine::open_with(engine.clone(), self.chunk_bytes)?;
        if store.identity() != identity || store.applied().index != install.meta.index {
            return Err(mismatch(format!("it is at entry {} of {:?}", store.applied().index, store.identity())));
        }
        pointer::write(self.disk.as_ref(), self.member, &install.store)?;
        tracing::info!(store = install.store, index = install.meta.index, "finished the install of a snapshot");
        Ok(Opened { name: install.store.clone(), engine, store })
    }

    /// Removes what installs and transfers that were given up have left. It is only room.
    fn remove_others(&self, current: &str) {
        for name in self.stores.list().unwrap_or_default() {
            if name != current
                && let Err(why) = self.stores.remove(&name)
            {
                tracing::warn!(store = name, error = %why, "cannot remove a store that is not used any more");
            }
        }
    }
}

/// Checks a log and cuts a torn tail off it.
fn recover(unchecked: UncheckedWal) -> Result<(Wal, Recovered), BootError> {
    let (wal, recovered) = unchecked.recover()?;
    if let Some(cut) = &recovered.cut {
        tracing::warn!(file = %cut.file.display(), offset = cut.offset, "cut a torn, never acknowledged write off the log");
    }
    Ok((wal, recovered))
}
