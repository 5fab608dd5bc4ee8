//! The WAL writer's shell: drain the queue, one write, one sync, then release what waited for it. Own thread, blocking.
//!
//! Must never release anything before the sync that covers it returned, and never retry a failed one: the node stops.

use crate::death_watch::DeathWatch;
use crate::peers::PeerPort;
use crate::raft_core::inbox::InnerPort;
use crossbeam_channel::{Receiver, Sender};
use messages::Gauges;
use messages::admin::ToSnapshotter;
use messages::advance::{Advance, Persisted};
use messages::ready::{AppendBatch, ToWal};
use raft::{Entry, HardState, Message};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use storage::wal::{Batch, Prepared, Wal, WalError};

/// A sync slower than this is worth a line in the log.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// Ends the WAL writer talks to.
pub struct WalParts {
    /// Its queue.
    pub inbox: Receiver<ToWal>,
    /// Completions go here.
    pub core: InnerPort,
    /// Peer messages that waited for a sync.
    pub peers: Arc<dyn PeerPort>,
    /// Zero-fills segments.
    pub snapshotter: Sender<ToSnapshotter>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// The WAL writer.
pub struct WalWriter {
    wal: Wal,
    parts: WalParts,
    /// A hard state that only moved commit: written with the next batch.
    deferred: Option<HardState>,
    /// A segment was asked for and nobody could make it.
    declined: bool,
}

/// What one drain of the queue adds up to.
#[derive(Default)]
struct Group {
    /// Entries of all appends, suffixes replaced as the log would.
    entries: Vec<Entry>,
    hard_state: Option<HardState>,
    must_sync: bool,
    release: Vec<Message>,
    sequence: u64,
}

impl Group {
    fn add(&mut self, batch: AppendBatch) {
        if let Some(first) = batch.entries.first() {
            self.entries.truncate(self.entries.partition_point(|e| e.index < first.index));
        }
        self.entries.extend(batch.entries);
        self.hard_state = batch.hard_state.or(self.hard_state);
        self.must_sync |= batch.must_sync;
        self.release.extend(batch.release);
        self.sequence = batch.sequence;
    }
}

impl WalWriter {
    /// Around a recovered log.
    pub fn new(wal: Wal, parts: WalParts) -> Self {
        Self { wal, parts, deferred: None, declined: false }
    }

    /// Runs until it is told to stop or the disk fails.
    pub fn run(mut self, mut watch: DeathWatch) {
        match self.serve() {
            Ok(()) => watch.finish(),
            Err(why) => watch.fail(why),
        }
    }

    fn serve(&mut self) -> Result<(), WalError> {
        self.ask_for_segment();
        loop {
            let Ok(first) = self.parts.inbox.recv() else { return Ok(()) };
            let mut group = Group::default();
            let mut stop = false;
            for message in std::iter::once(first).chain(self.parts.inbox.try_iter()) {
                match message {
                    ToWal::Append(batch) => group.add(batch),
                    ToWal::Release { to } => self.wal.release_to(to)?,
                    ToWal::Prepared(prepared) => {
                        let prepared =
                            prepared.map(|p| *p.downcast::<Prepared>().expect("the snapshotter sends nothing else"));
                        self.wal.offer_prepared(prepared)?;
                    }
                    ToWal::Stop => stop = true,
                }
            }
            if group.sequence > 0 {
                self.write(group)?;
            }
            self.ask_for_segment();
            if stop {
                return self.write_deferred();
            }
        }
    }

    fn write(&mut self, group: Group) -> Result<(), WalError> {
        let Group { entries, hard_state, must_sync, release, sequence } = group;
        self.deferred = hard_state.or(self.deferred);
        if must_sync || !entries.is_empty() {
            self.append(&entries)?;
        }
        if !release.is_empty() {
            self.parts.peers.send(release);
        }
        self.parts.core.advance(Advance::Persisted(Persisted { sequence }));
        Ok(())
    }

    /// One write and one sync, with the deferred hard state.
    fn append(&mut self, entries: &[Entry]) -> Result<(), WalError> {
        self.wal.stage(&Batch { entries, hard_state: self.deferred.take() })?;
        let bytes = self.wal.staged_len() as u64;
        self.wal.write()?;
        let start = Instant::now();
        self.wal.sync()?;
        let took = start.elapsed();
        let gauges = &self.parts.gauges;
        gauges.wal_bytes.fetch_add(bytes, Relaxed);
        gauges.wal_syncs.fetch_add(1, Relaxed);
        gauges.wal_sync_micros.fetch_add(took.as_micros() as u64, Relaxed);
        if took > SLOW_SYNC {
            tracing::warn!(took = ?took, "expected-duration" = ?SLOW_SYNC, "slow fdatasync");
        }
        Ok(())
    }

    fn write_deferred(&mut self) -> Result<(), WalError> {
        if self.deferred.is_some() { self.append(&[]) } else { Ok(()) }
    }

    fn ask_for_segment(&mut self) {
        if std::mem::take(&mut self.declined) && self.wal.offer_prepared(None).is_err() {
            return;
        }
        if let Some(request) = self.wal.wants_segment()
            && self.parts.snapshotter.try_send(ToSnapshotter::Prepare(Box::new(request))).is_err()
        {
            // busy: asked again after the next batch
            self.declined = true;
        }
    }
}
