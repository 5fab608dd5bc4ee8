//! Jobs that clients order and that may take minutes: a stream of the whole store, defragmentation. One at a time, on a
//! thread of their own, so that neither a flush nor the log's next segment waits for them.
//!
//! Must never touch the write side of the store, nor keep a stop waiting: every walk looks at `stopping`.

use crate::cancellable::Cancellable;
use crate::death_watch::DeathWatch;
use crate::limits::{OPEN_SNAPSHOTS, SNAPSHOT_STALL};
use crate::snapshot_streams::{self, Checkpoint, CheckpointDir, ClientSource, StreamState};
use crate::store_cell::StoreCell;
use crate::wiring::flush::ToFlusher;
use crossbeam_channel::{Receiver, Sender, select};
use messages::admin::{MaintenanceJob, RunJob};
use messages::reply::SnapshotAnswer;
use messages::{Gauges, Reply, ReplyBody, RequestError, Sinks};
use model::SnapshotFormat;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;
use storage::engine::{Engine, EngineError};

/// Opens a checkpoint as an engine of its own.
pub type OpenEngine<E> = Arc<dyn Fn(&Path) -> Result<E, EngineError> + Send + Sync>;

/// Ends this owner talks to.
pub struct MaintenanceParts<E: Engine> {
    /// Its queue.
    pub inbox: Receiver<RunJob>,
    /// Ends it when its other end is dropped.
    pub stop: Receiver<()>,
    /// Where the store's engine is found.
    pub store: Arc<StoreCell<E>>,
    /// Opens a checkpoint.
    pub open: OpenEngine<E>,
    /// Called before a defragmentation: gives it room where the disk is short of it.
    pub make_room: Box<dyn Fn() + Send>,
    /// Where checkpoints are made; on the file system of the store.
    pub scratch: PathBuf,
    /// Version of the server, as streams say it; the rest of their header is read from each checkpoint.
    pub server_version: String,
    /// Told whenever a job has flushed the store: the log before it can go.
    pub flusher: Sender<ToFlusher>,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// The owner of maintenance jobs.
pub struct MaintenanceJobs<E: Engine> {
    parts: MaintenanceParts<E>,
    made: u64,
    /// Held once by each open stream: their number is its count.
    open: Arc<()>,
    streams: Vec<Weak<StreamState>>,
    readers: Vec<JoinHandle<()>>,
}

impl<E: Engine> MaintenanceJobs<E> {
    /// Around the engine of an opened store. Remains of checkpoints of an earlier run are removed.
    pub fn new(parts: MaintenanceParts<E>) -> Self {
        if parts.scratch.exists()
            && let Err(why) = std::fs::remove_dir_all(&parts.scratch)
        {
            tracing::warn!(path = %parts.scratch.display(), error = %why, "cannot remove old checkpoints");
        }
        Self { parts, made: 0, open: Arc::default(), streams: Vec::new(), readers: Vec::new() }
    }

    /// Runs until it is told to stop. A job that fails is its caller's trouble alone.
    pub fn run(mut self, watch: DeathWatch) {
        loop {
            select! {
                recv(self.parts.inbox) -> job => match job {
                    Ok(job) => self.run_job(job),
                    Err(_) => break,
                },
                recv(self.parts.stop) -> _ => break,
            }
        }
        self.streams.iter().filter_map(Weak::upgrade).for_each(|stream| stream.end());
        for reader in self.readers {
            if reader.join().is_err() {
                tracing::error!("a thread that read a snapshot has panicked");
            }
        }
        watch.finish();
    }

    fn run_job(&mut self, run: RunJob) {
        let stopping = self.parts.gauges.stopping.load(Acquire);
        let body = match run.job {
            MaintenanceJob::OpenSnapshot(_) if stopping => ReplyBody::SnapshotOpened(Err(RequestError::Stopped)),
            MaintenanceJob::Defragment if stopping => ReplyBody::JobDone(Err(RequestError::Stopped)),
            MaintenanceJob::OpenSnapshot(format) => ReplyBody::SnapshotOpened(self.open_snapshot(format)),
            MaintenanceJob::Defragment => ReplyBody::JobDone(self.defragment()),
        };
        // jobs flush the store; a full queue holds an order that comes to the same
        let _ = self.parts.flusher.try_send(ToFlusher::Flush);
        self.parts.sinks.deliver(run.sink, vec![Reply { token: run.token, body }]);
    }

    fn defragment(&self) -> Result<(), RequestError> {
        let gauges = &self.parts.gauges;
        // a snapshot that comes in replaces the store: to rewrite it would be in vain, and take the room
        if gauges.receiving_snapshot.load(Acquire) {
            return Err(RequestError::Busy);
        }
        gauges.defragmenting.store(true, Release);
        (self.parts.make_room)();
        let (engine, begun) = (self.parts.store.load(), Instant::now());
        tracing::info!("starting defragment");
        let done = engine.compact_files(&|| !gauges.stopping.load(Relaxed) && !gauges.receiving_snapshot.load(Relaxed));
        gauges.defragmenting.store(false, Release);
        gauges.disk_bytes.store(engine.disk_bytes(), Relaxed);
        match done {
            Ok(()) if gauges.stopping.load(Acquire) => Err(RequestError::Stopped),
            Ok(()) if gauges.receiving_snapshot.load(Acquire) => Err(RequestError::Busy),
            Ok(()) => {
                gauges.measured.defragmentations.observe(begun.elapsed());
                tracing::info!(took = ?begun.elapsed(), "finished defragment");
                Ok(())
            }
            Err(why) => {
                tracing::error!(error = %why, "defragmentation failed");
                Err(RequestError::Failed)
            }
        }
    }

    fn open_snapshot(&mut self, format: SnapshotFormat) -> Result<SnapshotAnswer, RequestError> {
        self.streams.retain(|stream| stream.strong_count() > 0);
        self.readers.retain(|reader| !reader.is_finished());
        if Arc::strong_count(&self.open) > OPEN_SNAPSHOTS && !self.end_stalled() {
            return Err(RequestError::Busy);
        }
        let begun = Instant::now();
        let opened = self.checkpoint(format);
        if opened.is_ok() {
            self.parts.gauges.measured.snapshots_opened.observe(begun.elapsed());
        }
        opened.map_err(|why| {
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
        let streams = self.streams.iter().filter_map(Weak::upgrade).filter(|stream| !stream.is_ended());
        let idlest = streams.max_by_key(|stream| stream.idle()).filter(|stream| stream.idle() > SNAPSHOT_STALL);
        let Some(idlest) = idlest else { return false };
        tracing::warn!("ending a snapshot whose client takes nothing: another one is asked for");
        idlest.end();
        true
    }

    fn checkpoint(&mut self, format: SnapshotFormat) -> Result<SnapshotAnswer, String> {
        std::fs::create_dir_all(&self.parts.scratch).map_err(|e| e.to_string())?;
        self.made += 1;
        let dir = CheckpointDir(self.parts.scratch.join(format!("checkpoint-{}", self.made)));
        self.parts.store.load().checkpoint(&dir.0).map_err(|e| e.to_string())?;
        let engine = (self.parts.open)(&dir.0).map_err(|e| e.to_string())?;
        let snapshot = Cancellable::new(engine.snapshot(), self.parts.gauges.clone());
        let source = ClientSource::new(snapshot, format, &self.parts.server_version).map_err(|e| e.to_string())?;
        let total = source.total_bytes();
        let opened = snapshot_streams::open(Checkpoint { source, engine, dir }, self.open.clone());
        let opened = opened.map_err(|e| e.to_string())?;
        self.streams.push(Arc::downgrade(&opened.state));
        self.readers.push(opened.reader);
        Ok(SnapshotAnswer { total, source: opened.chunks })
    }
}
