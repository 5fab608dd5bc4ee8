//! From a membership and a request to the next membership.
//!
//! Pure: a change either yields a whole new membership with progress, or an error and nothing. Invariant RI-5: voters
//! and learners do not overlap, `learners_next` are outgoing voters, everybody has progress.

use std::fmt;

use crate::confchange::{ConfChangeKind, ConfChangeSingle, ConfChangeV2};
use crate::progress::ProgressMap;
use crate::tracker::Tracker;
use crate::types::{ConfState, Index, NodeId};

/// Why a change cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// Entering a joint configuration from one.
    AlreadyJoint,
    /// Nobody to be joint with.
    NoVotersToJoin,
    /// Leaving a joint configuration that there is not.
    NotJoint,
    /// A simple change while joint.
    SimpleInJoint,
    /// A simple change of more than one voter.
    TooManyVoters,
    /// Nobody would be left.
    RemovedAllVoters,
    /// The membership was broken before, or would be after.
    Invariant(Malformed),
}

/// How a membership can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A member without progress.
    NoProgress(NodeId),
    /// A learner-to-be that is no outgoing voter.
    NextNotOutgoing(NodeId),
    /// A learner-to-be that is one already.
    NextIsLearner(NodeId),
    /// A learner that is an outgoing voter.
    LearnerIsOutgoing(NodeId),
    /// A learner that is a voter.
    LearnerIsVoter(NodeId),
    /// A learner whose progress says voter.
    LearnerNotMarked(NodeId),
    /// Learners-to-be outside of a joint configuration.
    NextWithoutJoint,
    /// Automatic leaving outside of a joint configuration.
    AutoLeaveWithoutJoint,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::AlreadyJoint => f.write_str("config is already joint"),
            ChangeError::NoVotersToJoin => f.write_str("can't make a zero-voter config joint"),
            ChangeError::NotJoint => f.write_str("can't leave a non-joint config"),
            ChangeError::SimpleInJoint => f.write_str("can't apply simple config change in joint config"),
            ChangeError::TooManyVoters => f.write_str("more than one voter changed without entering joint config"),
            ChangeError::RemovedAllVoters => f.write_str("removed all voters"),
            ChangeError::Invariant(malformed) => malformed.fmt(f),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::NoProgress(id) => write!(f, "no progress for {id}"),
            Malformed::NextNotOutgoing(id) => write!(f, "{id} is in LearnersNext, but not Voters[1]"),
            Malformed::NextIsLearner(id) => write!(f, "{id} is in LearnersNext, but is already marked as learner"),
            Malformed::LearnerIsOutgoing(id) => write!(f, "{id} is in Learners and Voters[1]"),
            Malformed::LearnerIsVoter(id) => write!(f, "{id} is in Learners and Voters[0]"),
            Malformed::LearnerNotMarked(id) => write!(f, "{id} is in Learners, but is not marked as learner"),
            Malformed::NextWithoutJoint => f.write_str("cfg.LearnersNext must be nil when not joint"),
            Malformed::AutoLeaveWithoutJoint => f.write_str("AutoLeave must be false when not joint"),
        }
    }
}

impl std::error::Error for ChangeError {}

/// A membership under construction.
struct Draft<'a> {
    tracker: &'a Tracker,
    last_index: Index,
    membership: ConfState,
    progress: ProgressMap,
}

/// Carries out `change`, whatever its form. `last_index` is the end of the own log, where new members are probed first.
pub fn change(
    tracker: &Tracker,
    last_index: Index,
    change: &ConfChangeV2,
) -> Result<(ConfState, ProgressMap), ChangeError> {
    if change.leaves_joint() {
        leave_joint(tracker, last_index)
    } else if let Some(auto_leave) = change.enters_joint() {
        enter_joint(tracker, last_index, auto_leave, &change.changes)
    } else {
        simple(tracker, last_index, &change.changes)
    }
}

/// Changes at most one voter, without a joint configuration.
pub fn simple(
    tracker: &Tracker,
    last_index: Index,
    steps: &[ConfChangeSingle],
) -> Result<(ConfState, ProgressMap), ChangeError> {
    let mut draft = Draft::new(tracker, last_index)?;
    if draft.is_joint() {
        return Err(ChangeError::SimpleInJoint);
    }
    draft.apply(steps)?;
    let before = &tracker.membership.voters;
    let after = &draft.membership.voters;
    let gone = before.iter().filter(|id| !after.contains(id)).count();
    let new = after.iter().filter(|id| !before.contains(id)).count();
    if gone + new > 1 {
        return Err(ChangeError::TooManyVoters);
    }
    draft.finish()
}

/// Keeps the present voters as the outgoing half and applies `steps` to the incoming one.
pub fn enter_joint(
    tracker: &Tracker,
    last_index: Index,
    auto_leave: bool,
    steps: &[ConfChangeSingle],
) -> Result<(ConfState, ProgressMap), ChangeError> {
    let mut draft = Draft::new(tracker, last_index)?;
    if draft.is_joint() {
        return Err(ChangeError::AlreadyJoint);
    }
    if draft.membership.voters.is_empty() {
        return Err(ChangeError::NoVotersToJoin);
    }
    draft.membership.voters_outgoing = draft.membership.voters.clone();
    draft.apply(steps)?;
    draft.membership.auto_leave = auto_leave;
    draft.finish()
}

/// Drops the outgoing half and turns learners-to-be into learners.
pub fn leave_joint(tracker: &Tracker, last_index: Index) -> Result<(ConfState, ProgressMap), ChangeError> {
    let mut draft = Draft::new(tracker, last_index)?;
    if !draft.is_joint() {
        return Err(ChangeError::NotJoint);
    }
    for id in std::mem::take(&mut draft.membership.learners_next) {
        insert(&mut draft.membership.learners, id);
        if let Some(progress) = draft.progress.get_mut(id) {
            progress.is_learner = true;
        }
    }
    for id in std::mem::take(&mut draft.membership.voters_outgoing) {
        if !draft.membership.voters.contains(&id) && !draft.membership.learners.contains(&id) {
            draft.progress.remove(id);
        }
    }
    draft.membership.auto_leave = false;
    draft.finish()
}

impl<'a> Draft<'a> {
    fn new(tracker: &'a Tracker, last_index: Index) -> Result<Self, ChangeError> {
        check(&tracker.membership, &tracker.progress).map_err(ChangeError::Invariant)?;
        let (membership, progress) = (tracker.membership.clone(), tracker.progress.clone());
        Ok(Draft { tracker, last_index, membership, progress })
    }

    fn finish(self) -> Result<(ConfState, ProgressMap), ChangeError> {
        check(&self.membership, &self.progress).map_err(ChangeError::Invariant)?;
        Ok((self.membership, self.progress))
    }

    fn is_joint(&self) -> bool {
        !self.membership.voters_outgoing.is_empty()
    }

    fn apply(&mut self, steps: &[ConfChangeSingle]) -> Result<(), ChangeError> {
        for step in steps.iter().filter(|step| step.node_id != 0) {
            match step.kind {
                ConfChangeKind::AddNode => self.make_voter(step.node_id),
                ConfChangeKind::AddLearnerNode => self.make_learner(step.node_id),
                ConfChangeKind::RemoveNode => self.remove(step.node_id),
                ConfChangeKind::UpdateNode => {}
            }
        }
        if self.membership.voters.is_empty() { Err(ChangeError::RemovedAllVoters) } else { Ok(()) }
    }

    fn make_voter(&mut self, id: NodeId) {
        match self.progress.get_mut(id) {
            None => self.add(id, false),
            Some(progress) => {
                progress.is_learner = false;
                delete(&mut self.membership.learners, id);
                delete(&mut self.membership.learners_next, id);
            }
        }
        insert(&mut self.membership.voters, id);
    }

    fn make_learner(&mut self, id: NodeId) {
        let Some(progress) = self.progress.get(id).cloned() else {
            self.add(id, true);
            insert(&mut self.membership.learners, id);
            return;
        };
        if progress.is_learner {
            return;
        }
        self.remove(id);
        // An outgoing voter cannot be tracked as a learner at the same time, so it waits until the joint
        // configuration is left.
        let is_outgoing = self.membership.voters_outgoing.contains(&id);
        let set = if is_outgoing { &mut self.membership.learners_next } else { &mut self.membership.learners };
        insert(set, id);
        self.progress.insert(id, crate::progress::Progress { is_learner: !is_outgoing, ..progress });
    }

    fn remove(&mut self, id: NodeId) {
        delete(&mut self.membership.voters, id);
        delete(&mut self.membership.learners, id);
        delete(&mut self.membership.learners_next, id);
        if !self.membership.voters_outgoing.contains(&id) {
            self.progress.remove(id);
        }
    }

    fn add(&mut self, id: NodeId, is_learner: bool) {
        let mut progress = self.tracker.fresh_progress(self.last_index.max(1), is_learner);
        // Or the next quorum check could depose the leader before the new member had a chance to speak.
        progress.recent_active = true;
        self.progress.insert(id, progress);
    }
}

fn insert(set: &mut Vec<NodeId>, id: NodeId) {
    if let Err(at) = set.binary_search(&id) {
        set.insert(at, id);
    }
}

fn delete(set: &mut Vec<NodeId>, id: NodeId) {
    if let Ok(at) = set.binary_search(&id) {
        set.remove(at);
    }
}

/// RI-5: the membership is well formed.
pub fn check(membership: &ConfState, progress: &ProgressMap) -> Result<(), Malformed> {
    let ConfState { voters, learners, voters_outgoing, learners_next, auto_leave } = membership;
    for &id in voters.iter().chain(voters_outgoing).chain(learners).chain(learners_next) {
        progress.get(id).ok_or(Malformed::NoProgress(id))?;
    }
    let marked = |id: NodeId| progress.get(id).is_some_and(|p| p.is_learner);
    for &id in learners_next {
        if !voters_outgoing.contains(&id) {
            return Err(Malformed::NextNotOutgoing(id));
        }
        if marked(id) {
            return Err(Malformed::NextIsLearner(id));
        }
    }
    for &id in learners {
        if voters_outgoing.contains(&id) {
            return Err(Malformed::LearnerIsOutgoing(id));
        }
        if voters.contains(&id) {
            return Err(Malformed::LearnerIsVoter(id));
        }
        if !marked(id) {
            return Err(Malformed::LearnerNotMarked(id));
        }
    }
    if voters_outgoing.is_empty() && !learners_next.is_empty() {
        return Err(Malformed::NextWithoutJoint);
    }
    if voters_outgoing.is_empty() && *auto_leave {
        return Err(Malformed::AutoLeaveWithoutJoint);
    }
    Ok(())
}
