//! Requests to change the membership, as entries carry them.
//!
//! Vocabulary only: [`changer`](crate::changer) computes what they lead to,
//! `confchange_codec` writes their bytes.

use bytes::Bytes;

use crate::types::NodeId;

/// What happens to one member. Discriminants are etcd's `raftpb.ConfChangeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConfChangeKind {
    /// Becomes a voter.
    AddNode = 0,
    /// Is forgotten.
    RemoveNode = 1,
    /// Nothing changes here; the context says what changes elsewhere.
    UpdateNode = 2,
    /// Becomes a learner.
    AddLearnerNode = 3,
}

/// One step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfChangeSingle {
    /// What happens.
    pub kind: ConfChangeKind,
    /// To whom; zero marks a step that was refused downstream and is skipped.
    pub node_id: NodeId,
}

/// How a [`ConfChangeV2`] passes through the joint configuration. Discriminants are etcd's
/// `raftpb.ConfChangeTransition`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Transition {
    /// Without a joint configuration if there is one step, else as `JointImplicit`.
    #[default]
    Auto = 0,
    /// Through a joint configuration that the leader leaves by itself.
    JointImplicit = 1,
    /// Through a joint configuration that an empty `ConfChangeV2` leaves.
    JointExplicit = 2,
}

/// A change of one step (etcd's `raftpb.ConfChange`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfChange {
    /// Used by the application to find its request again.
    pub id: u64,
    /// What happens.
    pub kind: ConfChangeKind,
    /// To whom.
    pub node_id: NodeId,
    /// Opaque.
    pub context: Bytes,
}

/// A change of any number of steps (etcd's `raftpb.ConfChangeV2`); one without steps leaves a joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfChangeV2 {
    /// How it passes through the joint configuration.
    pub transition: Transition,
    /// Steps.
    pub changes: Vec<ConfChangeSingle>,
    /// Opaque.
    pub context: Bytes,
}

impl ConfChange {
    /// The same change in the newer form.
    pub fn into_v2(self) -> ConfChangeV2 {
        ConfChangeV2 {
            transition: Transition::Auto,
            changes: vec![ConfChangeSingle { kind: self.kind, node_id: self.node_id }],
            context: self.context,
        }
    }
}

impl ConfChangeV2 {
    /// Whether it enters a joint configuration, and if so whether that is left automatically.
    pub fn enters_joint(&self) -> Option<bool> {
        let joint = self.transition != Transition::Auto || self.changes.len() > 1;
        joint.then_some(self.transition != Transition::JointExplicit)
    }

    /// Whether it leaves a joint configuration.
    pub fn leaves_joint(&self) -> bool {
        self.transition == Transition::Auto && self.changes.is_empty()
    }
}

/// Either form, for proposing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyConfChange {
    /// One step.
    V1(ConfChange),
    /// Any number of steps.
    V2(ConfChangeV2),
}

impl From<ConfChange> for AnyConfChange {
    fn from(cc: ConfChange) -> Self {
        AnyConfChange::V1(cc)
    }
}

impl From<ConfChangeV2> for AnyConfChange {
    fn from(cc: ConfChangeV2) -> Self {
        AnyConfChange::V2(cc)
    }
}
