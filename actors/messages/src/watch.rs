//! Client ↔ watch hub.

use crate::ids::{SinkId, Token};
use crate::read::ChunkSource;
use bytes::Bytes;
use model::KeyRange;
use std::sync::{Arc, Mutex, PoisonError};

/// A watch stream of a client: its connection thread and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The thread.
    pub sink: SinkId,
    /// The stream.
    pub token: Token,
}

/// A checked create request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateWatch {
    /// Zero: the hub picks the next free id of the stream.
    pub watch_id: i64,
    /// What to watch.
    pub range: KeyRange,
    /// Zero: from the next revision on.
    pub start_revision: i64,
    /// Periodic progress.
    pub progress_notify: bool,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletes.
    pub no_delete: bool,
    /// Send the key-value before each event.
    pub prev_kv: bool,
    /// Split big responses.
    pub fragment: bool,
}

impl CreateWatch {
    /// Puts and deletes of `range` from the next revision on, without previous values, progress or fragments.
    pub fn new(range: KeyRange) -> Self {
        Self {
            watch_id: 0,
            range,
            start_revision: 0,
            progress_notify: false,
            no_put: false,
            no_delete: false,
            prev_kv: false,
            fragment: false,
        }
    }
}

/// Client → hub.
#[derive(Clone, Debug)]
pub enum ToHub {
    /// A stream begins with `credit` bytes that may be sent on it before more is granted.
    OpenStream {
        /// The stream.
        stream: StreamKey,
        /// Bytes.
        credit: usize,
    },
    /// A watcher.
    Create {
        /// The stream.
        stream: StreamKey,
        /// What.
        create: CreateWatch,
    },
    /// Answer a create that is refused, in its turn.
    Refuse {
        /// The stream.
        stream: StreamKey,
        /// Text for the client.
        reason: String,
    },
    /// End a watcher.
    Cancel {
        /// The stream.
        stream: StreamKey,
        /// Which.
        watch_id: i64,
    },
    /// A promise of progress for the whole stream.
    Progress {
        /// The stream.
        stream: StreamKey,
    },
    /// The client took this much: so much more may be sent.
    Credit {
        /// The stream.
        stream: StreamKey,
        /// Bytes.
        bytes: usize,
    },
    /// The stream is gone.
    CloseStream {
        /// The stream.
        stream: StreamKey,
    },
}

/// Several messages to the hub, in order: one send per connection thread and round.
#[derive(Clone, Debug)]
pub struct WatchRequests(pub Vec<ToHub>);

/// What the hub sends on a stream, in order. `revision` is the header's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchFrame {
    /// Answer to a create.
    Created {
        /// The id in force.
        watch_id: i64,
        /// Header revision.
        revision: i64,
    },
    /// A watcher ended (or never began: then `created` is set as well and the id is -1).
    Canceled {
        /// The id.
        watch_id: i64,
        /// Also answer to the create.
        created: bool,
        /// Header revision; zero after compaction.
        revision: i64,
        /// Not zero: why, the start had been compacted away up to here.
        compact_revision: i64,
        /// Text for the client; empty after compaction.
        reason: String,
    },
    /// Events of whole revisions (or a part of one, in a fragment).
    Events {
        /// The watcher.
        watch_id: i64,
        /// Header revision.
        revision: i64,
        /// Encoded `events` fields (tag, length, event) of the response, shared between watchers.
        events: Vec<Bytes>,
        /// More of the same response follows.
        fragment: bool,
    },
    /// Events that are too many to lie in memory: pulled while the client takes them. Of one revision, or of several when the
    /// client takes the response in parts.
    Oversized {
        /// The watcher.
        watch_id: i64,
        /// Header revision.
        revision: i64,
        /// The events.
        events: OversizedEvents,
        /// The client takes the response in parts.
        fragment: bool,
    },
    /// Every event up to `revision` has been sent before: for one watcher, or with id -1 for the stream.
    Progress {
        /// The watcher or -1.
        watch_id: i64,
        /// Header revision.
        revision: i64,
    },
}

/// Bytes an event in a frame counts besides its own.
pub const EVENT_COST: usize = 32;

impl WatchFrame {
    /// Bytes a frame counts besides its events.
    pub const COST: usize = 64;
    /// Bytes a frame of oversized events counts: more than a stream is ever granted at once, so that nothing else is sent meanwhile.
    pub const OVERSIZED_COST: usize = 512 << 10;

    /// Bytes it counts against the stream's credit: events and a fixed share for the rest.
    pub fn cost(&self) -> usize {
        match self {
            Self::Events { events, .. } => Self::COST + events.iter().map(|e| e.len() + EVENT_COST).sum::<usize>(),
            Self::Oversized { .. } => Self::OVERSIZED_COST,
            _ => Self::COST,
        }
    }
}

/// Events of whole revisions, to be pulled: each chunk is a number of whole `events` fields, as in [`WatchFrame::Events`].
#[derive(Clone)]
pub struct OversizedEvents {
    /// Bytes that all chunks have together.
    pub bytes: u64,
    source: Arc<Mutex<Option<Box<dyn ChunkSource>>>>,
}

impl OversizedEvents {
    /// Around a source of so many bytes.
    pub fn new(bytes: u64, source: Box<dyn ChunkSource>) -> Self {
        Self { bytes, source: Arc::new(Mutex::new(Some(source))) }
    }

    /// The source; it can be taken once.
    pub fn take(&self) -> Option<Box<dyn ChunkSource>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl std::fmt::Debug for OversizedEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OversizedEvents({} bytes)", self.bytes)
    }
}

impl PartialEq for OversizedEvents {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }
}

impl Eq for OversizedEvents {}

impl actix::Message for WatchRequests {
    type Result = ();
}
