//! The replicated state: what every member has once it has applied the same entries.
//!
//! Must never depend on anything but the entries, in their order: no clock, no randomness, no file.

use raft::{ConfState, NodeId, Snapshot, SnapshotMeta};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Keys, and who the members are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Values by key.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// URLs by member.
    pub members: BTreeMap<NodeId, String>,
    /// Ids that were used and must not be used again: a member that comes back with an empty disk has forgotten its votes.
    pub removed: BTreeSet<NodeId>,
}

/// What the entries of the log say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Drawn by the member that proposed it, which finds its client by it.
    pub request: u64,
    /// Key.
    pub key: String,
    /// Value.
    pub value: Vec<u8>,
}

/// What a change of the membership carries beside the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeContext {
    /// As in [`Put`].
    pub request: u64,
    /// URL of a new member.
    pub url: Option<String>,
}

impl State {
    /// What the members of a new cluster start from. They compute it on their own, so it must follow from the command line.
    pub fn founding(cluster: &BTreeMap<NodeId, String>) -> Self {
        Self { members: cluster.clone(), ..Self::default() }
    }

    /// The founding state as a snapshot: as if a first entry had made it. The log of every founder begins behind it.
    pub fn snapshot_of_founders(&self) -> Snapshot {
        let voters = self.members.keys().copied().collect();
        let conf_state = ConfState { voters, ..ConfState::default() };
        self.snapshot(SnapshotMeta { conf_state, index: 1, term: 1 })
    }

    /// This state at a place in the log.
    pub fn snapshot(&self, meta: SnapshotMeta) -> Snapshot {
        let data = postcard::to_stdvec(self).expect("a state is always written: it goes to memory");
        Snapshot { meta, data: data.into() }
    }

    /// The state in a snapshot.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_snapshot(snapshot: &Snapshot) -> Result<Self, postcard::Error> {
        postcard::from_bytes(&snapshot.data)
    }
}
