//! The ports of the peer transport: two traits, and what crosses them. `net` implements [`Transport`], `actors` implements
//! [`Inbound`]; a simulator may do both, and so may members of one process.
//!
//! Nothing here may block: both sides call each other from threads that have a clock to keep. What cannot be taken now is
//! dropped, and the drop is told. Must know no socket and no frame.

use bytes::Bytes;
use raft::{Message, NodeId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a member is. Sent with every heartbeat interval, and answered in kind; what is newest counts, the rest may be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// The sender's clock, which means something to the sender alone. Set by the transport.
    pub stamp: u64,
    /// The stamp that this answers, zero for none. Set by the transport.
    pub echo: u64,
    /// Age of the oldest write that is not yet on the disk, in microseconds; zero when there is none.
    pub unsynced_micros: u64,
    /// Applied index.
    pub applied: u64,
    /// Version of the build: major, minor, patch.
    pub version: [u16; 3],
    /// Running hashes: index and hash of the state there, oldest first. The transport sends the newest that fit.
    pub hashes: Vec<(u64, u64)>,
}

/// A question of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Chosen by the caller, unique on its connection.
    pub id: u64,
    /// What is asked. Kinds are numbered by those who ask and answer.
    pub kind: u16,
    /// How long the caller will wait, in milliseconds from now.
    pub deadline_millis: u32,
    /// The question.
    pub body: Bytes,
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The call's.
    pub id: u64,
    /// What came of it.
    pub result: Result<Bytes, NoAnswer>,
}

/// Why the other member gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It does not know this kind of call: an older build.
    #[error("the member is not capable of this: it runs an older version")]
    NotCapable = 1,
    /// It has too much to do.
    #[error("the member is busy")]
    Busy = 2,
    /// It is stopping, or what should have answered is gone.
    #[error("the member could not answer")]
    Failed = 3,
}

/// A share of what a peer may have in flight towards the core. Dropped when the core has taken the messages it came with.
#[derive(Default)]
pub struct Held {
    /// Only ever dropped.
    _share: Option<Box<dyn Send>>,
}

impl Held {
    /// This share, whatever it is.
    pub fn new(share: impl Send + 'static) -> Self {
        Self { _share: Some(Box::new(share)) }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// What the transport tells the member it works for.
pub trait Inbound: Send + Sync {
    /// Votes, heartbeats, acknowledgements. False when the queue is full: they are dropped and counted.
    fn control(&self, messages: Vec<Message>) -> bool;
    /// Entries, forwarded proposals, the announcement of a snapshot. Keep `held` until the messages have left the queue: it is what
    /// bounds a peer's share of memory. False when the queue is full: they are dropped and counted.
    fn data(&self, messages: Vec<Message>, held: Held) -> bool;
    /// How a peer is.
    fn vitals(&self, from: NodeId, vitals: Vitals);
    /// A peer asks something. A responder that is dropped answers that this member could not.
    fn call(&self, from: NodeId, call: Call, respond: Responder);
    /// `peer` could not be sent something, or its connection broke: report it to raft. `never_left` certainly did not reach it, so a
    /// proposal among them may be answered at once; what was under way when a connection broke is not in it and has no known outcome.
    ///
    /// Called on the thread that sent, too.
    fn unreachable(&self, peer: NodeId, never_left: Vec<Message>);
    /// A peer wants to send a snapshot. Called where it may block.
    ///
    /// # Errors
    /// Why it is not wanted; the sender gives up with this sentence.
    fn bulk(&self, header: &BulkHeader) -> Result<Box<dyn BulkSink>, String>;
    /// `by` says that this member was removed. Only believe it when `authenticated`: over `http` anybody can say so.
    fn told_removed(&self, by: NodeId, authenticated: bool);
}

/// What the raft core and the WAL writer need of a transport. Never blocks.
pub trait PeerSender: Send + Sync {
    /// Sends, in order per receiver and lane, each message at most once. What cannot be sent comes back by
    /// [`Inbound::unreachable`].
    fn send(&self, messages: Vec<Message>);
}

/// What the member asks of its transport. Cheap, never blocks, callable from any thread.
pub trait Transport: PeerSender {
    /// What peers are told with every heartbeat interval from now on.
    fn set_vitals(&self, vitals: Vitals);
    /// Who the peers are. Those that are not named any more lose their connections, in both directions.
    fn set_peers(&self, peers: Peers);
    /// A member that is not among the peers is reached there, until they are named again. What it says has to be answered, though the
    /// membership that is known here does not have it yet. Who is a peer already is left alone.
    fn introduce(&self, peer: PeerAddress);
    /// Asks a peer. `done` is called exactly once, within the deadline.
    fn call(&self, to: NodeId, question: Question, done: CallDone);
    /// Sends a snapshot. `done` is called exactly once, when the receiver has it and says so, or when it cannot be.
    fn bulk(&self, to: NodeId, parcel: Parcel);
    /// Since when messages can be sent to `peer`; `None` while they cannot.
    fn active_since(&self, peer: NodeId) -> Option<Instant>;
    /// Closes all connections. Nothing is delivered to [`Inbound`] from some moment after that.
    fn stop(&self);
}

/// Makes the transport of a node, given where it reports to, or says why there can be none: a port that is taken, say. Called once,
/// when the node's queues exist.
pub type ConnectPeers = Box<dyn FnOnce(Arc<dyn Inbound>) -> Result<Arc<dyn Transport>, ConnectError> + Send>;

/// Why a transport could not be made, in its own words.
pub type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// A membership as the transport needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// All members; this one may be among them and is passed over.
    pub members: Vec<PeerAddress>,
    /// Members that were removed: refused with that reason.
    pub removed: Vec<NodeId>,
}

/// A member and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Its id.
    pub member: NodeId,
    /// Its peer URLs, tried in turn.
    pub urls: Vec<String>,
}

/// What is asked by a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Numbered by those who ask and answer.
    pub kind: u16,
    /// The question, within the limit of the protocol.
    pub body: Bytes,
    /// Patience.
    pub deadline: Duration,
}

/// Takes the answer to a call.
pub type CallDone = Box<dyn FnOnce(Result<Bytes, CallError>) + Send>;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It never left: the peer is not connected or too much waits for it. Asking another member, or again, is safe.
    #[error("the member cannot be reached")]
    Unreachable,
    /// It left and nothing came back: it may have been carried out.
    #[error("the member did not answer in time")]
    Unknown,
    /// The peer says why not.
    #[error(transparent)]
    Refused(#[from] NoAnswer),
}

/// Answers one call of a peer.
pub struct Responder {
    id: u64,
    reply: Option<Box<dyn FnOnce(Answer) + Send>>,
}

impl Responder {
    /// Of the call `id`. `reply` must not block.
    pub fn new(id: u64, reply: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self { id, reply: Some(Box::new(reply)) }
    }

    /// Answers.
    pub fn answer(mut self, result: Result<Bytes, NoAnswer>) {
        self.give(result);
    }

    fn give(&mut self, result: Result<Bytes, NoAnswer>) {
        if let Some(reply) = self.reply.take() {
            reply(Answer { id: self.id, result });
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.give(Err(NoAnswer::Failed));
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a bulk transfer is, as its sender says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkHeader {
    /// The sender, as its connection has shown.
    pub from: NodeId,
    /// Chosen by the sender; the same for every attempt at the same transfer.
    pub transfer: u64,
    /// Bytes in all.
    pub length: u64,
    /// What both ends agree on beyond that: term and index of a snapshot, say. At most 64 KiB.
    pub about: Bytes,
}

/// A snapshot to send.
pub struct Parcel {
    /// The same for every attempt at the same transfer.
    pub transfer: u64,
    /// Described to the receiver.
    pub about: Bytes,
    /// The bytes.
    pub source: Box<dyn BulkSource>,
    /// Takes the outcome.
    pub done: Box<dyn FnOnce(Result<(), BulkError>) + Send>,
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parcel").field("transfer", &self.transfer).finish_non_exhaustive()
    }
}

/// Bytes that can be read again from any place, because a broken connection is resumed. Called where it may block.
pub trait BulkSource: Send {
    /// Bytes in all. Must not change.
    fn length(&self) -> u64;
    /// Some bytes from `offset`, at least one and at most `most`, while `offset` is below the length.
    ///
    /// # Errors
    /// Of the disk; the transfer ends with it.
    fn read_at(&mut self, offset: u64, most: usize) -> std::io::Result<Bytes>;
}

/// Where a transfer's bytes go. Called where it may block. Dropped unfinished, it may keep what it has: the sender comes again with the
/// same transfer and asks how much that is.
pub trait BulkSink: Send {
    /// How many of the first bytes are here already, and their CRC-32C.
    ///
    /// # Errors
    /// Of the disk.
    fn progress(&mut self) -> std::io::Result<(u64, u32)>;
    /// The sender's bytes are others than those that are here: begin at zero.
    ///
    /// # Errors
    /// Of the disk.
    fn restart(&mut self) -> std::io::Result<()>;
    /// The next bytes.
    ///
    /// # Errors
    /// Of the disk, or what is wrong with the bytes; the sender gives up with this sentence.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// All bytes are here and their checksum is right. Only what is durable may be called received.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

/// Why a snapshot was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// Connections broke, without progress in between.
    #[error("the connection broke too often without progress")]
    Unreachable,
    /// The receiver does not want it, or could not keep it.
    #[error("the receiver refused it: {0}")]
    Refused(String),
    /// It cannot be read here.
    #[error("it cannot be read: {0}")]
    Source(String),
    /// The transport stops, or the peer was removed.
    #[error("the transport was stopped")]
    Stopped,
}
