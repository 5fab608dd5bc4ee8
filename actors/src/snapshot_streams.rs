//! Snapshots on their way to clients: each is read by a thread of its own, a few chunks ahead of its client.
//!
//! So reading, hashing and sending overlap, and a checkpoint, which takes a while to close, is closed where it was read. Must never
//! read on while nobody takes anything: a chunk waits until there is room for it.

use crate::cancellable::Cancellable;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use messages::read::ChunkSource;
use model::{ReadError, SnapshotFormat};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use storage::apply::OpenError;
use storage::engine::{Engine, EngineError, Snapshot};
use storage::etcd::EtcdSource;
use storage::snapshot::{HASH_BYTES, SnapshotSource, StreamEnd, StreamHeader};

/// Chunks read ahead of a client.
const AHEAD: usize = 2;
/// Pause between two looks whether a stream that nobody takes anything of was ended.
const LOOK: Duration = Duration::from_millis(50);

/// Removes a checkpoint when nobody reads it any more.
pub(crate) struct CheckpointDir(pub(crate) PathBuf);

impl Drop for CheckpointDir {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %why, "cannot remove a checkpoint");
        }
    }
}

/// The rows of a checkpoint, as a stream in one of the formats.
pub(crate) enum ClientSource<S> {
    Etcd(EtcdSource<S>),
    Conclave(SnapshotSource<S>),
}

impl<S: Snapshot> ClientSource<S> {
    /// # Errors
    /// [`OpenError`] when the rows cannot be read.
    pub(crate) fn new(rows: S, format: SnapshotFormat, version: &str) -> Result<Self, OpenError> {
        match format {
            SnapshotFormat::Etcd => Ok(Self::Etcd(EtcdSource::new(rows, version)?)),
            SnapshotFormat::Conclave => {
                let header = StreamHeader::read(&rows, version)?;
                Ok(Self::Conclave(SnapshotSource::new(rows, &header)?))
            }
        }
    }

    /// Bytes before the hash.
    pub(crate) fn total_bytes(&self) -> u64 {
        match self {
            Self::Etcd(source) => source.total_bytes(),
            Self::Conclave(source) => source.total_bytes(),
        }
    }

    fn send(self, take: impl FnMut(bytes::Bytes) -> ControlFlow<()>) -> Result<StreamEnd, EngineError> {
        match self {
            Self::Etcd(source) => source.send(take),
            Self::Conclave(source) => source.send(take),
        }
    }
}

/// A checkpoint of the store. Field order is drop order: rows before engine before files.
pub(crate) struct Checkpoint<E: Engine> {
    pub(crate) source: ClientSource<Cancellable<E::Snapshot>>,
    pub(crate) engine: E,
    pub(crate) dir: CheckpointDir,
}

/// What the owner of client jobs knows of a stream.
pub(crate) struct StreamState {
    /// Counts the stream as open, as long as it is.
    open: Mutex<Option<Arc<()>>>,
    pulled: Mutex<Instant>,
    ended: AtomicBool,
}

impl StreamState {
    /// Time since the last pull.
    pub(crate) fn idle(&self) -> Duration {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Ends the stream: its client hears of it at the next pull.
    pub(crate) fn end(&self) {
        self.ended.store(true, Release);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Acquire)
    }
}

enum Part {
    Chunk(bytes::Bytes),
    Hash([u8; HASH_BYTES]),
    Failed(String),
}

/// A stream that was just opened.
pub(crate) struct Opened {
    pub(crate) chunks: Box<dyn ChunkSource>,
    pub(crate) state: Arc<StreamState>,
    pub(crate) reader: JoinHandle<()>,
}

/// Begins to read a checkpoint; `open` counts the stream.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn open<E: Engine>(checkpoint: Checkpoint<E>, open: Arc<()>) -> std::io::Result<Opened> {
    let (parts, taken) = bounded(AHEAD);
    let state = Arc::new(StreamState {
        open: Mutex::new(Some(open)),
        pulled: Mutex::new(Instant::now()),
        ended: AtomicBool::new(false),
    });
    let of_reader = state.clone();
    let reader =
        std::thread::Builder::new().name("snapshot".into()).spawn(move || read(checkpoint, &parts, &of_reader))?;
    let chunks = Box::new(Chunks { taken, state: state.clone(), done: false });
    Ok(Opened { chunks, state, reader })
}

fn read<E: Engine>(checkpoint: Checkpoint<E>, parts: &Sender<Part>, state: &StreamState) {
    let Checkpoint { source, engine, dir } = checkpoint;
    let last = match source.send(|chunk| give(parts, state, Part::Chunk(chunk))) {
        Ok(StreamEnd::Whole(hash)) => Part::Hash(hash),
        Ok(StreamEnd::Broken) => return drop((engine, dir)),
        Err(why) => Part::Failed(why.to_string()),
    };
    let _ = give(parts, state, last);
    // Closing takes a while: the client has everything by now.
    drop((engine, dir));
}

/// Waits until there is room for a part, its client is gone, or the stream was ended.
fn give(parts: &Sender<Part>, state: &StreamState, mut part: Part) -> ControlFlow<()> {
    while !state.is_ended() {
        part = match parts.send_timeout(part, LOOK) {
            Ok(()) => return ControlFlow::Continue(()),
            Err(SendTimeoutError::Timeout(part)) => part,
            Err(SendTimeoutError::Disconnected(_)) => break,
        };
    }
    ControlFlow::Break(())
}

/// The client's end of a stream.
struct Chunks {
    taken: Receiver<Part>,
    state: Arc<StreamState>,
    /// The checksum is out.
    done: bool,
}

impl ChunkSource for Chunks {
    fn next(&mut self, _max_bytes: usize) -> Result<Option<bytes::Bytes>, ReadError> {
        if self.done {
            return Ok(None);
        }
        *self.state.pulled.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if self.state.is_ended() {
            return Err(ReadError::Store("the snapshot was ended because nothing was taken of it".into()));
        }
        match self.taken.recv() {
            Ok(Part::Chunk(chunk)) => Ok(Some(chunk)),
            Ok(Part::Hash(hash)) => {
                self.done = true;
                // etcd's last message is the checksum of all before
                Ok(Some(bytes::Bytes::copy_from_slice(&hash)))
            }
            Ok(Part::Failed(why)) => Err(ReadError::Store(why)),
            Err(_) => Err(ReadError::Store("the snapshot was ended".into())),
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.state.end();
    }
}
