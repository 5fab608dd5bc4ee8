//! What a member's log holds for good, written down beside the log: which entry was written, which is durable, which vote was
//! promised. An install replaces the log, and what comes behind it waits, as in the WAL writer.
//!
//! Must never count as durable what no sync has covered.

use actors::wiring::wal::{AppendBatch, ToWal};
use raft::{Entry, HardState, Index, LogId, Term};
use std::collections::VecDeque;
use storage::wal::Recovered;

/// Terms of a log, as runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Behind this the log begins.
    base: LogId,
    /// First index of each term, ascending.
    runs: Vec<LogId>,
    last: Index,
}

impl Runs {
    /// A log without entries behind `base`.
    pub fn behind(base: LogId) -> Self {
        Self { base, runs: Vec::new(), last: base.index }
    }

    fn append(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        while self.runs.last().is_some_and(|run| run.index >= first.index) {
            self.runs.pop();
        }
        for entry in entries {
            if self.runs.last().is_none_or(|run| run.term != entry.term) {
                self.runs.push(LogId { term: entry.term, index: entry.index });
            }
        }
        self.last = last.index;
    }

    /// Last index.
    pub fn last(&self) -> Index {
        self.last
    }

    /// Whether the log holds this entry, or a snapshot that covers it.
    pub fn holds(&self, index: Index, term: Term) -> bool {
        if index <= self.base.index {
            return true;
        }
        let run = self.runs.partition_point(|run| run.index <= index).checked_sub(1);
        index <= self.last && run.is_some_and(|run| self.runs[run].term == term)
    }
}

/// What of a batch matters here.
#[derive(Clone, Debug)]
struct Noted {
    entries: Vec<Entry>,
    hard_state: Option<HardState>,
}

/// See the file header.
#[derive(Clone, Debug)]
pub struct LogBook {
    /// Durable.
    pub durable: Runs,
    /// Written, or about to be.
    written: Runs,
    /// What was durable before the last batch, and its last index.
    pub before: Runs,
    pub before_last: Index,
    /// Hard state that was reported durable, and the one that will be.
    pub promised: HardState,
    promising: HardState,
    installing: bool,
    held: VecDeque<Noted>,
}

impl LogBook {
    /// Of a log without entries behind `base`.
    pub fn behind(base: LogId) -> Self {
        Self {
            durable: Runs::behind(base),
            written: Runs::behind(base),
            before: Runs::behind(base),
            before_last: base.index,
            promised: HardState::default(),
            promising: HardState::default(),
            installing: false,
            held: VecDeque::new(),
        }
    }

    /// What a start has found.
    pub fn recovered(&mut self, found: &Recovered) {
        let last = found.last.index;
        if last > self.durable.last {
            self.before_last = self.durable.last;
            self.before = self.durable.clone();
        }
        self.durable = Runs { base: found.truncated, runs: found.terms.clone(), last };
        self.written = self.durable.clone();
        (self.promised, self.promising) = (found.hard_state, found.hard_state);
        self.installing = false;
        self.held.clear();
    }

    /// A message that the WAL writer is about to take.
    pub fn note(&mut self, message: &ToWal) {
        match message {
            ToWal::Append(batch) if self.installing => self.held.push_back(noted(batch)),
            ToWal::Append(batch) => self.append(batch),
            ToWal::Installed => {
                self.installing = false;
                for noted in std::mem::take(&mut self.held) {
                    self.take(&noted);
                }
            }
            ToWal::Release { .. } | ToWal::Prepared(_) | ToWal::Stop => {}
        }
    }

    fn append(&mut self, batch: &AppendBatch) {
        let Some(staged) = &batch.install else { return self.take(&noted(batch)) };
        // it is durable, or the member is down, when the writer's round has begun
        let base = LogId { term: staged.meta.term, index: staged.meta.index };
        // its record is the last batch, until there is another one
        self.before_last = self.durable.last.min(base.index);
        self.before = self.durable.clone();
        self.written = Runs::behind(base);
        self.durable = self.written.clone();
        self.promising = batch.hard_state.unwrap_or(self.promising);
        self.installing = true;
        self.held.push_back(noted(batch));
    }

    fn take(&mut self, noted: &Noted) {
        self.written.append(&noted.entries);
        self.promising = noted.hard_state.unwrap_or(self.promising);
    }

    /// Last index that is written.
    pub fn written(&self) -> Index {
        self.written.last
    }

    /// An install is under way.
    pub fn is_installing(&self) -> bool {
        self.installing
    }

    /// What was written is durable.
    pub fn synced(&mut self) {
        if self.written != self.durable {
            self.before_last = self.durable.last.min(self.written.last);
            self.before = self.durable.clone();
        }
        self.durable = self.written.clone();
        self.promised = self.promising;
    }
}

fn noted(batch: &AppendBatch) -> Noted {
    Noted { entries: batch.entries.clone(), hard_state: batch.hard_state.filter(|_| batch.must_sync) }
}
