//! Writing a large entry in pieces under a cursor row.
//!
//! The row says everything needed to finish the entry: its command, the branches taken, the operation that stands half
//! done and where in its range. Must never move the applied index: that goes with the last piece.

use super::decoded::decode;
use super::entry_cursor::EntryCursor;
use super::failure::Run;
use super::machine::Effects;
use super::meta_rows::ChunkRow;
use super::running::Digest;
use super::{ApplyFatal, StateMachine};
use crate::engine::{Engine, Family};
use crate::schema::meta;
use bytes::Bytes;
use model::mutant::{self, Mutant};
use prost::Message;

impl<E: Engine> StateMachine<E> {
    /// Writes what the entry at hand did so far, once that is a lot. `from` is where its operation goes on.
    pub(super) fn spill(&mut self, cursor: &EntryCursor, from: &[u8]) -> Run<()> {
        if self.batch.bytes() < self.chunk_bytes {
            return Ok(());
        }
        if !self.chunked {
            self.chunked = true;
            self.effects.events.truncate(cursor.events);
            self.effects.unlisted.push(self.now.revision + 1);
        }
        let row = ChunkRow {
            index: cursor.id.index,
            term: cursor.id.term,
            command: cursor.command.clone(),
            path: cursor.path.clone(),
            op: cursor.op,
            from: Bytes::copy_from_slice(from),
            sub: self.sub,
            digest: Some(self.batch.digest.word()),
        };
        self.batch.put_own(Family::Meta, Bytes::from_static(meta::CHUNK), row.encode_to_vec().into());
        Ok(self.commit()?)
    }

    /// Finishes the entry that a crash left half done.
    pub(super) fn resume(&mut self, row: ChunkRow) -> Result<(), ApplyFatal> {
        let sub = row.sub;
        match row.digest {
            Some(word) => self.batch.digest = Digest::resumed(word),
            // begun by a build that does not compute the running hash
            None => self.now.running = None,
        }
        let mut cursor = EntryCursor::resumed(row);
        let (_, command) = decode(cursor.id, &cursor.command)?;
        self.sub = if mutant::on(Mutant::ChunkSub) { 0 } else { sub };
        self.chunked = true;
        let result = self.finish(&mut cursor, &command)?;
        assert!(result.is_ok(), "AI-CHUNK: entry {} was half done and is now refused: {result:?}", cursor.id.index);
        self.close_revision();
        self.finish_entry(cursor.id)?;
        self.effects = Effects::default();
        self.forget();
        Ok(())
    }
}
