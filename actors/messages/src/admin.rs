//! Client → owner: jobs that run one at a time, changes of the membership, a transfer of leadership, and the order that stops a
//! node.

use crate::ids::{SinkId, Token};
use model::{MemberChange, SnapshotFormat};

/// A job of a client that may take minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaintenanceJob {
    /// Open a stream of the whole store for a client, in this format.
    OpenSnapshot(SnapshotFormat),
    /// Give back the space of garbage.
    Defragment,
}

/// Client → maintenance jobs. One job at a time; others wait, and are answered `Busy` when too many do.
#[derive(Clone, Copy, Debug)]
pub struct RunJob {
    /// Where the answer goes.
    pub sink: SinkId,
    /// The call.
    pub token: Token,
    /// What to do.
    pub job: MaintenanceJob,
}

/// Client, kernel → raft core.
#[derive(Clone, Debug)]
pub enum Control {
    /// Change the membership. Answered by `ReplyBody::Applied`, with `Outcome::Members`, once this member would know of the change
    /// after a crash.
    ChangeMembership {
        /// Where the answer goes.
        sink: SinkId,
        /// The call.
        token: Token,
        /// What to change.
        change: MemberChange,
        /// Another member passes it on: if this one does not lead, it is refused.
        forwarded: bool,
    },
    /// Hand leadership to another voter. Answered when it leads.
    MoveLeader {
        /// Where the answer goes.
        sink: SinkId,
        /// The call.
        token: Token,
        /// The voter.
        target: u64,
    },
    /// Describe the state of consensus. Answered by `ReplyBody::RaftDescribed`.
    Describe {
        /// Where the answer goes.
        sink: SinkId,
        /// The call.
        token: Token,
    },
    /// Rebuild the store of this member from the leader's. Answered by `ReplyBody::JobDone` when that is done.
    Rebuild {
        /// Where the answer goes.
        sink: SinkId,
        /// The call.
        token: Token,
    },
    /// This member is about to stop: if it leads, the first of these voters that can lead is to take over.
    HandOver {
        /// Voters, the best one first.
        preferred: Vec<u64>,
        /// Told who leads then. Dropped when nobody can.
        left: crossbeam_channel::Sender<u64>,
    },
    /// Take no more proposals; answer what waits; end.
    Stop,
}

/// The state of consensus as one member sees it, for people: the words are etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftView {
    /// This member.
    pub id: u64,
    /// Latest term seen.
    pub term: u64,
    /// Who got its vote; zero for nobody.
    pub vote: u64,
    /// Highest index known to be committed.
    pub commit: u64,
    /// Zero for none.
    pub leader: u64,
    /// `StateLeader` and so on.
    pub role: &'static str,
    /// Highest index applied.
    pub applied: u64,
    /// Whom leadership is being handed to; zero for nobody.
    pub transferee: u64,
    /// What a leader knows of each member, ascending by id; empty otherwise.
    pub progress: Vec<PeerProgress>,
}

/// What a leader knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    /// The member.
    pub id: u64,
    /// Highest index known to be in its log.
    pub matched: u64,
    /// Index of the next entry that it is sent.
    pub next: u64,
    /// `StateReplicate` and so on.
    pub state: &'static str,
}
