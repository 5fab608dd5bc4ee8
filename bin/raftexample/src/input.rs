//! Everything that reaches the loop: one queue, one enum. The length of the queue bounds the memory of all who send.
//!
//! Must never hold behaviour: `member` decides.

use raft::{Message, NodeId};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// Inputs that wait.
pub const QUEUE: usize = 1024;
/// Length of raft's tick: elections take ten to twenty of them.
const TICK: Duration = Duration::from_millis(50);

/// Who is told how it ended. Whoever stops waiting drops the other end.
pub type Done<T> = oneshot::Sender<Result<T, Refused>>;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A tick has passed.
    Tick,
    /// Another member said something.
    Messages(Vec<Message>, oneshot::Sender<Receipt>),
    /// A message did not reach this member.
    Unreachable(NodeId),
    /// How sending a snapshot ended.
    SnapshotSent(NodeId, bool),
    /// Another member says that this one was removed.
    Removed,
    /// A client stores a value.
    Put(String, Vec<u8>, Done<()>),
    /// A client reads a value.
    Get(String, Done<Option<Vec<u8>>>),
    /// A client adds a member (with its URL) or removes one.
    Change(NodeId, Option<String>, Done<()>),
}

/// Answer to messages of another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Taken.
    Taken,
    /// Its sender is no member any more.
    Gone,
}

/// Why a request was not carried out, and certainly never will be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody leads, or the leader has too much to do.
    #[error("there is no leader at the moment, or it has too much to do: try again")]
    NotNow,
    /// One change of the membership at a time.
    #[error("another change of the membership is being carried out: try again")]
    OneChangeAtATime,
    /// An id is given once.
    #[error("member {0} was removed: a new member needs an id that was never used")]
    IdUsed(NodeId),
    /// Raft's rules forbid it.
    #[error("the membership cannot be changed like this: {0}")]
    Membership(String),
}

/// Sends a tick at a time; those that were missed are left out.
pub async fn tick(inputs: mpsc::Sender<Input>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while inputs.send(Input::Tick).await.is_ok() {
        interval.tick().await;
    }
}
