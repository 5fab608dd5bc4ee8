//! Raft core, applier ↔ snapshotter, and what receives the snapshots of other members → raft core (etcd's msgSnapC).

use raft::{NodeId, SnapshotMeta, Term};
use std::any::Any;
use std::sync::Arc;
use storage::apply::Membership;

/// What the snapshotter is asked.
#[derive(Debug)]
pub enum ToSnapshotter {
    /// Make a checkpoint of the store, under this number.
    Build {
        /// Its number.
        checkpoint: u64,
    },
    /// Send a checkpoint to a member.
    Send(SendSnapshot),
    /// The transfer to this member is of no more use: end it.
    Cancel {
        /// The member.
        to: NodeId,
    },
    /// Nobody else will be sent this checkpoint.
    Forget {
        /// Its number.
        checkpoint: u64,
    },
    /// Raft did not need this store: remove it.
    Discard(StagedStore),
    /// A staged store became the store of this member.
    Installed(Installed),
}

/// A snapshot for a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendSnapshot {
    /// Number of the checkpoint.
    pub checkpoint: u64,
    /// The receiver.
    pub to: NodeId,
    /// Term of the leader that sends it.
    pub term: Term,
}

/// What the snapshotter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotNotice {
    /// A checkpoint was made, or could not be.
    Built {
        /// Its number.
        checkpoint: u64,
        /// What it holds, read from inside it.
        meta: Option<SnapshotMeta>,
    },
    /// A transfer has ended.
    Sent {
        /// The receiver.
        to: NodeId,
        /// The receiver has it, and its raft was told.
        delivered: bool,
    },
}

/// A store that was received from another member, verified and opened.
pub struct StagedStore {
    /// Its place in the log, and the membership there.
    pub meta: SnapshotMeta,
    /// Who the members are there.
    pub membership: Arc<Membership>,
    /// Its running hash, when it is known.
    pub hash: Option<u64>,
    /// Its name, as the store pointer will have it.
    pub name: String,
    /// The write side and its engine: the core and the log carry them to the applier without knowing what they are.
    pub store: Box<dyn Any + Send>,
}

impl std::fmt::Debug for StagedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StagedStore({} at {})", self.name, self.meta.index)
    }
}

/// A store that is ready, and the message of raft that announces it.
#[derive(Debug)]
pub struct SnapshotStaged {
    /// The leader that sent it.
    pub from: NodeId,
    /// Its term.
    pub term: Term,
    /// The store.
    pub staged: StagedStore,
    /// Told once raft was: true, or false when the core could not take it now.
    pub stepped: crossbeam_channel::Sender<bool>,
}

/// The applier has swapped the store.
pub struct Installed {
    /// Name of the new one.
    pub name: String,
    /// Engine of the old one; closed where it is dropped.
    pub retired: Box<dyn Any + Send>,
    /// Whether nobody has the old one open any more.
    pub closed: Box<dyn Fn() -> bool + Send>,
}

impl std::fmt::Debug for Installed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Installed({})", self.name)
    }
}
