//! The state of consensus for people. Copies only; must never be consulted for a decision.

use super::core::RaftCore;
use messages::admin::{PeerProgress, RaftView};
use messages::{Reply, ReplyBody, SinkId, Token};
use raft::{ProgressState, Role};

impl RaftCore {
    /// Answers with the state as it is now.
    pub(super) fn describe(&mut self, sink: SinkId, token: Token) {
        let status = self.node.basic_status();
        let progress = self.node.progress().map(|all| {
            all.iter().map(|(id, peer)| PeerProgress {
                id,
                matched: peer.matched,
                next: peer.next,
                state: match peer.state {
                    ProgressState::Probe => "StateProbe",
                    ProgressState::Replicate => "StateReplicate",
                    ProgressState::Snapshot { .. } => "StateSnapshot",
                },
            })
        });
        let view = RaftView {
            id: status.id,
            term: status.hard_state.term,
            vote: status.hard_state.vote,
            commit: status.hard_state.commit,
            leader: self.node.leader(),
            role: match self.node.role() {
                Role::Follower => "StateFollower",
                Role::PreCandidate => "StatePreCandidate",
                Role::Candidate => "StateCandidate",
                Role::Leader => "StateLeader",
            },
            applied: status.applied,
            transferee: status.lead_transferee,
            progress: progress.into_iter().flatten().collect(),
        };
        self.out.push(sink, Reply { token, body: ReplyBody::RaftDescribed(Box::new(view)) });
    }
}
