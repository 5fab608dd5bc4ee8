//! From a stored membership back to one with progress.
//!
//! Goes through the same changes that could have led there, so that nothing can be restored that could not be reached.

use crate::changer::{self, ChangeError};
use crate::confchange::{ConfChangeKind, ConfChangeSingle, ConfChangeV2};
use crate::progress::ProgressMap;
use crate::tracker::Tracker;
use crate::types::{ConfState, Index, NodeId};

/// The membership that a change leads to, or why it cannot be carried out: for state machines that store memberships and
/// have no core at hand. The same answer as [`Node::preview_conf_change`](crate::Node::preview_conf_change) of every member
/// whose membership this is.
pub fn next_membership(present: &ConfState, change: &ConfChangeV2) -> Result<ConfState, ChangeError> {
    let mut tracker = Tracker::new(1, u64::MAX);
    (tracker.membership, tracker.progress) = restore(&tracker.clone(), 1, present)?;
    changer::change(&tracker, 1, change).map(|(membership, _)| membership)
}

/// Membership and progress for `conf_state`. `empty` gives limits and must have no members.
pub fn restore(
    empty: &Tracker,
    last_index: Index,
    conf_state: &ConfState,
) -> Result<(ConfState, ProgressMap), ChangeError> {
    let mut tracker = empty.clone();
    let incoming = incoming_steps(conf_state);
    if conf_state.voters_outgoing.is_empty() {
        for step in incoming {
            (tracker.membership, tracker.progress) = changer::simple(&tracker, last_index, &[step])?;
        }
    } else {
        for step in steps(ConfChangeKind::AddNode, &conf_state.voters_outgoing) {
            (tracker.membership, tracker.progress) = changer::simple(&tracker, last_index, &[step])?;
        }
        (tracker.membership, tracker.progress) =
            changer::enter_joint(&tracker, last_index, conf_state.auto_leave, &incoming)?;
    }
    Ok((tracker.membership, tracker.progress))
}

/// The steps that lead from the outgoing half to the whole: who leaves goes first, for one who stays comes back.
fn incoming_steps(conf_state: &ConfState) -> Vec<ConfChangeSingle> {
    steps(ConfChangeKind::RemoveNode, &conf_state.voters_outgoing)
        .chain(steps(ConfChangeKind::AddNode, &conf_state.voters))
        .chain(steps(ConfChangeKind::AddLearnerNode, &conf_state.learners))
        .chain(steps(ConfChangeKind::AddLearnerNode, &conf_state.learners_next))
        .collect()
}

fn steps(kind: ConfChangeKind, ids: &[NodeId]) -> impl Iterator<Item = ConfChangeSingle> {
    ids.iter().map(move |&node_id| ConfChangeSingle { kind, node_id })
}
