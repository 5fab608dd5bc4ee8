//! An entry on its way through the state machine, and the cursor that lets a large one be written in pieces.
//!
//! The cursor row says everything needed to finish the entry: its command, the branches taken, the operation that stands half
//! done and where in its range. Must never move the applied index: that goes with the last piece.

use super::Applier;
use super::command::Run;
use super::meta_rows::ChunkRow;
use crate::engine::{Engine, Family};
use crate::schema::meta;
use bytes::Bytes;
use model::mutant::{self, Mutant};
use prost::Message;
use raft::LogId;

/// The entry at hand.
#[derive(Debug)]
pub(super) struct Job {
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

impl Job {
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

impl<E: Engine> Applier<E> {
    /// Writes what the entry at hand did so far, once that is a lot. `from` is where its operation goes on.
    pub(super) fn spill(&mut self, job: &Job, from: &[u8]) -> Run<()> {
        if self.batch.bytes() < self.chunk_bytes {
            return Ok(());
        }
        if !self.chunked {
            self.chunked = true;
            self.effects.events.truncate(job.events);
            self.effects.unlisted.push(self.now.revision + 1);
        }
        let row = ChunkRow {
            index: job.id.index,
            term: job.id.term,
            command: job.command.clone(),
            path: job.path.clone(),
            op: job.op,
            from: Bytes::copy_from_slice(from),
            sub: self.sub,
        };
        self.batch.put(Family::Meta, Bytes::from_static(meta::CHUNK), row.encode_to_vec().into());
        Ok(self.commit()?)
    }

    /// Finishes the entry that a crash left half done.
    pub(super) fn resume(&mut self, row: ChunkRow) -> Result<(), super::ApplyFatal> {
        let sub = row.sub;
        let mut job = Job::resumed(row);
        let command = super::command::decode(job.id, &job.command)?;
        self.sub = if mutant::on(Mutant::ChunkSub) { 0 } else { sub };
        self.chunked = true;
        let result = self.finish(&mut job, &command)?;
        assert!(result.is_ok(), "AI-CHUNK: entry {} was half done and is now refused: {result:?}", job.id.index);
        self.close_revision();
        self.finish_entry(job.id)?;
        self.effects = super::Effects::default();
        self.forget();
        Ok(())
    }
}
