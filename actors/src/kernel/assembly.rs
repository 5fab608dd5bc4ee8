//! What a node is put together from, and why it may not start. Values only.

use crate::applier::ApplierPace;
use crate::death_watch::ExitCell;
use crate::limits::{COMPACTION_STEP_ROWS, DURABLE_CHECK_ENTRIES, OwnerBudgets};
use crate::maintenance_jobs::OpenEngine;
use crate::raft_core::CoreConfig;
use crate::raft_core::log_tail::LogTail;
use crate::watch_hub::HubConfig;
use messages::peer::ConnectPeers;
use messages::{NodeIdentity, ReplySink, SinkId};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::apply::StateMachine as Store;
use storage::boot::Stores;
use storage::disk::Disk;
use storage::engine::Engine;
use storage::wal::Wal;

/// Sink of the lease manager's own proposals; those of clients follow it.
pub const LEASE_SINK: SinkId = SinkId(0);
/// First sink that the caller of the kernel's start may name.
pub const FIRST_CLIENT_SINK: u32 = 1;

/// What a node is assembled from.
pub struct Assembly<E: Engine> {
    /// Who it is.
    pub identity: NodeIdentity,
    /// Where its end is noted.
    pub exit: ExitCell,
    /// The engine, and how to open a checkpoint of it.
    pub engine: Arc<E>,
    /// Opens a checkpoint.
    pub open: OpenEngine<E>,
    /// The write side of the store.
    pub store: Store<E>,
    /// All stores of the member: another one comes with a snapshot.
    pub stores: Arc<dyn Stores<Engine = E> + Send + Sync>,
    /// Name of the present one.
    pub store_name: String,
    /// The member's folder, in which the store pointer lies.
    pub member: PathBuf,
    /// The log.
    pub wal: Wal,
    /// The log's file system.
    pub disk: Arc<dyn Disk>,
    /// The log as the core sees it.
    pub tail: LogTail,
    /// The core's configuration.
    pub core: CoreConfig,
    /// Length of a tick.
    pub tick: Duration,
    /// The hub's configuration.
    pub hub: HubConfig,
    /// Pause between two compaction steps.
    pub compaction_pause: Duration,
    /// Rows one compaction step may look at; zero for [`COMPACTION_STEP_ROWS`].
    pub compaction_rows: usize,
    /// Pause between two readings of the whole store that look for damage; zero for none.
    pub scrub_interval: Duration,
    /// A list of entries that takes longer to be applied is a warning in the log.
    pub slow_apply: Duration,
    /// How long a simple token lives without being used.
    pub token_ttl: Duration,
    /// Memory of the owners.
    pub budgets: OwnerBudgets,
    /// Gives a defragmentation room where the disk is short of it.
    pub make_room: Box<dyn Fn() + Send>,
    /// Where checkpoints are made.
    pub scratch: PathBuf,
    /// Written into snapshot streams.
    pub server_version: String,
    /// Told to the other members: of what etcd this is the API.
    pub version: [u16; 3],
    /// Makes the peer transport; none for a cluster of one.
    pub connect_peers: Option<ConnectPeers>,
    /// Sinks of clients, in order from [`FIRST_CLIENT_SINK`].
    pub client_sinks: Vec<Arc<dyn ReplySink>>,
}

impl<E: Engine> Assembly<E> {
    /// How much the applier does at once.
    pub(super) fn pace(&self) -> ApplierPace {
        ApplierPace {
            compaction_pause: self.compaction_pause,
            compaction_rows: match self.compaction_rows {
                0 => COMPACTION_STEP_ROWS,
                rows => rows,
            },
            durable_check: DURABLE_CHECK_ENTRIES,
            hub_backlog: self.budgets.hub_backlog,
            oversized_revision: self.budgets.oversized_revision,
            slow_apply: self.slow_apply,
        }
    }
}

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes of this user")]
    Thread(#[from] std::io::Error),
    /// The timing is impossible.
    #[error("raft refuses its configuration: {0}")]
    Raft(#[from] raft::ConfigError),
    /// The store could not be read.
    #[error("cannot read the store: {0}")]
    Store(#[from] model::ReadError),
    /// The members could not be read.
    #[error(transparent)]
    Members(#[from] storage::apply::ApplyFatal),
    /// The peer transport could not be made.
    #[error(transparent)]
    Peers(messages::peer::ConnectError),
}
