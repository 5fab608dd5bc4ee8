//! The flusher: what writes files for other owners, one thing at a time, on its own thread. It flushes the store and
//! zero-fills the log's next segment. Both must come soon, so jobs of clients run elsewhere (`maintenance_jobs`).
//!
//! Must never touch the write side of the store: it works on the engine beside the applier.

use crate::death_watch::DeathWatch;
use crate::raft_core::inbox::InnerPort;
use crate::store_cell::StoreCell;
use crate::wiring::advance::{Advance, Durable};
use crate::wiring::flush::ToFlusher;
use crate::wiring::wal::ToWal;
use crossbeam_channel::{Receiver, Sender};
use messages::Gauges;
use model::mutant::{self, Mutant};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use storage::apply::meta_rows::decode_applied;
use storage::disk::Disk;
use storage::engine::{Engine, Family, Snapshot};
use storage::schema::meta;
use storage::wal::{PrepareRequest, prepare_segment};

/// Pause between two steps of zero-filling a segment, so that the log's own syncs get through.
pub const FILL_PAUSE: Duration = Duration::from_millis(4);

/// Ends the flusher talks to.
pub struct FlusherParts<E: Engine> {
    /// Its queue.
    pub inbox: Receiver<ToFlusher>,
    /// Where the store's engine is found.
    pub store: Arc<StoreCell<E>>,
    /// The log's file system.
    pub disk: Arc<dyn Disk>,
    /// Notices of durability go here.
    pub core: InnerPort,
    /// Prepared segments go here.
    pub wal: Sender<ToWal>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
    /// Applied and not yet durable entries at which the store is flushed.
    pub flush_entries: u64,
    /// Pause between two steps of zero-filling.
    pub fill_pause: Duration,
}

/// Part of the entries at which a crash would have to replay too much: so many are worth a flush for the log's sake.
const FLUSH_FOR_LOG: u64 = 20;

/// The flusher.
pub struct Flusher<E: Engine> {
    parts: FlusherParts<E>,
    durable: u64,
}

impl<E: Engine> Flusher<E> {
    /// Around the engine of an opened store.
    pub fn new(parts: FlusherParts<E>) -> Self {
        Self { parts, durable: 0 }
    }

    /// Runs until it is told to stop or the store fails.
    pub fn run(mut self, mut watch: DeathWatch) {
        match self.serve() {
            Ok(()) => watch.finish(),
            Err(why) => watch.fail(why),
        }
    }

    fn serve(&mut self) -> Result<(), String> {
        self.start()?;
        while let Ok(message) = self.parts.inbox.recv() {
            if !self.serve_one(message)? {
                break;
            }
        }
        Ok(())
    }

    /// What comes before the first order: how far the store is durable already.
    ///
    /// # Errors
    /// In the store's words: the node must stop.
    pub fn start(&mut self) -> Result<(), String> {
        self.report_durable()
    }

    /// Carries out one order; false for the one to stop.
    ///
    /// # Errors
    /// In the store's words: the node must stop.
    pub fn serve_one(&mut self, order: ToFlusher) -> Result<bool, String> {
        match order {
            ToFlusher::Flush => self.watch_durable(self.parts.flush_entries)?,
            ToFlusher::FlushForLog => self.watch_durable((self.parts.flush_entries / FLUSH_FOR_LOG).max(1))?,
            ToFlusher::Prepare(request) => {
                // the log has grown by a segment, after few entries when they are large: perhaps an old one can go
                self.report_durable()?;
                self.prepare(&request);
                // that takes seconds, in which somebody else may have flushed the store
                self.report_durable()?;
            }
            ToFlusher::Stop => return Ok(false),
        }
        Ok(true)
    }

    /// Flushes when so many entries are not durable in the store, and tells the core how far it is.
    fn watch_durable(&mut self, entries: u64) -> Result<(), String> {
        let applied = self.parts.gauges.applied.load(Relaxed);
        let damaged_to = self.parts.gauges.log_damaged_to.load(Relaxed);
        let is_due = |durable: u64| {
            // what is damaged in the log can go as soon as the store has it
            let most = if damaged_to > durable { 1 } else { entries };
            applied.saturating_sub(durable) >= most
        };
        if is_due(self.durable) {
            self.report_durable()?;
            if is_due(self.durable) {
                self.parts.store.load().flush().map_err(|e| e.to_string())?;
            }
        }
        self.report_durable()
    }

    fn report_durable(&mut self) -> Result<(), String> {
        let engine = self.parts.store.load();
        self.parts.gauges.disk_bytes.store(engine.disk_bytes(), Relaxed);
        let row = match mutant::on(Mutant::FlushMarkerEarly) {
            true => engine.snapshot().get(Family::Meta, meta::APPLIED),
            false => engine.get_persisted(meta::APPLIED),
        };
        let row = row.map_err(|e| e.to_string())?;
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
    fn prepare(&mut self, request: &PrepareRequest) {
        let pause = self.parts.fill_pause;
        let prepared = match prepare_segment(self.parts.disk.as_ref(), request, &mut || std::thread::sleep(pause)) {
            Ok(prepared) => Some(prepared),
            Err(why) => {
                tracing::warn!(error = %why, "cannot prepare a log segment");
                None
            }
        };
        // a closed queue means that the node stops
        let _ = self.parts.wal.send(ToWal::Prepared(prepared));
    }
}
