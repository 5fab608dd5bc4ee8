//! An entry on its way through the state machine, and how far it has come.
//!
//! Must never touch the store.

use super::meta_rows::ChunkRow;
use bytes::Bytes;
use raft::LogId;

/// The entry at hand.
#[derive(Debug)]
pub(super) struct EntryCursor {
    /// Its place in the log.
    pub(super) id: LogId,
    /// Canonical bytes of its command.
    pub(super) command: Bytes,
    /// Branches its transactions take, in the order in which they are met.
    pub(super) path: Vec<bool>,
    /// The next element of `path`.
    pub(super) branch: usize,
    /// Operations (transactions not counted) done so far.
    pub(super) op: u64,
    /// Where an earlier life of this process stopped.
    resume: Option<(u64, Bytes)>,
    /// Length of the event list before the entry.
    pub(super) events: usize,
}

impl EntryCursor {
    pub(super) fn new(id: LogId, command: Bytes, events: usize) -> Self {
        Self { id, command, path: Vec::new(), branch: 0, op: 0, resume: None, events }
    }

    pub(super) fn resumed(row: ChunkRow) -> Self {
        Self {
            id: LogId { index: row.index, term: row.term },
            command: row.command,
            path: row.path,
            branch: 0,
            op: 0,
            resume: Some((row.op, row.from)),
            events: 0,
        }
    }

    /// True when the operation at hand was finished in an earlier life.
    pub(super) fn is_done(&self) -> bool {
        self.resume.as_ref().is_some_and(|(op, _)| self.op < *op)
    }

    /// Where the operation at hand starts: `first`, or where an earlier life stopped.
    pub(super) fn start(&mut self, first: &[u8]) -> Vec<u8> {
        match self.resume.take_if(|(op, _)| *op == self.op) {
            Some((_, from)) => from.to_vec(),
            None => first.to_vec(),
        }
    }
}
