//! Answers to a client connection thread: one list per commit batch and thread, never a wake per request.

use crate::lease::LeaseReply;
use crate::read::{ChunkSource, RangePlan, TxnPlan};
use crate::watch::WatchFrame;
use bytes::Bytes;
use model::{Applied, ReadError};
use std::sync::{Arc, OnceLock};

/// Which sink an answer goes to; index into [`Sinks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub u32);

/// Names a waiting call within its sink.
pub type Token = u64;

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
    /// A stored entry could not be read; the node stops.
    #[error("store failed")]
    Failed,
}

/// One answer.
pub enum Reply {
    /// A proposal was applied, or certainly was not, or is unknown.
    Applied {
        /// The call.
        token: Token,
        /// What came of it.
        result: Result<Applied, RequestError>,
    },
    /// A linearizable read may be served from the newest view.
    ReadGranted {
        /// The call.
        token: Token,
        /// Refused without a leader or quorum.
        result: Result<(), RequestError>,
    },
    /// A big range was measured and can be pulled chunk by chunk.
    RangePlanned {
        /// The call.
        token: Token,
        /// The plan.
        result: Result<RangePlan, ReadError>,
    },
    /// A read-only transaction was evaluated, and what is big in it was measured.
    TxnRead {
        /// The call.
        token: Token,
        /// The plan.
        result: Result<TxnPlan, ReadError>,
    },
    /// The next chunk of a source, with the source to pull again.
    Chunk {
        /// The call.
        token: Token,
        /// To be sent back for the next chunk; dropped to give up.
        source: Box<dyn ChunkSource>,
        /// `None` behind the last chunk.
        chunk: Result<Option<Bytes>, ReadError>,
    },
    /// Answer of the hash jobs.
    Hash {
        /// The call.
        token: Token,
        /// Hash, compact revision, revision hashed.
        result: Result<HashAnswer, ReadError>,
    },
    /// A snapshot is ready to be pulled.
    SnapshotOpened {
        /// The call.
        token: Token,
        /// Its length and source.
        result: Result<SnapshotAnswer, RequestError>,
    },
    /// A maintenance job without data finished.
    JobDone {
        /// The call.
        token: Token,
        /// How.
        result: Result<(), RequestError>,
    },
    /// From the lease manager.
    Lease {
        /// The call.
        token: Token,
        /// The answer.
        result: Result<LeaseReply, RequestError>,
    },
    /// From the watch hub; `token` names the stream.
    Watch {
        /// The stream.
        token: Token,
        /// What to send on it, in this order.
        frames: Vec<WatchFrame>,
    },
    /// The node stops: end every stream and refuse what still waits.
    Stopping,
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

    /// Delivers the same kind of answer to every sink.
    pub fn broadcast(&self, make: impl Fn() -> Reply) {
        for sink in self.0.get().into_iter().flatten() {
            sink.deliver(vec![make()]);
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
