//! The checked door for proposals of other members: what is not whole here would stop every member that applies it.
//!
//! Must ask for all that the applier relies on, and for nothing that a correct member might not have.

use model::{Command, Envelope, Origin};
use raft::{ConfChangeV2, ConfState, EntryKind, NodeId, Proposal, Term};
use storage::apply::MemberContext;

/// The terms of leaders that forwarded proposals are bound to. Changes of the membership are bound to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms(Vec<Term>);

impl Terms {
    /// Whether this is the only one, if there is any.
    pub(super) fn are(&self, term: Term) -> bool {
        self.0.iter().all(|bound| *bound == term)
    }
}

/// Whether proposals that `from` has forwarded may enter the log, and in which terms.
///
/// # Errors
/// Why not.
pub(super) fn check(from: NodeId, proposals: &[Proposal], members: &ConfState) -> Result<Terms, &'static str> {
    if !is_member(from, members) {
        return Err("it is not, or no longer, a member");
    }
    let mut terms = Vec::new();
    for proposal in proposals {
        let term = check_one(from, proposal)?;
        if term.is_some() && terms.last() != term.as_ref() {
            terms.extend(term);
        }
    }
    Ok(Terms(terms))
}

/// Whether somebody belongs to a membership in any part.
pub(super) fn is_member(id: NodeId, members: &ConfState) -> bool {
    all_members(members).any(|member| member == id)
}

/// Everybody who belongs to a membership in any part; some come twice while it changes.
pub(super) fn all_members(members: &ConfState) -> impl Iterator<Item = NodeId> {
    [&members.voters, &members.voters_outgoing, &members.learners, &members.learners_next]
        .into_iter()
        .flatten()
        .copied()
}

/// Who waits for a proposal, if that can be read.
pub(super) fn origin_of(proposal: &Proposal) -> Option<Origin> {
    match proposal.kind {
        EntryKind::Normal => Envelope::decode(&proposal.data).ok().map(|envelope| envelope.origin),
        EntryKind::ConfChange | EntryKind::ConfChangeV2 => {
            let change = ConfChangeV2::from_payload(proposal.kind, &proposal.data).ok().flatten()?;
            MemberContext::decode(&change.context).ok().map(|context| context.origin)
        }
    }
}

/// The term that a proposal is bound to, if it can be bound to one.
fn check_one(from: NodeId, proposal: &Proposal) -> Result<Option<Term>, &'static str> {
    let (origin, term) = match proposal.kind {
        EntryKind::Normal => {
            let envelope = Envelope::decode(&proposal.data).map_err(|_| "its envelope cannot be read")?;
            if envelope.only_in_term == 0 {
                return Err("it is not bound to the term of a leader");
            }
            Command::decode(envelope.command).map_err(|_| "its command cannot be read")?;
            (envelope.origin, Some(envelope.only_in_term))
        }
        EntryKind::ConfChange | EntryKind::ConfChangeV2 => {
            let change = ConfChangeV2::from_payload(proposal.kind, &proposal.data);
            let change = change.ok().flatten().ok_or("its change of membership cannot be read")?;
            if change.changes.is_empty() {
                return Err("only a leader leaves a joint configuration");
            }
            (MemberContext::decode(&change.context).map_err(|_| "its member cannot be read")?.origin, None)
        }
    };
    if origin.member == from { Ok(term) } else { Err("another member is named as its origin") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft::{ConfChange, ConfChangeKind, confchange_codec};

    fn members() -> ConfState {
        ConfState { voters: vec![1, 2], learners: vec![3], ..ConfState::default() }
    }

    fn normal(origin: u64, only_in_term: u64, command: Bytes) -> Proposal {
        let origin = Origin { member: origin, epoch: 5, sequence: 6 };
        Proposal { kind: EntryKind::Normal, data: Envelope { origin, only_in_term, command }.encode() }
    }

    fn good() -> Bytes {
        Command::ClusterVersionSet(Default::default()).encode(1)
    }

    fn change(context: Bytes) -> Proposal {
        let change = ConfChange { id: 0, kind: ConfChangeKind::AddLearnerNode, node_id: 9, context };
        Proposal { kind: EntryKind::ConfChange, data: confchange_codec::encode_v1(&change) }
    }

    #[test]
    fn what_a_correct_member_forwards_is_taken() {
        let context = MemberContext {
            origin: Origin { member: 3, ..Origin::default() },
            peer_urls: vec!["u".into()],
            ..MemberContext::default()
        };
        assert_eq!(check(2, &[normal(2, 4, good()), normal(2, 4, good())], &members()), Ok(Terms(vec![4])));
        assert_eq!(check(3, &[change(context.encode())], &members()), Ok(Terms(vec![])));
    }

    #[test]
    fn proposals_are_of_the_term_they_are_bound_to() {
        let context = MemberContext { origin: Origin { member: 2, ..Origin::default() }, ..MemberContext::default() };
        let unbound = change(context.encode());
        let terms = |proposals: &[Proposal]| check(2, proposals, &members()).expect("they are whole");
        assert!(
            terms(&[normal(2, 4, good()), unbound.clone()]).are(4) && terms(&[unbound]).are(9) && terms(&[]).are(9)
        );
        assert!(!terms(&[normal(2, 4, good()), normal(2, 3, good())]).are(4));
        assert!(!terms(&[normal(2, 4, good()), normal(2, 3, good()), normal(2, 4, good())]).are(4));
        assert!(!terms(&[normal(2, 5, good())]).are(4));
    }

    #[test]
    fn what_could_not_be_applied_is_refused() {
        let empty = Proposal { kind: EntryKind::Normal, data: Bytes::new() };
        let leave = Proposal { kind: EntryKind::ConfChangeV2, data: Bytes::new() };
        let damaged = Proposal { kind: EntryKind::Normal, data: Bytes::from_static(b"no envelope") };
        let unreadable = Proposal { kind: EntryKind::ConfChangeV2, data: Bytes::from_static(b"\xff\xff") };
        let bad = [
            (2, empty, "its envelope cannot be read"),
            (2, damaged, "its envelope cannot be read"),
            (2, normal(2, 4, Bytes::from_static(b"\xff")), "its command cannot be read"),
            (2, normal(1, 4, good()), "another member is named as its origin"),
            (2, normal(2, 0, good()), "it is not bound to the term of a leader"),
            (2, leave, "only a leader leaves a joint configuration"),
            (2, unreadable, "its change of membership cannot be read"),
            (2, change(Bytes::from_static(b"?")), "its member cannot be read"),
            (2, change(MemberContext::default().encode()), "another member is named as its origin"),
            (8, normal(8, 4, good()), "it is not, or no longer, a member"),
        ];
        for (from, proposal, why) in bad {
            assert_eq!(check(from, &[normal(from, 4, good()), proposal], &members()), Err(why));
        }
    }
}
