//! The snapshotter: everything slow that writes files, one job at a time, on its own thread: flushes, checkpoints for
//! clients, defragmentation, zero-filling of WAL segments.
//!
//! Must never touch the write side of the store: it works on the engine beside the applier.

use crate::death_watch::DeathWatch;
use crate::limits::FLUSH_ENTRIES;
use crate::raft_core::inbox::InnerPort;
use crossbeam_channel::{Receiver, Sender};
use messages::admin::{Job, RunJob, ToSnapshotter};
use messages::advance::{Advance, Durable};
use messages::read::ChunkSource;
use messages::ready::ToWal;
use messages::reply::SnapshotAnswer;
use messages::{Gauges, Reply, RequestError, Sinks};
use model::ReadError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use storage::apply::meta_rows::decode_applied;
use storage::apply::{OpenError, State};
use storage::disk::Disk;
use storage::engine::{Engine, EngineError, Family, Snapshot};
use storage::schema::meta;
use storage::snapshot::{SnapshotSource, StreamHeader};
use storage::wal::{PrepareRequest, prepare_segment};

/// Opens a checkpoint as an engine of its own.
pub type OpenEngine<E> = Box<dyn Fn(&Path) -> Result<E, EngineError> + Send>;

/// Pause between two steps of zero-filling a segment, so that the log's own syncs get through.
const FILL_PAUSE: std::time::Duration = std::time::Duration::from_millis(4);

/// Ends the snapshotter talks to.
pub struct SnapshotterParts<E: Engine> {
    /// Its queue.
    pub inbox: Receiver<ToSnapshotter>,
    /// The store's engine.
    pub engine: Arc<E>,
    /// Opens a checkpoint.
    pub open: OpenEngine<E>,
    /// The log's file system.
    pub disk: Arc<dyn Disk>,
    /// Where checkpoints are made; on the file system of the store.
    pub scratch: PathBuf,
    /// Who the streams are of; the rest of the header is read from each checkpoint.
    pub header: StreamHeader,
    /// Notices of durability go here.
    pub core: InnerPort,
    /// Prepared segments go here.
    pub wal: Sender<ToWal>,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// The snapshotter.
pub struct Snapshotter<E: Engine> {
    parts: SnapshotterParts<E>,
    durable: u64,
    next_checkpoint: u64,
}

impl<E: Engine> Snapshotter<E> {
    /// Around the engine of an opened store. Remains of checkpoints of an earlier run are removed.
    pub fn new(parts: SnapshotterParts<E>) -> Self {
        if parts.scratch.exists()
            && let Err(why) = std::fs::remove_dir_all(&parts.scratch)
        {
            tracing::warn!(path = %parts.scratch.display(), error = %why, "cannot remove old checkpoints");
        }
        Self { parts, durable: 0, next_checkpoint: 0 }
    }

    /// Runs until it is told to stop or the store fails.
    pub fn run(mut self, mut watch: DeathWatch) {
        match self.serve() {
            Ok(()) => watch.finish(),
            Err(why) => watch.fail(why),
        }
    }

    fn serve(&mut self) -> Result<(), String> {
        self.report_durable()?;
        while let Ok(message) = self.parts.inbox.recv() {
            match message {
                ToSnapshotter::Run(job) => self.run_job(job),
                ToSnapshotter::Flush => self.watch_durable()?,
                ToSnapshotter::Prepare(request) => self.prepare(request),
                ToSnapshotter::Stop => break,
            }
        }
        Ok(())
    }

    fn run_job(&mut self, run: RunJob) {
        let reply = match run.job {
            Job::OpenSnapshot => Reply::SnapshotOpened { token: run.token, result: self.open_snapshot() },
            Job::Defragment => Reply::JobDone { token: run.token, result: self.defragment() },
        };
        self.parts.sinks.deliver(run.sink, vec![reply]);
    }

    fn defragment(&mut self) -> Result<(), RequestError> {
        self.parts.gauges.defragmenting.store(true, Release);
        let done = self.parts.engine.compact_files();
        self.parts.gauges.defragmenting.store(false, Release);
        self.parts.gauges.disk_bytes.store(self.parts.engine.disk_bytes(), Relaxed);
        done.map_err(|why| {
            tracing::error!(error = %why, "defragmentation failed");
            RequestError::Failed
        })
    }

    fn open_snapshot(&mut self) -> Result<SnapshotAnswer, RequestError> {
        self.checkpoint_source().map_err(|why| {
            tracing::error!(error = %why, "cannot open a snapshot of the store");
            RequestError::Failed
        })
    }

    fn checkpoint_source(&mut self) -> Result<SnapshotAnswer, String> {
        std::fs::create_dir_all(&self.parts.scratch).map_err(|e| e.to_string())?;
        self.next_checkpoint += 1;
        let dir = CheckpointDir(self.parts.scratch.join(format!("checkpoint-{}", self.next_checkpoint)));
        self.parts.engine.checkpoint(&dir.0).map_err(|e| e.to_string())?;
        let engine = (self.parts.open)(&dir.0).map_err(|e| e.to_string())?;
        let snapshot = engine.snapshot();
        let header = stream_header(&self.parts.header, &snapshot).map_err(|e| e.to_string())?;
        let source = SnapshotSource::new(snapshot, &header).map_err(|e| e.to_string())?;
        let total = source.total_bytes();
        Ok(SnapshotAnswer { total, source: Box::new(CheckpointSource { source, _engine: engine, _dir: dir }) })
    }

    /// Flushes when a crash would have to replay too much, and tells the core how far the store is durable.
    fn watch_durable(&mut self) -> Result<(), String> {
        let applied = self.parts.gauges.applied.load(Relaxed);
        if applied.saturating_sub(self.durable) >= FLUSH_ENTRIES {
            self.report_durable()?;
            if applied.saturating_sub(self.durable) >= FLUSH_ENTRIES {
                self.parts.engine.flush().map_err(|e| e.to_string())?;
            }
        }
        self.report_durable()
    }

    fn report_durable(&mut self) -> Result<(), String> {
        self.parts.gauges.disk_bytes.store(self.parts.engine.disk_bytes(), Relaxed);
        let row = self.parts.engine.get_persisted(meta::APPLIED).map_err(|e| e.to_string())?;
        let index = match row {
            Some(row) => decode_applied(&row).map_err(|e| e.to_string())?.index,
            None => 0,
        };
        if index > self.durable {
            self.durable = index;
            self.parts.core.durable(Advance::Durable(Durable { index }));
        }
        Ok(())
    }

    /// A segment that cannot be made now (a full disk, say) is not fatal: the log still has room, and asks again.
    fn prepare(&mut self, request: Box<dyn std::any::Any + Send>) {
        let request = request.downcast::<PrepareRequest>().expect("the WAL writer sends nothing else");
        let prepared = match prepare_segment(self.parts.disk.as_ref(), &request, &mut || std::thread::sleep(FILL_PAUSE))
        {
            Ok(prepared) => Some(Box::new(prepared) as Box<dyn std::any::Any + Send>),
            Err(why) => {
                tracing::warn!(error = %why, "cannot prepare a log segment");
                None
            }
        };
        // a closed queue means that the node stops
        let _ = self.parts.wal.send(ToWal::Prepared(prepared));
    }
}

/// Position and membership as they stand inside a checkpoint.
fn stream_header<S: Snapshot>(of: &StreamHeader, snapshot: &S) -> Result<StreamHeader, OpenError> {
    let state = State::read(snapshot)?;
    Ok(StreamHeader {
        revision: state.revision,
        compact_revision: state.compact,
        applied_index: state.applied.index,
        applied_term: state.applied.term,
        conf_state: snapshot.get(Family::Meta, meta::CONF_STATE)?.unwrap_or_default(),
        ..of.clone()
    })
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

/// A snapshot stream over a checkpoint: field order is drop order, rows before engine before files.
struct CheckpointSource<E: Engine> {
    source: SnapshotSource<E::Snapshot>,
    _engine: E,
    _dir: CheckpointDir,
}

impl<E: Engine> ChunkSource for CheckpointSource<E> {
    fn next(&mut self, _max_bytes: usize) -> Result<Option<bytes::Bytes>, ReadError> {
        // chunks have the size that etcd's clients know
        self.source.next_chunk().map_err(|e| ReadError::Store(e.to_string()))
    }
}
