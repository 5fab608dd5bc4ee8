//! Jobs that clients order and that may take minutes: a stream of the whole store, defragmentation. One at a time, on a
//! thread of their own, so that neither a flush nor the log's next segment waits for them.
//!
//! Must never touch the write side of the store, nor keep a stop waiting: every walk looks at `stopping`.

use crate::cancellable::Cancellable;
use crate::death_watch::DeathWatch;
use crate::limits::{OPEN_SNAPSHOTS, SNAPSHOT_STALL};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use messages::admin::{MaintenanceJob, RunJob};
use messages::read::ChunkSource;
use messages::reply::SnapshotAnswer;
use messages::{Gauges, Reply, ReplyBody, RequestError, Sinks};
use model::ReadError;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use storage::engine::{Engine, EngineError};
use storage::snapshot::{SnapshotSource, StreamHeader};

/// Opens a checkpoint as an engine of its own.
pub type OpenEngine<E> = Box<dyn Fn(&Path) -> Result<E, EngineError> + Send>;

/// Ends this owner talks to.
pub struct MaintenanceParts<E: Engine> {
    /// Its queue.
    pub inbox: Receiver<RunJob>,
    /// Ends it when its other end is dropped.
    pub stop: Receiver<()>,
    /// The store's engine.
    pub engine: Arc<E>,
    /// Opens a checkpoint.
    pub open: OpenEngine<E>,
    /// Called before a defragmentation: gives it room where the disk is short of it.
    pub make_room: Box<dyn Fn() + Send>,
    /// Where checkpoints are made; on the file system of the store.
    pub scratch: PathBuf,
    /// Version of the server, as streams say it; the rest of their header is read from each checkpoint.
    pub server_version: String,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// The owner of maintenance jobs.
pub struct MaintenanceJobs<E: Engine> {
    parts: MaintenanceParts<E>,
    made: u64,
    /// Held once by each open checkpoint: their number is its count.
    open: Arc<()>,
    /// Checkpoints nobody reads any more. Closing one takes a while, so it is not done where the last chunk was sent.
    closing: (Sender<Checkpoint<E>>, Receiver<Checkpoint<E>>),
    slots: Vec<Weak<Slot<E>>>,
}

impl<E: Engine> MaintenanceJobs<E> {
    /// Around the engine of an opened store. Remains of checkpoints of an earlier run are removed.
    pub fn new(parts: MaintenanceParts<E>) -> Self {
        if parts.scratch.exists()
            && let Err(why) = std::fs::remove_dir_all(&parts.scratch)
        {
            tracing::warn!(path = %parts.scratch.display(), error = %why, "cannot remove old checkpoints");
        }
        Self { parts, made: 0, open: Arc::default(), closing: bounded(OPEN_SNAPSHOTS), slots: Vec::new() }
    }

    /// Runs until it is told to stop. A job that fails is its caller's trouble alone.
    pub fn run(mut self, watch: DeathWatch) {
        loop {
            select! {
                recv(self.parts.inbox) -> job => match job {
                    Ok(job) => self.run_job(job),
                    Err(_) => break,
                },
                recv(self.closing.1) -> checkpoint => drop(checkpoint),
                recv(self.parts.stop) -> _ => break,
            }
        }
        watch.finish();
    }

    fn run_job(&mut self, run: RunJob) {
        let stopping = self.parts.gauges.stopping.load(Acquire);
        let body = match run.job {
            MaintenanceJob::OpenSnapshot if stopping => ReplyBody::SnapshotOpened(Err(RequestError::Stopped)),
            MaintenanceJob::Defragment if stopping => ReplyBody::JobDone(Err(RequestError::Stopped)),
            MaintenanceJob::OpenSnapshot => ReplyBody::SnapshotOpened(self.open_snapshot()),
            MaintenanceJob::Defragment => ReplyBody::JobDone(self.defragment()),
        };
        self.parts.sinks.deliver(run.sink, vec![Reply { token: run.token, body }]);
    }

    fn defragment(&self) -> Result<(), RequestError> {
        let gauges = &self.parts.gauges;
        gauges.defragmenting.store(true, Release);
        (self.parts.make_room)();
        let done = self.parts.engine.compact_files(&|| !gauges.stopping.load(Relaxed));
        gauges.defragmenting.store(false, Release);
        gauges.disk_bytes.store(self.parts.engine.disk_bytes(), Relaxed);
        match done {
            Ok(()) if gauges.stopping.load(Acquire) => Err(RequestError::Stopped),
            Ok(()) => Ok(()),
            Err(why) => {
                tracing::error!(error = %why, "defragmentation failed");
                Err(RequestError::Failed)
            }
        }
    }

    fn open_snapshot(&mut self) -> Result<SnapshotAnswer, RequestError> {
        // those that wait to be closed must not count against a new one
        self.closing.1.try_iter().for_each(drop);
        self.slots.retain(|slot| slot.strong_count() > 0);
        if Arc::strong_count(&self.open) > OPEN_SNAPSHOTS && !self.end_stalled() {
            return Err(RequestError::Busy);
        }
        self.checkpoint().map_err(|why| {
            if self.parts.gauges.stopping.load(Acquire) {
                return RequestError::Stopped;
            }
            tracing::error!(error = %why, "cannot open a snapshot of the store");
            RequestError::Failed
        })
    }

    /// Ends the stream that was pulled least lately, if that was long ago: a client that takes nothing must not keep others from
    /// their backups.
    fn end_stalled(&mut self) -> bool {
        let slots = self.slots.iter().filter_map(Weak::upgrade);
        let idlest = slots.max_by_key(|slot| slot.idle()).filter(|slot| slot.idle() > SNAPSHOT_STALL);
        let ended = idlest.and_then(|slot| slot.take());
        if ended.is_some() {
            tracing::warn!("ending a snapshot whose client takes nothing: another one is asked for");
        }
        ended.is_some()
    }

    fn checkpoint(&mut self) -> Result<SnapshotAnswer, String> {
        std::fs::create_dir_all(&self.parts.scratch).map_err(|e| e.to_string())?;
        self.made += 1;
        let dir = CheckpointDir(self.parts.scratch.join(format!("checkpoint-{}", self.made)));
        self.parts.engine.checkpoint(&dir.0).map_err(|e| e.to_string())?;
        let engine = (self.parts.open)(&dir.0).map_err(|e| e.to_string())?;
        let snapshot = Cancellable::new(engine.snapshot(), self.parts.gauges.clone());
        let header = StreamHeader::read(&snapshot, &self.parts.server_version).map_err(|e| e.to_string())?;
        let source = SnapshotSource::new(snapshot, &header).map_err(|e| e.to_string())?;
        let total = source.total_bytes();
        let checkpoint = Checkpoint { source, _engine: engine, _dir: dir, _open: self.open.clone() };
        let slot = Arc::new(Slot { checkpoint: Mutex::new(Some(checkpoint)), pulled: Mutex::new(Instant::now()) });
        self.slots.push(Arc::downgrade(&slot));
        let source = CheckpointSource { slot, ended: false, close: self.closing.0.clone() };
        Ok(SnapshotAnswer { total, source: Box::new(source) })
    }
}

/// Removes a checkpoint when nobody reads it any more.
struct CheckpointDir(PathBuf);

impl Drop for CheckpointDir {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %why, "cannot remove a checkpoint");
        }
    }
}

/// An open checkpoint: field order is drop order, rows before engine before files.
struct Checkpoint<E: Engine> {
    source: SnapshotSource<Cancellable<E::Snapshot>>,
    _engine: E,
    _dir: CheckpointDir,
    _open: Arc<()>,
}

/// A checkpoint that its stream reads, and that its owner may take away.
struct Slot<E: Engine> {
    checkpoint: Mutex<Option<Checkpoint<E>>>,
    pulled: Mutex<Instant>,
}

impl<E: Engine> Slot<E> {
    fn take(&self) -> Option<Checkpoint<E>> {
        // nothing is half done when a pull panics: its thread takes the node along
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Time since the last pull.
    fn idle(&self) -> Duration {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// A snapshot stream over a checkpoint, which is sent home to be closed.
struct CheckpointSource<E: Engine> {
    slot: Arc<Slot<E>>,
    /// The checksum is out.
    ended: bool,
    close: Sender<Checkpoint<E>>,
}

impl<E: Engine> ChunkSource for CheckpointSource<E> {
    fn next(&mut self, _max_bytes: usize) -> Result<Option<bytes::Bytes>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        *self.slot.pulled.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut checkpoint = self.slot.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = || ReadError::Store("the snapshot was ended because nothing was taken of it".into());
        let checkpoint = checkpoint.as_mut().ok_or_else(stalled)?;
        // chunks have the size that etcd's clients know
        let chunk = checkpoint.source.next_chunk().map_err(|e| ReadError::Store(e.to_string()))?;
        self.ended = chunk.is_none();
        // etcd's last message is the checksum of all before
        Ok(Some(chunk.unwrap_or_else(|| bytes::Bytes::copy_from_slice(&checkpoint.source.hash()))))
    }
}

impl<E: Engine> Drop for CheckpointSource<E> {
    fn drop(&mut self) {
        if let Some(checkpoint) = self.slot.take() {
            // there is a place for each open one; when its owner has ended, it is closed here
            let _ = self.close.try_send(checkpoint);
        }
    }
}
