//! A checkpoint of the store as the source of transfers: several members may be sent the same one.
//!
//! Must never be removed while somebody reads it: whoever does holds it.

use crate::cancellable::Cancellable;
use crate::maintenance_jobs::OpenEngine;
use crate::snapshot_streams::CheckpointDir;
use bytes::{Buf, Bytes};
use messages::Gauges;
use messages::peer::BulkSource;
use model::mutant::{self, Mutant};
use raft::SnapshotMeta;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Acquire;
use storage::apply::OpenError;
use storage::apply::meta_rows::decode_conf_state;
use storage::engine::{Engine, EngineError, Family, Op, Snapshot};
use storage::schema::meta;
use storage::snapshot::{SnapshotSource, StreamHeader, StreamReader};

/// The rows of a checkpoint; they end with the node.
type Rows<E> = Cancellable<<E as Engine>::Snapshot>;
/// Their stream, and where it stands in the log.
type Placed<E> = (SnapshotSource<Rows<E>>, SnapshotMeta);

/// See the file header. Field order is drop order: rows before engine before files.
pub(super) struct Checkpoint<E: Engine> {
    source: SnapshotSource<Rows<E>>,
    meta: SnapshotMeta,
    _engine: E,
    _dir: CheckpointDir,
}

impl<E: Engine> Checkpoint<E> {
    /// Copies the store of `engine` into `dir`. `None` when that fell into the middle of a large entry.
    ///
    /// # Errors
    /// In the store's words.
    pub(super) fn make(
        dir: PathBuf,
        engine: &E,
        open: &OpenEngine<E>,
        server_version: &str,
        gauges: &Arc<Gauges>,
    ) -> Result<Option<Self>, String> {
        let dir = CheckpointDir(dir);
        let copied = engine.checkpoint(&dir.0).and_then(|()| open(&dir.0));
        let copied = if mutant::on(Mutant::AppliedAgain) { copied.and_then(one_entry_less) } else { copied };
        let engine = copied.map_err(|why| why.to_string())?;
        let snapshot = Cancellable::new(engine.snapshot(), gauges.clone());
        let read = Self::read(snapshot, server_version).map_err(|why| why.to_string())?;
        Ok(read.map(|(source, meta)| Self { source, meta, _engine: engine, _dir: dir }))
    }

    /// The stream of a checkpoint, and what is in it.
    fn read(snapshot: Rows<E>, version: &str) -> Result<Option<Placed<E>>, OpenError> {
        if snapshot.get(Family::Meta, meta::CHUNK)?.is_some() {
            return Ok(None);
        }
        let header = StreamHeader::read(&snapshot, version)?;
        let conf_state = decode_conf_state(&header.conf_state)?;
        let meta = SnapshotMeta { conf_state, index: header.applied_index, term: header.applied_term };
        Ok(Some((SnapshotSource::new(snapshot, &header)?, meta)))
    }

    /// Its place in the log, and the membership there.
    pub(super) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }
}

/// What [`Mutant::AppliedAgain`] does: the store says that it has not applied its last entry.
fn one_entry_less<E: Engine>(engine: E) -> Result<E, EngineError> {
    if let Some(mut row) = engine.snapshot().get(Family::Meta, meta::APPLIED)? {
        let (index, term) = (row.get_u64(), row.get_u64());
        let value = [(index - 1).to_be_bytes(), term.to_be_bytes()].concat().into();
        engine.write(vec![Op::Put { family: Family::Meta, key: Bytes::from_static(meta::APPLIED), value }])?;
    }
    Ok(engine)
}

/// One transfer of a checkpoint. Field order is drop order.
pub(super) struct CheckpointSource<E: Engine> {
    reader: StreamReader<Rows<E>>,
    cancel: Arc<AtomicBool>,
    _checkpoint: Arc<Checkpoint<E>>,
}

impl<E: Engine> CheckpointSource<E> {
    /// From its beginning. Set `cancel` to end it.
    pub(super) fn new(checkpoint: Arc<Checkpoint<E>>, cancel: Arc<AtomicBool>) -> Self {
        Self { reader: StreamReader::new(checkpoint.source.clone()), cancel, _checkpoint: checkpoint }
    }
}

impl<E: Engine> BulkSource for CheckpointSource<E> {
    fn length(&self) -> u64 {
        self.reader.length()
    }

    fn read_at(&mut self, offset: u64, most: usize) -> io::Result<Bytes> {
        if self.cancel.load(Acquire) {
            return Err(io::Error::other(
                "it is of no more use: too much log was kept for it, or another member leads",
            ));
        }
        self.reader.read_at(offset, most).map_err(io::Error::other)
    }
}
