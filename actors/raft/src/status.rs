//! A member's view, for people and metrics.
//!
//! Copies only; must never be consulted for a decision.

use crate::message::Body;
use crate::node::Node;
use crate::progress::ProgressMap;
use crate::storage::Storage;
use crate::trace::Trace;
use crate::types::{ConfState, HardState, Index, NodeId, SoftState};

/// The part that costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicStatus {
    /// Own id.
    pub id: NodeId,
    /// Term, vote and commit.
    pub hard_state: HardState,
    /// Leader and role.
    pub soft_state: SoftState,
    /// Highest index applied.
    pub applied: Index,
    /// Last index of the log.
    pub last_index: Index,
    /// Whom leadership is being handed to, zero for nobody.
    pub lead_transferee: NodeId,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The part that costs nothing.
    pub basic: BasicStatus,
    /// Membership in force.
    pub membership: ConfState,
    /// What a leader knows of the members; empty otherwise.
    pub progress: ProgressMap,
}

impl<S: Storage, T: Trace> Node<S, T> {
    /// The cheap part of [`status`](Self::status).
    pub fn basic_status(&self) -> BasicStatus {
        BasicStatus {
            id: self.config.id,
            hard_state: self.hard_state(),
            soft_state: self.soft_state(),
            applied: self.log.applied(),
            last_index: self.log.last_index(),
            lead_transferee: self.lead_transferee,
        }
    }

    /// A copy of what this member knows.
    pub fn status(&self) -> Status {
        Status {
            basic: self.basic_status(),
            membership: self.tracker.membership.clone(),
            progress: if self.is_leader() { self.tracker.progress.clone() } else { ProgressMap::default() },
        }
    }

    /// Index of a snapshot that this member took and that is not handed out in an append yet, or waits until what is being applied
    /// is applied. When there is none behind a step that brought a snapshot, it was not needed.
    pub fn snapshot_ahead(&self) -> Option<Index> {
        let deferred = self.deferred_snapshot.as_ref().and_then(|message| match &message.body {
            Body::Snapshot(snapshot) => Some(snapshot.meta.index),
            _ => None,
        });
        deferred.or_else(|| self.log.unstable().snapshot_to_hand_out())
    }

    /// As a leader, what is known of each member, ascending by id, without copying.
    pub fn progress(&self) -> Option<&ProgressMap> {
        self.is_leader().then_some(&self.tracker.progress)
    }
}
