//! What the stream of requests is made of.
//!
//! Must never depend on a server's state: steps follow from the seed alone, so that any of them can be left out.

use crate::spec::Op;
use api::etcdserverpb::WatchCreateRequest;

/// One step. Revisions, leases and watchers in it may be places (see [`super::place`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A unary request.
    Call(Op),
    /// A watcher on a stream.
    Watch(usize, WatchCreateRequest),
    /// The end of a watcher; patient: after everything it is owed has come.
    Cancel {
        /// Stream.
        stream: usize,
        /// Watcher.
        id: i64,
        /// Wait first.
        patient: bool,
    },
    /// A progress request; patient: again until it is answered.
    Progress {
        /// Stream.
        stream: usize,
        /// Wait first, and insist.
        patient: bool,
    },
    /// A stream is torn down and another one opened.
    Reopen(usize),
    /// Everything that streams are owed must come.
    Settle,
    /// A short lease with a key is left to end by itself.
    Expire(i64),
}

/// An action, and whether it runs together with the one before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Only KV requests run together.
    pub together: bool,
}

impl Step {
    /// True for requests that may run together: the revision in their answers tells their order.
    pub fn may_join(&self) -> bool {
        matches!(&self.action, Action::Call(Op::Range(_) | Op::Stream(_) | Op::Put(_) | Op::Delete(_) | Op::Txn(_)))
    }
}
