//! The writer: stages records, writes them as one batch, syncs, moves on to the next segment, lets old ones go.
//!
//! Must never have two batches in flight, nor do anything after a failed write or sync but say so.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft::{Entry, HardState, LogId};

use super::batch::Staged;
use super::error::WalError;
use super::format::{BLOCK, padded};
use super::index::{LogIndex, Run};
use super::reader::WalReader;
use super::record::{Install, LogState, SegmentHead};
use super::scrub::WalScrub;
use super::segment::{Name, PrepareRequest, Prepared, Segment, Spares, encode_head, lock, parse_name, start_segment};
use super::{Start, WalConfig, WalMeta};
use crate::disk::{Disk, DiskLock};

/// What one caller wants durable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// Consecutive; the first may lie at or before the end of the log, which is then cut there.
    pub entries: &'a [Entry],
    /// New hard state, if it moved.
    pub hard_state: Option<HardState>,
}

/// The open log. One owner; readers get a [`WalReader`].
///
/// A round is: [`stage`](Self::stage) as often as there is something, [`write`](Self::write) once, [`sync`](Self::sync) once. What is staged
/// and not written is simply part of the next round: that is how a hard state that only moves its commit is deferred.
#[derive(Debug)]
pub struct Wal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: WalConfig,
    meta: WalMeta,
    /// Older segments and, last, the one being written.
    segments: VecDeque<Segment>,
    /// Where the next batch goes.
    offset: u64,
    next_number: u64,
    /// What is written; `staged.state` is what will be.
    state: LogState,
    staged: Staged,
    index: LogIndex,
    spares: Spares,
    /// The last batch is written and not yet synced.
    in_flight: bool,
    poisoned: bool,
    /// The next batch begins a segment.
    rolls: bool,
    /// See [`Self::wants_release`].
    is_padded: bool,
    /// Held as long as the log is open.
    _lock: Box<dyn DiskLock>,
}

/// Parts of a log that was just made or opened.
pub(super) struct Opened {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) config: WalConfig,
    pub(super) meta: WalMeta,
    pub(super) lock: Box<dyn DiskLock>,
    pub(super) segments: VecDeque<Segment>,
    pub(super) offset: u64,
    pub(super) next_number: u64,
    pub(super) state: LogState,
    pub(super) index: LogIndex,
    pub(super) spares: Spares,
}

impl Wal {
    /// Makes a new log in `dir`, which is created if needed. Durable when it returns, given that the parent folder is synced by its owner.
    ///
    /// # Errors
    /// `Exists` when there is a log already; `Locked`, `NoSpace`, `Io`.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: WalConfig,
        meta: WalMeta,
        start: Start,
    ) -> Result<Self, WalError> {
        disk.create_dir_all(dir).map_err(WalError::io("create", dir))?;
        let lock = lock(disk.as_ref(), dir)?;
        let mut spares = Spares::new(dir, config.spare_bytes());
        for name in disk.list(dir).map_err(WalError::io("list", dir))? {
            match parse_name(&name) {
                Name::Segment(_) => return Err(WalError::Exists { dir: dir.to_owned() }),
                Name::Spare(number) => spares.adopt(disk.as_ref(), number)?,
                Name::Partial | Name::Foreign => {}
            }
        }
        let state = LogState { hard_state: start.hard_state, truncated: start.at, last: start.at, install: None };
        let prepared = spares.take(disk.as_ref(), config.min_segment, config.min_segment)?;
        let head = SegmentHead { meta, reset: true, recycled: prepared.recycled, state: state.clone() };
        let (segment, offset) = start_segment(disk.as_ref(), dir, prepared, &head, 1, 1)?;
        let mut index = LogIndex::new(config.mark_every);
        index.reset(start.at.index);
        let segments = VecDeque::from([segment]);
        let dir = dir.to_owned();
        Self::from_opened(Opened {
            disk,
            dir,
            config,
            meta,
            lock,
            segments,
            offset,
            next_number: 2,
            state,
            index,
            spares,
        })
    }

    pub(super) fn from_opened(opened: Opened) -> Result<Self, WalError> {
        let Opened { disk, dir, config, meta, lock, segments, offset, next_number, state, index, spares } = opened;
        let mut wal = Self {
            disk,
            dir,
            config,
            meta,
            segments,
            offset,
            next_number,
            staged: Staged::new(state.clone()),
            state,
            index,
            spares,
            in_flight: false,
            poisoned: false,
            rolls: false,
            is_padded: false,
            _lock: lock,
        };
        wal.settle()?;
        Ok(wal)
    }

    /// Adds to the next batch; touches no file.
    ///
    /// # Panics
    /// When an entry leaves a gap, lies in the truncated part, or lowers the term: invariants of raft.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn stage(&mut self, batch: &Batch<'_>) -> Result<(), WalError> {
        self.check()?;
        self.staged.entries(batch.entries);
        if let Some(hard_state) = batch.hard_state {
            self.staged.hard_state(hard_state);
        }
        Ok(())
    }

    /// Bytes of the records staged: the measure by which a caller stops filling one batch.
    pub fn staged_len(&self) -> usize {
        self.staged.record_bytes()
    }

    /// Writes what is staged as one batch; false when there was nothing. Not durable before [`Self::sync`].
    ///
    /// # Panics
    /// When the batch before is not synced: one write in flight.
    ///
    /// # Errors
    /// `NoSpace` when another segment is needed and there is no room: nothing was written, it may be repeated. Otherwise the log is
    /// poisoned: `Io`, `Poisoned`.
    pub fn write(&mut self) -> Result<bool, WalError> {
        self.check()?;
        assert!(!self.in_flight, "WAL invariant: one write in flight");
        if self.staged.is_empty() {
            return Ok(false);
        }
        let extent = self.staged.extent();
        if self.rolls || self.offset + extent > self.current().size {
            self.next_segment(extent, false)?;
        }
        let segment = self.segments.back_mut().expect("WAL invariant: an open log has a segment");
        segment.records += self.staged.record_bytes() as u64;
        let bytes = self.staged.seal(self.meta.log_id, segment.id, self.next_number);
        self.poisoned = true;
        segment.file.write_all_at(bytes, self.offset).map_err(WalError::io("write", &segment.path))?;
        self.poisoned = false;
        self.in_flight = true;
        let at = self.offset;
        self.offset += bytes.len() as u64;
        self.next_number += 1;
        if let Some((first, last)) = self.staged.range() {
            segment.max_index = segment.max_index.max(last);
            self.index.add(Run { first, last, segment: segment.id, offset: at });
        }
        self.state.clone_from(&self.staged.state);
        self.staged.clear();
        Ok(true)
    }

    /// Makes the written batch durable, shows it to readers, and lets go of segments that nobody needs any more. Nothing to do, nothing done.
    ///
    /// # Errors
    /// `Io`, after which the log is poisoned; `Poisoned`.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check()?;
        if !self.in_flight {
            return Ok(());
        }
        self.poisoned = true;
        let segment = self.current();
        segment.file.sync_data().map_err(WalError::io("sync", &segment.path))?;
        self.in_flight = false;
        self.settle()?;
        self.poisoned = false;
        Ok(())
    }

    /// [`Self::stage`] and [`Self::write`].
    ///
    /// # Errors
    /// Theirs.
    pub fn append(&mut self, batch: &Batch<'_>) -> Result<(), WalError> {
        self.stage(batch)?;
        self.write().map(|_| ())
    }

    /// Entries up to `to` are in the store for good and not needed any more. Takes effect with the next batch: only when that is durable
    /// do files go. Going backwards does nothing.
    ///
    /// # Panics
    /// When `to` is beyond the last entry.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn release_to(&mut self, to: LogId) -> Result<(), WalError> {
        self.check()?;
        self.staged.truncate(to);
        Ok(())
    }

    /// Records, durably, that the staged store of `install` replaces the present one. After it: rename the pointer, then
    /// [`Self::finish_install`]. What is staged (the hard state that came with the snapshot) goes along.
    ///
    /// # Errors
    /// As [`Self::write`] and [`Self::sync`].
    pub fn begin_install(&mut self, install: &Install) -> Result<(), WalError> {
        self.check()?;
        self.staged.install(install);
        self.write()?;
        self.sync()
    }

    /// Resets the log to the place of the pending install: durably a new segment, all older ones released.
    ///
    /// # Panics
    /// When no install is pending, or entries are staged or in flight.
    ///
    /// # Errors
    /// `NoSpace` (may be repeated); otherwise the log is poisoned: `Io`, `Poisoned`.
    pub fn finish_install(&mut self) -> Result<(), WalError> {
        self.check()?;
        assert!(!self.in_flight && self.staged.record_bytes() == 0, "WAL invariant: a reset log has nothing in flight");
        let install = self.state.install.clone().expect("WAL invariant: only a pending install is finished");
        let at = LogId { term: install.meta.term, index: install.meta.index };
        let mut hard_state = self.staged.state.hard_state;
        hard_state.commit = hard_state.commit.max(at.index);
        let before =
            std::mem::replace(&mut self.state, LogState { hard_state, truncated: at, last: at, install: None });
        if let Err(error) = self.next_segment(0, true) {
            self.state = before;
            return Err(error);
        }
        self.staged.clear();
        self.staged.state.clone_from(&self.state);
        self.index.reset(at.index);
        self.poisoned = true;
        self.settle()?;
        self.poisoned = false;
        Ok(())
    }

    /// A file that should be prepared now, on a thread that may wait: hand it to [`prepare_segment`](super::prepare_segment), and the
    /// result to [`Self::offer_prepared`]. None while one is ready or asked for, and until the present segment is used by a quarter: what
    /// is released meanwhile need not be made.
    pub fn wants_segment(&mut self) -> Option<PrepareRequest> {
        if self.offset < self.current().size / 4 {
            return None;
        }
        let size = self.next_size(0);
        self.spares.wanted(size, self.config.min_segment.min(size))
    }

    /// Whether the log has come to be mostly padding, at the segments behind it: whoever can should make the store durable and release it.
    /// True once for each segment.
    ///
    /// Each batch takes whole blocks, so that clients who wait for each other's syncs fill the log with padding. Released segments are written
    /// again; others are made of zeros first, which is as much for the disk as what is written.
    pub fn wants_release(&mut self) -> bool {
        std::mem::take(&mut self.is_padded)
    }

    /// Takes a prepared file into the pool. On `Err` of the preparation pass `None`: it may then be asked for again.
    ///
    /// # Errors
    /// `Poisoned`; `Io` when a surplus file cannot be removed.
    pub fn offer_prepared(&mut self, prepared: Option<Prepared>) -> Result<(), WalError> {
        self.check()?;
        match prepared {
            Some(file) => self.spares.offer(self.disk.as_ref(), file),
            None => {
                self.spares.declined();
                Ok(())
            }
        }
    }

    /// A reader of durable entries, for another thread.
    pub fn reader(&self) -> WalReader {
        WalReader::new(self.disk.clone(), self.dir.clone(), self.meta.log_id, self.index.readers_side())
    }

    /// What reads the durable part of the log now and then to find damage, on another thread.
    pub fn scrub(&self) -> WalScrub {
        WalScrub::new(self.disk.clone(), self.dir.clone(), self.meta.log_id, self.index.readers_side())
    }

    /// The next batch begins a segment, so that the present one can be let go of: something in it cannot be read back.
    pub fn roll(&mut self) {
        self.rolls = true;
    }

    /// Last entry written or staged.
    pub fn last(&self) -> LogId {
        self.staged.state.last
    }

    /// Entries up to here are released, or will be with the next batch.
    pub fn truncated(&self) -> LogId {
        self.staged.state.truncated
    }

    /// Hard state as written or staged.
    pub fn hard_state(&self) -> HardState {
        self.staged.state.hard_state
    }

    /// Whose log it is.
    pub fn meta(&self) -> WalMeta {
        self.meta
    }

    /// Bytes of all live segments.
    pub fn disk_len(&self) -> u64 {
        self.segments.iter().map(|s| s.size).sum()
    }

    fn check(&self) -> Result<(), WalError> {
        if self.poisoned { Err(WalError::Poisoned) } else { Ok(()) }
    }

    fn current(&self) -> &Segment {
        self.segments.back().expect("WAL invariant: an open log has a segment")
    }

    /// Size of the segment after the present one, which must take `need` bytes: twice as large, but for one that is mostly padding. Whoever
    /// syncs small batches one by one fills no segment soon.
    fn next_size(&self, need: u64) -> u64 {
        let current = self.current();
        let batches = self.offset.saturating_sub(BLOCK);
        let growth = if current.records * 2 < batches { 1 } else { 2 };
        self.config.fitting(current.size * growth, need)
    }

    /// Bytes of padding in all segments, less the bytes of records.
    fn padding(&self) -> u64 {
        let (bytes, records) =
            self.segments.iter().fold((0, 0), |(bytes, records), one| (bytes + one.size, records + one.records));
        bytes.saturating_sub(2 * records)
    }

    /// Goes on in a new segment that has room for `extent` bytes behind its head. Only a lack of space for its file leaves the log usable.
    fn next_segment(&mut self, extent: u64, reset: bool) -> Result<(), WalError> {
        let mut head = SegmentHead { meta: self.meta, reset, recycled: false, state: self.state.clone() };
        let id = self.current().id + 1;
        let need = encode_head(&head, id, self.next_number).len() as u64 + padded(extent as usize);
        let size = self.next_size(need);
        self.poisoned = true;
        let taken = self.spares.take(self.disk.as_ref(), need, size);
        self.poisoned = !matches!(taken, Ok(_) | Err(WalError::NoSpace { .. }));
        let prepared = taken?;
        head.recycled = prepared.recycled;
        self.poisoned = true;
        let (segment, offset) = start_segment(self.disk.as_ref(), &self.dir, prepared, &head, id, self.next_number)?;
        self.poisoned = false;
        self.is_padded = self.padding() > self.config.max_padding;
        self.segments.push_back(segment);
        self.offset = offset;
        self.next_number += 1;
        self.rolls = false;
        Ok(())
    }

    /// Shows readers what is durable, then lets go of the oldest segments as far as the truncation, which must be durable, allows: in
    /// this order, so that a reader that finds a file gone or reused knows why.
    fn settle(&mut self) -> Result<(), WalError> {
        let truncated = self.state.truncated.index;
        let released =
            self.segments.iter().take(self.segments.len() - 1).take_while(|s| s.max_index <= truncated).count();
        self.index.release(self.segments[released].id, truncated);
        self.index.publish(self.current().id, self.offset);
        let useful = self.config.fitting(self.current().size, 0)..=self.config.max_segment;
        for Segment { path, file, size, .. } in self.segments.drain(..released) {
            self.spares.recycle(self.disk.as_ref(), &path, file, size, useful.clone())?;
        }
        Ok(())
    }
}
