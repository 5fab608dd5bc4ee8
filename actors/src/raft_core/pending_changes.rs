//! Changes of the membership between their client and its answer, and how much of the log's commit is durable. Values only.
//!
//! Must never decide anything: `changes` does.

use messages::{SinkId, Token};
use model::{Applied, MemberChange};
use raft::{HardState, Index, Message};
use std::collections::VecDeque;
use std::sync::Arc;
use storage::apply::Membership;

/// A change that was asked for and is not proposed yet.
#[derive(Clone, Debug)]
pub(super) struct ChangeRequest {
    pub(super) sink: SinkId,
    pub(super) token: Token,
    pub(super) change: MemberChange,
    /// Another member asks: this one is believed to lead, and passes nothing on.
    pub(super) forwarded: bool,
}

/// A change on its way to being proposed.
#[derive(Debug)]
pub(super) struct WaitingChange {
    pub(super) asked: ChangeRequest,
    /// Tick at which it is given up.
    pub(super) deadline: u64,
    /// Who leads is to be removed, and was asked to hand leadership over: tick at which it is asked again.
    pub(super) offer_again: u64,
}

/// An answer that may be given once the commit of its entry is durable.
#[derive(Debug)]
pub(super) struct UnansweredChange {
    pub(super) index: Index,
    pub(super) sink: SinkId,
    pub(super) token: Token,
    pub(super) applied: Applied,
    pub(super) deadline: u64,
}

/// What the core knows about changes of the membership.
#[derive(Debug, Default)]
pub(super) struct MembershipChanges {
    /// The membership as the store has it.
    pub(super) present: Arc<Membership>,
    pub(super) waiting: VecDeque<WaitingChange>,
    pub(super) unanswered: VecDeque<UnansweredChange>,
    /// Forwarded by other members while another change is under way.
    pub(super) held: VecDeque<Message>,
    /// Appends that are synced, and the commit index that is durable then.
    syncs: VecDeque<(u64, Index)>,
    /// Highest commit index that was handed to the log writer.
    written_commit: Index,
    /// A crash would leave at least this commit index.
    pub(super) durable_commit: Index,
}

impl MembershipChanges {
    pub(super) fn new(present: Arc<Membership>) -> Self {
        Self { present, ..Self::default() }
    }

    /// An append goes to the log writer under this number.
    pub(super) fn writes(&mut self, sequence: u64, hard_state: Option<HardState>, must_sync: bool) {
        if let Some(hard_state) = hard_state {
            self.written_commit = self.written_commit.max(hard_state.commit);
        }
        if must_sync {
            self.syncs.push_back((sequence, self.written_commit));
        }
    }

    /// Appends up to this number are durable.
    pub(super) fn persisted(&mut self, sequence: u64) {
        while let Some((_, commit)) = self.syncs.front().copied().filter(|(number, _)| *number <= sequence) {
            self.syncs.pop_front();
            self.durable_commit = self.durable_commit.max(commit);
        }
    }
}
