//! Answers to a client connection thread: one list per commit batch and thread, never a wake per request.

use crate::admin::RaftView;
use crate::auth::PasswordAnswer;
use crate::ids::{SinkId, Token};
use crate::lease::LeaseReply;
use crate::read::{ChunkSource, RangePlan, TxnPlan};
use crate::v2::HeldListing;
use crate::watch::WatchFrame;
use bytes::Bytes;
use model::{Applied, ReadError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Why a request was not carried out, or is not known to have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestError {
    /// There is no leader.
    #[error("no leader")]
    NoLeader,
    /// Leadership moved; the request had no effect.
    #[error("leader changed")]
    LeaderChanged,
    /// This member does not lead.
    #[error("not leader")]
    NotLeader,
    /// Leadership was to be given to somebody who is not a voter.
    #[error("bad leader transferee")]
    BadTransferee,
    /// The new leader does not lead within the request timeout.
    #[error("leader transfer took too long")]
    TransferTimeout,
    /// It is larger than anything that members can send each other.
    #[error("request is too large")]
    TooLarge,
    /// Too much is committed and not yet applied.
    #[error("too many requests")]
    TooManyRequests,
    /// No outcome within the request timeout; it may still take effect.
    #[error("request timed out")]
    Timeout,
    /// No outcome, after the leader was lost; it may still take effect.
    #[error("request timed out, possibly due to previous leader failure")]
    TimeoutLeaderLost,
    /// The member is stopping; the request had no effect.
    #[error("server stopped")]
    Stopped,
    /// The member has a job of this kind running already.
    #[error("busy")]
    Busy,
    /// This member is the only voter: its store cannot be rebuilt from that of another one.
    #[error("there is no other member")]
    NoOtherMember,
    /// The membership is not changed; the request had no effect.
    #[error(transparent)]
    Member(#[from] model::MemberRefusal),
    /// A stored entry could not be read; the node stops.
    #[error("store failed")]
    Failed,
}

/// One answer.
pub struct Reply {
    /// The call, or the watch stream.
    pub token: Token,
    /// What is answered.
    pub body: ReplyBody,
}

/// What an answer says.
pub enum ReplyBody {
    /// A proposal was applied, or certainly was not, or is unknown.
    Applied(Result<Applied, RequestError>),
    /// The applications that stand behind this in the same list began then and took so long. Said while calls are traced, and to
    /// nobody's token.
    AppliedBetween(Instant, Duration),
    /// A linearizable read may be served from the newest view; refused without a leader or quorum.
    ReadGranted(Result<(), RequestError>),
    /// A big range was measured and can be pulled chunk by chunk.
    RangePlanned(Result<RangePlan, ReadError>),
    /// A read-only transaction was evaluated, and what is big in it was measured.
    TxnRead(Result<TxnPlan, ReadError>),
    /// A directory of the v2 tree was listed.
    V2Listed(Result<HeldListing, ReadError>),
    /// The v2 tree has new events. It is told to every sink, names no call, and is left out while nobody watches.
    V2Changed,
    /// The next chunk of a source, with the source to pull again.
    Chunk {
        /// To be sent back for the next chunk; dropped to give up.
        source: Box<dyn ChunkSource>,
        /// `None` behind the last chunk.
        chunk: Result<Option<Bytes>, ReadError>,
    },
    /// The keys of leases were looked at; refused when one of them is not the caller's to see or change.
    LeasesChecked(Result<(), ReadError>),
    /// From the password pool.
    Password(PasswordAnswer),
    /// Answer of the hash jobs. Another member that gives none is a [`ReplyBody::JobDone`] with an error.
    Hash(Result<HashAnswer, ReadError>),
    /// A snapshot is ready to be pulled: its length and source.
    SnapshotOpened(Result<SnapshotAnswer, RequestError>),
    /// A maintenance job without data finished.
    JobDone(Result<(), RequestError>),
    /// The state of consensus.
    RaftDescribed(Box<RaftView>),
    /// From the lease manager.
    Lease(Result<LeaseReply, RequestError>),
    /// From the watch hub: what to send on the stream, in this order.
    Watch(Vec<WatchFrame>),
}

/// Outcome of a hash over the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashAnswer {
    /// CRC-32C.
    pub hash: u32,
    /// Compact revision of the view hashed.
    pub compact_revision: i64,
    /// Revision up to which versions were hashed.
    pub hash_revision: i64,
    /// Current revision, for the header.
    pub revision: i64,
}

/// A snapshot that can be pulled.
pub struct SnapshotAnswer {
    /// Bytes in all, a multiple of 512, without the checksum trailer.
    pub total: u64,
    /// The source: so many bytes, then the checksum as the last chunk.
    pub source: Box<dyn ChunkSource>,
}

/// A client connection thread (or an in-process client) as owners see it.
pub trait ReplySink: Send + Sync {
    /// Hands over answers in order. Must not block; wakes the receiver at most once.
    fn deliver(&self, replies: Vec<Reply>);

    /// The node has stopped and delivers nothing any more. A sink that lets its callers wait without a time limit must
    /// release them here.
    fn node_stopped(&self) {}
}

/// The sinks of a node: registered while it starts, looked up by id afterwards.
#[derive(Default)]
pub struct Sinks(OnceLock<Box<[Arc<dyn ReplySink>]>>);

impl Sinks {
    /// Sets all sinks, once.
    ///
    /// # Panics
    /// When called twice.
    pub fn register(&self, sinks: Vec<Arc<dyn ReplySink>>) {
        assert!(self.0.set(sinks.into()).is_ok(), "sinks are registered once, while the node starts");
    }

    /// Delivers to one sink. Answers to a sink that never was registered are dropped.
    pub fn deliver(&self, sink: SinkId, replies: Vec<Reply>) {
        if let Some(sink) = self.0.get().and_then(|sinks| sinks.get(sink.0 as usize)) {
            sink.deliver(replies);
        }
    }

    /// Tells every sink the same, under a token that names no call.
    pub fn tell_all(&self, body: impl Fn() -> ReplyBody) {
        for sink in self.0.get().into_iter().flatten() {
            sink.deliver(vec![Reply { token: Token::MAX, body: body() }]);
        }
    }

    /// Tells every sink that the node has stopped.
    pub fn node_stopped(&self) {
        for sink in self.0.get().into_iter().flatten() {
            sink.node_stopped();
        }
    }
}

/// Answers collected during one batch, handed over as one list per sink.
#[derive(Default)]
pub struct Outbox(Vec<(SinkId, Vec<Reply>)>);

impl Outbox {
    /// Adds an answer.
    pub fn push(&mut self, sink: SinkId, reply: Reply) {
        match self.0.iter_mut().find(|(id, _)| *id == sink) {
            Some((_, list)) => list.push(reply),
            None => self.0.push((sink, vec![reply])),
        }
    }

    /// Delivers everything, one list and one wake per sink.
    pub fn flush(&mut self, sinks: &Sinks) {
        for (sink, list) in self.0.drain(..) {
            sinks.deliver(sink, list);
        }
    }
}
