//! The ports of the peer transport: what owners hand to it ([`PeerTransport`]) and what it hands back ([`PeerEvents`]).
//!
//! `net` implements the first, `actors` the second, a simulator may implement both. Neither side ever blocks the other: what
//! cannot be taken is dropped and said so, because raft repeats it and a caller has a deadline. Must know no socket and no
//! frame: a transport inside one process uses the same types.

use crate::read::ChunkSource;
use bytes::Bytes;
use raft::{Message, NodeId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Another member, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// Its peer URLs. Any of them may be tried; names are resolved at each dial.
    pub urls: Vec<String>,
}

/// How a member is. Sent with heartbeats; the newest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Age of the oldest write that is not yet on the disk; zero when there is none.
    pub unsynced: Duration,
    /// Applied index.
    pub applied: u64,
    /// Version of the build: major, minor, patch.
    pub version: [u16; 3],
    /// Running hashes: index and hash of the state there, oldest first.
    pub hashes: Vec<(u64, u64)>,
}

/// What a call asks. Numbers are part of the protocol and never reused: a member that does not know one says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKind(pub u16);

impl CallKind {
    /// Renew a lease: the leader alone keeps their time.
    pub const LEASE_RENEW: Self = Self(1);
    /// Remaining time and keys of a lease.
    pub const LEASE_TIME_TO_LIVE: Self = Self(2);
    /// Promote a learner: the leader alone knows how far it is.
    pub const PROMOTE: Self = Self(3);
    /// Hash of the key-values at a revision.
    pub const HASH_KV: Self = Self(4);
    /// Which of the proposals that were forwarded to this member it certainly did not take.
    pub const PROPOSALS_REFUSED: Self = Self(5);
    /// Has a member of this id been part of the cluster before? Asked by one that is told to found it.
    pub const IS_BOOTSTRAPPED: Self = Self(6);
}

/// A question to another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Chosen by the caller, unique among its open calls.
    pub id: u64,
    /// What is asked.
    pub kind: CallKind,
    /// How long the caller waits.
    pub timeout: Duration,
    /// The question.
    pub body: Bytes,
}

/// Why there is no answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It does not know this kind of call.
    #[error("the member is not capable of this: it runs an older version")]
    NotCapable,
    /// It has too much to do.
    #[error("the member is busy")]
    Busy,
    /// It could not answer, or is stopping. Nothing was done.
    #[error("the member could not answer")]
    Failed,
    /// It was never sent: there is no connection. Nothing was done.
    #[error("the member is not connected")]
    NotConnected,
    /// It was sent and nothing came back in time; whether anything was done is unknown.
    #[error("the member did not answer in time")]
    Unknown,
}

/// Which lane a message came on. Signs of life never sit behind entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerLane {
    /// Votes, heartbeats, acknowledgements, reads.
    Control,
    /// Entries, forwarded proposals, snapshots.
    Data,
}

/// How well a member is connected, for membership rules and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// How long the present connection has stood.
    pub age: Duration,
    /// Last round trip.
    pub round_trip: Duration,
}

/// A snapshot on its way to another member. The stream of rows is the one that clients get.
pub struct SendSnapshot {
    /// The raft message: its place in the log, term, membership. Stepped by the receiver behind the stream.
    pub message: Message,
    /// Bytes of the stream in all, checksum included.
    pub total: u64,
    /// The stream.
    pub source: Box<dyn ChunkSource>,
}

/// What the raft core and the WAL writer need of a transport. Does not block.
pub trait PeerSender: Send + Sync {
    /// Sends messages of consensus, in order per receiver and lane. One that cannot be sent now is dropped and counted, and
    /// its receiver is reported by [`PeerEvents::unreachable`]. None is ever sent twice: a forwarded proposal that went out
    /// again after a reconnect would be a write done twice. Snapshots go by [`PeerTransport::send_snapshot`].
    fn send(&self, messages: Vec<Message>);
}

/// Owners → transport. No call blocks.
pub trait PeerTransport: PeerSender {
    /// All other members as of the applied membership. Who is not listed any more was removed: nothing of it is taken from
    /// then on, and its connections are closed.
    fn set_peers(&self, peers: Vec<Peer>);

    /// How this member is now; told to all others with the next heartbeats.
    fn set_vitals(&self, vitals: Vitals);

    /// Asks a member. [`PeerEvents::answered`] hears exactly once of each call, at the latest after its timeout.
    fn call(&self, to: NodeId, call: Call);

    /// Answers a call that [`PeerEvents::called`] heard.
    fn answer(&self, to: NodeId, id: u64, answer: Result<Bytes, NoAnswer>);

    /// Streams a snapshot, then its message. [`PeerEvents::snapshot_sent`] hears exactly once of each: `true` only after the
    /// receiver has said that its raft core was handed the message.
    fn send_snapshot(&self, snapshot: SendSnapshot);

    /// How well a member is connected; `None` while it is not.
    fn contact(&self, peer: NodeId) -> Option<Contact>;
}

/// Where a received snapshot is staged, chunk by chunk. Dropped before [`Self::finish`], it removes what it staged.
pub trait SnapshotSink: Send {
    /// The next bytes of the stream. May wait for the disk: called off the transport's own loop.
    ///
    /// # Errors
    /// A sentence: the stream is damaged, or this member cannot take it. The transfer ends.
    fn write(&mut self, chunk: Bytes) -> Result<(), String>;

    /// The stream is whole: it is verified, made durable, and its message handed to the raft core.
    ///
    /// # Errors
    /// A sentence, when it is not what it said.
    fn finish(self: Box<Self>) -> Result<(), String>;
}

/// Makes the transport of a node, given where it reports to. Called once, when the node's queues exist.
pub type ConnectPeers = Box<dyn FnOnce(Arc<dyn PeerEvents>) -> Arc<dyn PeerTransport> + Send>;

/// Transport → owners. No call blocks.
pub trait PeerEvents: Send + Sync {
    /// Checked messages of consensus, in arrival order. False when the queue is full and they were dropped.
    fn receive(&self, messages: Vec<Message>, lane: PeerLane, held: Option<HeldBytes>) -> bool;

    /// The last messages to this member were probably lost.
    fn unreachable(&self, peer: NodeId);

    /// How sending a snapshot to this member ended.
    fn snapshot_sent(&self, peer: NodeId, delivered: bool);

    /// A member wants to send a snapshot of so many bytes. Must not touch the disk yet.
    ///
    /// # Errors
    /// [`NoAnswer::Busy`] while another one is received.
    fn receive_snapshot(&self, message: Message, total: u64) -> Result<Box<dyn SnapshotSink>, NoAnswer>;

    /// How another member is.
    fn vitals(&self, peer: NodeId, vitals: Vitals);

    /// A member asks; to be answered once, under the same id, by [`PeerTransport::answer`].
    fn called(&self, from: NodeId, call: Call);

    /// What came of a call.
    fn answered(&self, from: NodeId, id: u64, answer: Result<Bytes, NoAnswer>);

    /// A member whose identity is proven says that this one was removed from the cluster.
    fn removed(&self, said_by: NodeId);
}

/// Bytes of one peer's messages that the core has not looked at yet. A transport has one per peer, and stops reading a
/// stream whose peer has used it up.
#[derive(Clone, Debug)]
pub struct ReceiveBudget {
    held: Arc<AtomicUsize>,
    limit: usize,
}

impl ReceiveBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { held: Arc::default(), limit }
    }

    /// Takes a message's bytes out of the budget; `None` when it is used up. A single message may exceed what is left.
    pub fn take(&self, bytes: usize) -> Option<HeldBytes> {
        let room = |held: usize| (held < self.limit).then_some(held + bytes);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(HeldBytes { held: self.held.clone(), bytes })
    }

    /// Bytes in use.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}

/// Bytes taken out of a [`ReceiveBudget`], given back when dropped: when the core has handled what they belong to.
#[derive(Debug)]
pub struct HeldBytes {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_given_back_when_messages_were_handled() {
        let budget = ReceiveBudget::new(100);
        let first = budget.take(60).expect("room");
        let second = budget.take(60).expect("begun below the limit");
        assert!(budget.take(1).is_none());
        drop(first);
        assert_eq!(budget.held(), 60);
        assert!(budget.take(1).is_some());
        drop(second);
        assert_eq!(budget.held(), 0);
    }
}
