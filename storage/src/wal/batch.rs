//! The batch being staged: one reusable buffer, and what the log will be once it is written.
//!
//! Must never allocate per entry, nor touch a file.

use raft::{Entry, HardState, Index, LogId};

use super::format::{HEADER_LEN, Header, padded};
use super::record::{Install, LogState, TRAILER_MAX, put_entry, put_hard_state, put_install, put_truncated};

/// A buffer larger than this is given back after its batch.
const KEEP_CAPACITY: usize = 4 << 20;

/// Records staged for the next write.
#[derive(Debug)]
pub(super) struct Staged {
    /// Header space, then records; closed by [`Self::seal`].
    buffer: Vec<u8>,
    records: u32,
    /// Lowest index of the staged entries, zero without any.
    first_index: Index,
    hard_state_moved: bool,
    truncated_moved: bool,
    /// The log as it will be.
    pub(super) state: LogState,
}

impl Staged {
    pub(super) fn new(state: LogState) -> Self {
        Self {
            buffer: vec![0; HEADER_LEN],
            records: 0,
            first_index: 0,
            hard_state_moved: false,
            truncated_moved: false,
            state,
        }
    }

    pub(super) fn entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            let (state, index) = (&mut self.state, entry.index);
            assert!(
                index > state.truncated.index && index <= state.last.index + 1,
                "WAL invariant: entry {index} neither follows entry {} nor replaces one behind {}",
                state.last.index,
                state.truncated.index
            );
            assert!(
                index <= state.last.index || entry.term >= state.last.term,
                "WAL invariant: term {} of entry {index} is below the term before it",
                entry.term
            );
            state.last = LogId { term: entry.term, index };
            if self.first_index == 0 || index < self.first_index {
                self.first_index = index;
            }
            put_entry(&mut self.buffer, entry);
            self.records += 1;
        }
    }

    pub(super) fn hard_state(&mut self, hard_state: HardState) {
        self.hard_state_moved |= hard_state != self.state.hard_state;
        self.state.hard_state = hard_state;
    }

    /// True if the truncation moved.
    pub(super) fn truncate(&mut self, to: LogId) -> bool {
        let state = &mut self.state;
        if to.index <= state.truncated.index {
            return false;
        }
        assert!(to.index <= state.last.index, "WAL invariant: truncation to {} is beyond the last entry", to.index);
        state.truncated = to;
        self.truncated_moved = true;
        true
    }

    pub(super) fn install(&mut self, install: &Install) {
        put_install(&mut self.buffer, install);
        self.records += 1;
        self.state.install = Some(install.clone());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0 && !self.hard_state_moved && !self.truncated_moved
    }

    /// Bytes of the records staged, hard state and truncation aside.
    pub(super) fn record_bytes(&self) -> usize {
        self.buffer.len() - HEADER_LEN
    }

    /// Bytes the batch will take at most.
    pub(super) fn extent(&self) -> u64 {
        padded(self.buffer.len() + TRAILER_MAX)
    }

    /// Closes the batch as number `number` of `segment`; the bytes are a whole number of blocks.
    pub(super) fn seal(&mut self, log_id: u64, segment: u64, number: u64) -> &[u8] {
        if self.truncated_moved {
            put_truncated(&mut self.buffer, self.state.truncated);
            self.records += 1;
        }
        if self.hard_state_moved {
            put_hard_state(&mut self.buffer, self.state.hard_state);
            self.records += 1;
        }
        let payload = &self.buffer[HEADER_LEN..];
        let header = Header {
            records: self.records,
            log_id,
            segment,
            number,
            payload_len: u32::try_from(payload.len()).expect("WAL invariant: a batch is smaller than 4 GiB"),
            payload_crc: crc32c::crc32c(payload),
            first_index: self.first_index,
            span: self.last_staged().map_or(0, |last| (last + 1 - self.first_index) as u32),
        };
        header.encode(&mut self.buffer);
        self.buffer.resize(padded(self.buffer.len()) as usize, 0);
        &self.buffer
    }

    /// Lowest and last index of the staged entries.
    pub(super) fn range(&self) -> Option<(Index, Index)> {
        Some((self.first_index, self.last_staged()?))
    }

    fn last_staged(&self) -> Option<Index> {
        (self.first_index != 0).then_some(self.state.last.index)
    }

    /// Empties the batch; `state` stays.
    pub(super) fn clear(&mut self) {
        if self.buffer.capacity() > KEEP_CAPACITY {
            self.buffer = Vec::with_capacity(HEADER_LEN);
        }
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        self.records = 0;
        self.first_index = 0;
        self.hard_state_moved = false;
        self.truncated_moved = false;
    }
}
