//! Vocabulary of the v2 API: what a request says, what an event tells, how a request fails, what is counted.
//!
//! Plain data with etcd's field numbers and texts. Must never decide what a request does to the tree: that is `storage::v2`.

mod error;
mod event;
mod request;
mod stats;

pub use error::{Error, code};
pub use event::{Action, Event, Node, remaining_seconds};
pub use request::{Operation, Request, method};
pub use stats::{Count, Stats};

/// Events that are kept for watchers that begin in the past.
pub const HISTORY: u64 = 1_000;
/// Prefix of the paths that `/v2/keys` shows.
pub const KEYS: &str = "/1";
/// Prefix of the paths that keep users and roles of the v2 API.
pub const AUTH: &str = "/2";

/// What came of a request that went through the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The event, or why there is none.
    pub result: Result<Event, Error>,
    /// Index of the tree after the request: `X-Etcd-Index`.
    pub index: u64,
}

/// A node of a listing with its depth below the node that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Zero for the node that was asked for.
    pub depth: u32,
    /// The node.
    pub node: Node,
}

/// What a read of the tree found, in one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The node and what is listed below it: parents stand before their children, siblings ascend by key. Or why there is none.
    pub result: Result<Vec<Listed>, Error>,
    /// Index of the tree: `X-Etcd-Index`.
    pub index: u64,
}
