//! The WAL writer's shell: drain the queue, one write, one sync, then release what waited for it. Own thread, blocking.
//!
//! An install replaces the log: what comes behind it waits until the applier has swapped the store. Must never release anything
//! before the sync that covers it returned, and never retry a failed one: the node stops.

use crate::death_watch::DeathWatch;
use crate::raft_core::inbox::InnerPort;
use crate::wiring::advance::{Advance, Persisted};
use crate::wiring::apply::ToApplier;
use crate::wiring::flush::ToFlusher;
use crate::wiring::snapshots::StagedStore;
use crate::wiring::wal::{AppendBatch, ToWal};
use crossbeam_channel::{Receiver, Sender};
use messages::Gauges;
use messages::peer::PeerSender;
use model::mutant::{self, Mutant};
use raft::{HardState, LogId, Message};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};
use storage::disk::Disk;
use storage::member::pointer::{self, PointerError};
use storage::wal::{Batch, Install, Wal, WalError};

/// A sync slower than this is worth a line in the log.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// Ends the WAL writer talks to.
pub struct WalParts {
    /// Its queue.
    pub inbox: Receiver<ToWal>,
    /// Completions go here.
    pub core: InnerPort,
    /// Peer messages that waited for a sync.
    pub peers: Arc<dyn PeerSender>,
    /// Zero-fills segments.
    pub flusher: Sender<ToFlusher>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
    /// What an install needs.
    pub install: WalInstall,
}

/// What an install needs beside the log.
pub struct WalInstall {
    /// File system of the store pointer.
    pub disk: Arc<dyn Disk>,
    /// Folder of the store pointer.
    pub member: PathBuf,
    /// Swaps the store.
    pub applier: Sender<ToApplier>,
}

/// Why the log cannot go on: the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The log.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The store pointer, in an install.
    #[error(transparent)]
    Pointer(#[from] PointerError),
}

/// The WAL writer.
pub struct WalWriter {
    wal: Wal,
    parts: WalParts,
    /// A segment was asked for and nobody could make it.
    declined: bool,
    /// What waits for the sync of what is staged or written.
    group: Group,
    /// Bytes of records written and not yet synced.
    written: Option<u64>,
    /// The applier has not yet swapped the store.
    installing: bool,
    /// What came behind the install.
    held: VecDeque<ToWal>,
}

/// What one drain of the queue adds up to, besides what is staged in the log.
#[derive(Default)]
struct Group {
    must_sync: bool,
    release: Vec<Message>,
    sequence: u64,
}

impl WalWriter {
    /// Around a recovered log.
    pub fn new(wal: Wal, parts: WalParts) -> Self {
        let (group, held) = (Group::default(), VecDeque::new());
        Self { wal, parts, declined: false, group, written: None, installing: false, held }
    }

    /// Runs until it is told to stop or the disk fails.
    pub fn run(mut self, mut watch: DeathWatch) {
        match self.serve() {
            Ok(()) => watch.finish(),
            Err(why) => watch.fail(why),
        }
    }

    fn serve(&mut self) -> Result<(), WriteError> {
        let inbox = self.parts.inbox.clone();
        self.start();
        loop {
            let Ok(first) = inbox.recv() else { return Ok(()) };
            let stop = self.begin(std::iter::once(first).chain(inbox.try_iter()))?;
            self.finish()?;
            if stop {
                return self.end();
            }
        }
    }

    /// What comes before the first message: a segment is asked for.
    pub fn start(&mut self) {
        self.ask_for_segment();
    }

    /// The first half of a round: what the messages add up to is staged, and written where it has to be durable. True when
    /// one of them was the order to stop. The simulator crashes between the halves, which is why they are two.
    ///
    /// # Errors
    /// [`WriteError`]: the node must stop.
    pub fn begin(&mut self, messages: impl Iterator<Item = ToWal>) -> Result<bool, WriteError> {
        let mut stop = false;
        for message in messages {
            match message {
                ToWal::Prepared(prepared) => self.wal.offer_prepared(prepared)?,
                ToWal::Stop => stop = true,
                ToWal::Installed => {
                    self.installing = false;
                    while !self.installing
                        && let Some(held) = self.held.pop_front()
                    {
                        self.take(held)?;
                    }
                }
                behind if self.installing => self.held.push_back(behind),
                message => self.take(message)?,
            }
        }
        if self.group.must_sync {
            self.write()?;
        }
        if mutant::on(Mutant::AckBeforeSync) {
            self.release();
        }
        if mutant::on(Mutant::AckToLeaderEarly) {
            self.parts.peers.send(std::mem::take(&mut self.group.release));
        }
        Ok(stop)
    }

    /// Appends and releases, in their order.
    fn take(&mut self, message: ToWal) -> Result<(), WriteError> {
        match message {
            ToWal::Append(mut batch) => match batch.install.take() {
                Some(staged) => {
                    self.install(*staged, batch.hard_state)?;
                    self.held.push_front(ToWal::Append(batch));
                    Ok(())
                }
                None => self.stage(batch),
            },
            ToWal::Release { to } => self.release_log(to),
            ToWal::Installed | ToWal::Prepared(_) | ToWal::Stop => unreachable!("nobody holds these back"),
        }
    }

    /// Entries up to `to` are not needed any more. Where something of them cannot be read back, their segment goes at once, also when it
    /// is the one being written: a start would refuse it.
    fn release_log(&mut self, to: LogId) -> Result<(), WriteError> {
        let damaged_to = self.parts.gauges.log_damaged_to.load(Acquire);
        if damaged_to > 0 && to.index >= damaged_to {
            self.wal.roll();
            self.group.must_sync = true;
        }
        Ok(self.wal.release_to(to)?)
    }

    /// Replaces the log: record, store pointer, reset, in this order. A crash behind the record is finished by the next start. The rest
    /// of the batch, and all that follows, waits for the applier.
    fn install(&mut self, staged: StagedStore, hard_state: Option<HardState>) -> Result<(), WriteError> {
        // entries behind the snapshot, which may be committed already, come with the rest: a crash before them must not find their commit
        let index = staged.meta.index;
        let hard_state = hard_state.map(|state| HardState { commit: state.commit.min(index), ..state });
        self.wal.stage(&Batch { entries: &[], hard_state })?;
        if mutant::on(Mutant::PointerFirst) {
            pointer::write(self.parts.install.disk.as_ref(), &self.parts.install.member, &staged.name)?;
        }
        self.wal.begin_install(&Install { meta: staged.meta.clone(), store: staged.name.clone() })?;
        pointer::write(self.parts.install.disk.as_ref(), &self.parts.install.member, &staged.name)?;
        self.wal.finish_install()?;
        self.installing = true;
        self.parts.gauges.measured.installing.store(1, Relaxed);
        // a closed queue means that the applier died: its death watch stops the node
        let sent = self.parts.install.applier.try_send(ToApplier::Install(staged));
        assert!(!matches!(sent, Err(crossbeam_channel::TrySendError::Full(_))), "AI-CREDITS: applier queue");
        Ok(())
    }

    /// Whether a batch is written and not yet synced.
    pub fn in_flight(&self) -> bool {
        self.written.is_some()
    }

    /// The second half: one sync of what was written, then everything that waited for it leaves.
    ///
    /// # Errors
    /// [`WriteError`]: the node must stop.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        let written = self.sync()?;
        self.release();
        if written {
            if self.wal.wants_release() {
                // busy: asked again behind the next segment
                let _ = self.parts.flusher.try_send(ToFlusher::FlushForLog);
            }
            // only then: one that cannot be made, on a full disk say, must not be asked for again at once
            self.ask_for_segment();
        }
        Ok(())
    }

    /// Adds an append to the batch under construction. A hard state that only moved commit stays there until something else
    /// has to be written.
    fn stage(&mut self, batch: AppendBatch) -> Result<(), WriteError> {
        self.wal.stage(&Batch { entries: &batch.entries, hard_state: batch.hard_state })?;
        let group = &mut self.group;
        group.must_sync |= (batch.must_sync && !mutant::on(Mutant::VoteUnsynced)) || !batch.entries.is_empty();
        group.release.extend(batch.release);
        group.sequence = batch.sequence;
        Ok(())
    }

    fn release(&mut self) {
        let group = std::mem::take(&mut self.group);
        if !group.release.is_empty() {
            self.parts.peers.send(group.release);
        }
        if group.sequence > 0 {
            self.parts.core.advance(Advance::Persisted(Persisted { sequence: group.sequence }));
        }
    }

    /// One write of what is staged.
    fn write(&mut self) -> Result<(), WriteError> {
        let bytes = self.wal.staged_len() as u64;
        let start = Instant::now();
        if self.wal.write()? {
            self.written = Some(bytes);
            self.parts.gauges.measured.wal_writes.observe(start.elapsed());
        }
        Ok(())
    }

    /// One sync of what was written; false when nothing was.
    fn sync(&mut self) -> Result<bool, WriteError> {
        let Some(bytes) = self.written.take() else { return Ok(false) };
        let start = Instant::now();
        self.wal.sync()?;
        let took = start.elapsed();
        let gauges = &self.parts.gauges;
        gauges.wal_bytes.fetch_add(bytes, Relaxed);
        gauges.wal_syncs.observe(took);
        if took > SLOW_SYNC {
            tracing::warn!(took = ?took, "expected-duration" = ?SLOW_SYNC, "slow fdatasync");
        }
        Ok(true)
    }

    /// At the end: a hard state that only moved commit is written too.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn end(&mut self) -> Result<(), WriteError> {
        self.write()?;
        self.sync().map(drop)
    }

    fn ask_for_segment(&mut self) {
        if std::mem::take(&mut self.declined) && self.wal.offer_prepared(None).is_err() {
            return;
        }
        if let Some(request) = self.wal.wants_segment()
            && self.parts.flusher.try_send(ToFlusher::Prepare(request)).is_err()
        {
            // busy: asked again after the next batch
            self.declined = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::NoPeers;
    use crate::raft_core::inbox::Inbox;
    use crossbeam_channel::bounded;
    use raft::{Entry, EntryKind};
    use std::path::Path;
    use storage::disk::SimDisk;
    use storage::wal::{Start, WalConfig, WalMeta};

    #[test]
    fn a_segment_that_cannot_be_made_is_asked_for_again_with_the_next_batch() {
        let disk = SimDisk::new();
        // its head is a quarter of it
        let config = WalConfig { min_segment: 16 << 10, ..WalConfig::default() };
        let wal = Wal::create(disk.shared(), Path::new("/wal"), config, WalMeta::default(), Start::default());
        let (_core, _port, core) = Inbox::new();
        let (_wal, inbox) = bounded(1);
        let (flusher, orders) = bounded(8);
        let (applier, _swaps) = bounded(1);
        let install = WalInstall { disk: disk.shared(), member: PathBuf::from("/"), applier };
        let parts = WalParts { inbox, core, peers: Arc::new(NoPeers), flusher, gauges: Arc::default(), install };
        let mut writer = WalWriter::new(wal.expect("an empty disk"), parts);
        writer.start();
        assert_eq!(orders.try_iter().count(), 1);
        writer.begin(std::iter::once(ToWal::Prepared(None))).expect("nothing to write");
        writer.finish().expect("nothing to sync");
        assert_eq!(orders.try_iter().count(), 0, "a full disk must not be asked in circles");
        let entries = vec![Entry { term: 1, index: 1, kind: EntryKind::Normal, data: Default::default() }];
        let batch =
            AppendBatch { sequence: 1, entries, hard_state: None, must_sync: true, release: Vec::new(), install: None };
        writer.begin(std::iter::once(ToWal::Append(batch))).expect("room");
        writer.finish().expect("a sync");
        assert_eq!(orders.try_iter().count(), 1);
    }
}
