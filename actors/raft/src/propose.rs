//! Taking proposals, and what applying them leads to.
//!
//! Must never let two membership changes be pending at once, unless validation is switched off.

use crate::confchange::ConfChangeV2;
use crate::error::ProposalDropped;
use crate::message::{Body, Proposal};
use crate::node::{Node, Proposed};
use crate::storage::Storage;
use crate::trace::{ConfChangeRefusal, Trace, TraceEvent, trace};
use crate::types::{Entry, EntryKind, Index, Role};

use bytes::Bytes;

impl<S: Storage, T: Trace> Node<S, T> {
    /// Appends or forwards local proposals.
    pub(crate) fn propose_all(&mut self, proposals: Vec<Proposal>) -> Result<Proposed, ProposalDropped> {
        let done = match self.role {
            Role::Leader => self.append_proposals(proposals),
            Role::Candidate | Role::PreCandidate => Err(self.drop_proposal_without_leader()),
            Role::Follower => self.may_forward_proposal().map(|to| {
                self.forward(self.config.id, Body::Propose(proposals));
                Proposed::Forwarded { to }
            }),
        };
        self.check_invariants();
        done
    }

    /// Appends proposals to the own log and sends them out.
    pub(crate) fn append_proposals(&mut self, mut proposals: Vec<Proposal>) -> Result<Proposed, ProposalDropped> {
        if self.tracker.progress.get(self.config.id).is_none() {
            // Removed while leading.
            return Err(ProposalDropped::NotMember);
        }
        if self.lead_transferee != 0 {
            trace!(self, TraceEvent::ProposalDuringTransfer { term: self.term, transferee: self.lead_transferee });
            return Err(ProposalDropped::Transferring);
        }
        let next = self.log.last_index() + 1;
        for (proposal, index) in proposals.iter_mut().zip(next..) {
            if proposal.kind != EntryKind::Normal {
                self.validate_conf_change(proposal, index)?;
            }
        }
        let (first, last) = self.append_entries(proposals)?;
        self.broadcast_append();
        Ok(Proposed::Appended { term: self.term, first, last })
    }

    /// Notes a membership change that will get `index`, or empties it if it may not be carried out now.
    fn validate_conf_change(&mut self, proposal: &mut Proposal, index: Index) -> Result<(), ProposalDropped> {
        let change = ConfChangeV2::from_payload(proposal.kind, &proposal.data);
        let Ok(Some(change)) = change else {
            return Err(ProposalDropped::BadConfChange);
        };
        let applied = self.log.applied();
        let is_joint = !self.tracker.membership.voters_outgoing.is_empty();
        let wants_leave = change.changes.is_empty();
        let refusal = if self.pending_conf_index > applied {
            Some(ConfChangeRefusal::MaybePending { index: self.pending_conf_index, applied })
        } else if is_joint && !wants_leave {
            Some(ConfChangeRefusal::MustLeaveJoint)
        } else if !is_joint && wants_leave {
            Some(ConfChangeRefusal::NotJoint)
        } else {
            None
        };
        match refusal {
            Some(why) if !self.config.disable_conf_change_validation => {
                let membership = &self.tracker.membership;
                trace!(self, TraceEvent::ConfChangeIgnored { change: &change, membership, why });
                *proposal = Proposal { kind: EntryKind::Normal, data: Bytes::new() };
            }
            _ => self.pending_conf_index = index,
        }
        Ok(())
    }

    /// The empty entry that commits what earlier leaders left.
    pub(crate) fn append_empty(&mut self) {
        let done = self.append_entries(vec![Proposal { kind: EntryKind::Normal, data: Bytes::new() }]);
        assert!(done.is_ok(), "RI-13 the first entry of a leader is never refused");
    }

    fn append_entries(&mut self, proposals: Vec<Proposal>) -> Result<(Index, Index), ProposalDropped> {
        let size: u64 = proposals.iter().map(|p| p.data.len() as u64).sum();
        // What stands alone may have any size, and what has none is never refused.
        let too_much = self.uncommitted_size > 0
            && size > 0
            && self.uncommitted_size.saturating_add(size) > self.config.max_uncommitted_size;
        if too_much {
            trace!(self, TraceEvent::TooMuchUncommitted);
            return Err(ProposalDropped::TooMuchUncommitted);
        }
        self.uncommitted_size += size;
        let (term, first) = (self.term, self.log.last_index() + 1);
        let entries = proposals.into_iter().zip(first..).map(|(Proposal { kind, data }, index)| Entry {
            term,
            index,
            kind,
            data,
        });
        let last = self.log.append_own(entries);
        // The own acknowledgement, delivered once this is durable.
        self.send(self.config.id, Body::AppendAccepted { index: last });
        Ok((first, last))
    }

    /// Notes that the state machine has applied up to `index`, and leaves a joint configuration that wants to be left.
    pub(crate) fn applied_to(&mut self, index: Index, size: u64) {
        // A snapshot may have overtaken entries that were handed out before it.
        let index = index.max(self.log.applied());
        self.log.applied_to(index, size);
        let leave = self.tracker.membership.auto_leave && index >= self.pending_conf_index && self.is_leader();
        if !leave {
            return;
        }
        // Without payload, so that it cannot be refused for its size. If leadership is just being handed over, this
        // is tried again at the next applied entry, or by the next leader.
        let proposal = Proposal { kind: EntryKind::ConfChangeV2, data: Bytes::new() };
        let done = self.append_proposals(vec![proposal]);
        let membership = &self.tracker.membership;
        match done {
            Ok(_) => trace!(self, TraceEvent::AutoLeave { membership }),
            Err(why) => trace!(self, TraceEvent::AutoLeaveDropped { membership, why }),
        }
    }
}
