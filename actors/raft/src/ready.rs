//! What the core wants done, each part with the completion that must come back.
//!
//! Must never contain anything that only makes sense to the core: the shell moves these parts, it does not read them.

use crate::message::Message;
use crate::types::{Entry, HardState, Index, LogId, ReadState, Snapshot, SoftState, Term};

/// All work of one moment, as [`Node::ready`](crate::Node::ready) takes it. Everything in it is handed out once.
#[derive(Debug, Default)]
pub struct Ready {
    /// Present when leader or role changed.
    pub soft_state: Option<SoftState>,
    /// Reads granted since the last `Ready`.
    pub read_states: Vec<ReadState>,
    /// To other members, to be sent at once. Order per receiver should be kept.
    pub messages: Vec<Message>,
    /// To the log.
    pub append: Option<Append>,
    /// To the state machine.
    pub apply: Option<Apply>,
}

/// One unit of log writing. Appends are carried out, and completed, in the order in which they were handed out.
#[derive(Debug)]
pub struct Append {
    /// Present when term, vote or commit changed.
    pub hard_state: Option<HardState>,
    /// Consecutive entries; the first may lie at or before the current end of the log, which is then cut there.
    pub entries: Vec<Entry>,
    /// Replaces the whole log and the state machine; `entries`, if any, follow it. The completion may be given back
    /// only after the state machine holds it and the membership in it is durable.
    pub snapshot: Option<Snapshot>,
    /// False when nothing here needs to be synced: the append may then be acknowledged as soon as all before it are
    /// durable.
    pub must_sync: bool,
    /// To other members, to be sent once this append and all before it are durable.
    pub responses: Vec<Message>,
    /// To be given to [`Node::on_persisted`](crate::Node::on_persisted) at the same moment.
    pub token: PersistedToken,
}

/// One unit of applying: committed entries, in order.
#[derive(Debug)]
pub struct Apply {
    /// Never empty.
    pub entries: Vec<Entry>,
    /// To be given to [`Node::on_applied`](crate::Node::on_applied) once all of them are applied, and
    /// [`Node::apply_conf_change`](crate::Node::apply_conf_change) was called for each accepted membership change
    /// among them.
    pub token: AppliedToken,
}

/// Proof that an [`Append`] is durable.
#[derive(Debug)]
pub struct PersistedToken {
    /// Position in the order of appends.
    pub(crate) sequence: u64,
    /// Own term when the append was handed out: entries are only marked stable if it has not moved since.
    pub(crate) term: Term,
    /// End of the log that this append makes durable, if any of it was not yet.
    pub(crate) stable: Option<LogId>,
    /// Index of the snapshot in the append.
    pub(crate) snapshot: Option<Index>,
    /// Messages of this member to itself, with the number of peer responses queued before each.
    pub(crate) local: Vec<(usize, Message)>,
}

impl PersistedToken {
    /// Term in which the append was handed out.
    pub fn term(&self) -> Term {
        self.term
    }

    /// End of the log that becomes stable by this append.
    pub fn stable(&self) -> Option<LogId> {
        self.stable
    }

    /// True when the token says more than its local messages do.
    pub fn is_acknowledgement(&self) -> bool {
        self.stable.is_some() || self.snapshot.is_some()
    }

    /// Own votes and acknowledgements in here, each with the number of [`Append::responses`] queued before it.
    pub fn local(&self) -> &[(usize, Message)] {
        &self.local
    }

    /// Takes the local messages out, to be delivered one by one through [`Node::step`](crate::Node::step). For tests
    /// that play with their order; production gives the token back whole.
    pub fn take_local(&mut self) -> Vec<(usize, Message)> {
        std::mem::take(&mut self.local)
    }
}

/// Proof that an [`Apply`] is applied.
#[derive(Debug)]
pub struct AppliedToken {
    /// Last index of the entries.
    pub(crate) index: Index,
    /// Their encoded size.
    pub(crate) encoded: u64,
    /// Their payload size.
    pub(crate) payload: u64,
}

impl AppliedToken {
    /// Last index of the entries.
    pub fn index(&self) -> Index {
        self.index
    }
}
