//! Adding up records in order: the pure part of opening a log.
//!
//! Must never accept a log with a gap, an entry that could not have been written, or a head that disagrees with what precedes it.

use raft::{HardState, Index, LogId};

use super::WalMeta;
use super::format::Header;
use super::index::{LogIndex, Run};
use super::record::{EntryRef, LogState, Record, SegmentHead, records};

/// What the log says so far.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) meta: WalMeta,
    pub(super) state: LogState,
    pub(super) index: LogIndex,
    /// First index of each term among the entries seen, ascending.
    runs: Vec<LogId>,
    /// Lowest index from which on all entries are there.
    available: Index,
    /// Lowest and last entry of the batch at hand.
    batch: Option<(Index, Index)>,
    /// Highest index in the segment at hand.
    pub(super) max_index: Index,
}

impl Replay {
    /// Starts at the head of the oldest segment.
    pub(super) fn new(head: &SegmentHead, mark_every: u64) -> Self {
        let mut replay = Self {
            meta: head.meta,
            state: head.state.clone(),
            index: LogIndex::new(mark_every),
            runs: Vec::new(),
            available: head.state.last.index + 1,
            batch: None,
            max_index: 0,
        };
        replay.index.reset(head.state.last.index);
        replay
    }

    /// The head of the next segment.
    pub(super) fn head(&mut self, head: &SegmentHead) -> Result<(), &'static str> {
        self.max_index = 0;
        if head.meta != self.meta {
            return Err("the segment belongs to another log than the one before it");
        }
        if head.reset {
            self.state = head.state.clone();
            self.runs.clear();
            self.available = self.state.last.index + 1;
            self.index.reset(self.state.last.index);
        } else if head.state != self.state {
            return Err("the segment's head disagrees with the segments before it");
        }
        Ok(())
    }

    /// A whole batch, other than a head.
    pub(super) fn batch(&mut self, header: &Header, payload: &[u8], offset: u64) -> Result<(), &'static str> {
        self.batch = None;
        let mut count = 0;
        for record in records(payload) {
            count += 1;
            match record? {
                Record::Head(_) => return Err("a segment head inside a segment"),
                Record::Entry(entry) => self.entry(&entry)?,
                Record::HardState(hard_state) => self.hard_state(hard_state)?,
                Record::Truncated(id) => self.truncated(id)?,
                Record::Install(install) => self.state.install = Some(install),
            }
        }
        if count != header.records {
            return Err("a batch holds another number of records than its header says");
        }
        if let Some((first, last)) = self.batch {
            if header.first_index != first || u64::from(header.span) != last + 1 - first {
                return Err("a batch holds other entries than its header says");
            }
            self.index.add(Run { first, last, segment: header.segment, offset });
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), &'static str> {
        let LogId { term, index } = entry.id;
        if index <= self.state.truncated.index {
            return Err("an entry at or before the truncated part of the log");
        }
        if index > self.state.last.index + 1 {
            return Err("entries are missing before this one");
        }
        // A term begins at the index of its run; what is replaced takes its runs along.
        self.runs.truncate(self.runs.partition_point(|run| run.index < index));
        let before = match self.runs.last() {
            Some(run) => run.term,
            None if self.state.truncated.index + 1 == index => self.state.truncated.term,
            None if self.state.last.index + 1 == index => self.state.last.term,
            None => 0,
        };
        if term < before || term == 0 {
            return Err("the term of an entry is below the term before it");
        }
        if self.runs.last().is_none_or(|run| run.term != term) {
            self.runs.push(entry.id);
        }
        self.available = self.available.min(index);
        self.state.last = entry.id;
        self.max_index = self.max_index.max(index);
        let first = self.batch.map_or(index, |(first, _)| first.min(index));
        self.batch = Some((first, index));
        Ok(())
    }

    fn hard_state(&mut self, hard_state: HardState) -> Result<(), &'static str> {
        if hard_state.term < self.state.hard_state.term {
            return Err("the term of the hard state went backwards");
        }
        self.state.hard_state = hard_state;
        Ok(())
    }

    fn truncated(&mut self, id: LogId) -> Result<(), &'static str> {
        if id.index > self.state.last.index || id.index < self.state.truncated.index {
            return Err("the log was truncated beyond its end, or backwards");
        }
        self.state.truncated = id;
        Ok(())
    }

    /// First index of each term among the entries that are not truncated, ascending.
    ///
    /// # Errors
    /// When entries behind the truncation are missing at the front.
    pub(super) fn finish(&self) -> Result<Vec<LogId>, &'static str> {
        let truncated = self.state.truncated;
        if self.available > truncated.index + 1 {
            return Err("entries before this segment are missing: an older segment was lost");
        }
        let first = truncated.index + 1;
        let covering = self.runs.partition_point(|run| run.index <= first);
        let mut terms: Vec<LogId> = self.runs[covering.saturating_sub(1)..].to_vec();
        match terms.first_mut() {
            Some(run) if run.index < first => run.index = first,
            _ => {}
        }
        if self.state.last.index < first {
            terms.clear();
        }
        Ok(terms)
    }
}
