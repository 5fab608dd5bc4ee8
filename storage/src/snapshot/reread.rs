//! A stream that can be read from any place, as a transfer that is resumed needs it: the walk goes forward, and begins anew when an
//! earlier place is asked for.
//!
//! Must never hold more than one chunk besides what the walk holds.

use super::HASH_BYTES;
use super::source::SnapshotSource;
use super::walk::Walk;
use crate::engine::{EngineError, Snapshot};
use bytes::Bytes;

/// See the file header. The hash lies behind the stream, as in a file.
pub struct StreamReader<S> {
    source: SnapshotSource<S>,
    walk: Walk<S>,
    /// Offset of `chunk`.
    at: u64,
    chunk: Bytes,
}

impl<S: Snapshot> StreamReader<S> {
    /// At the beginning of the stream of `source`.
    pub fn new(source: SnapshotSource<S>) -> Self {
        let walk = source.walk();
        Self { source, walk, at: 0, chunk: Bytes::new() }
    }

    /// Bytes in all, with the hash.
    pub fn length(&self) -> u64 {
        self.source.total_bytes() + HASH_BYTES as u64
    }

    /// Some bytes from `offset`, at least one and at most `most`; none at the end.
    ///
    /// # Errors
    /// [`EngineError`] when rows cannot be read.
    pub fn read_at(&mut self, offset: u64, most: usize) -> Result<Bytes, EngineError> {
        if offset >= self.length() {
            return Ok(Bytes::new());
        }
        if offset < self.at {
            self.walk = self.source.walk();
            (self.at, self.chunk) = (0, Bytes::new());
        }
        while offset >= self.at + self.chunk.len() as u64 {
            self.at += self.chunk.len() as u64;
            self.chunk = match self.walk.next()? {
                Some(chunk) => chunk,
                None => Bytes::copy_from_slice(&self.walk.hash()),
            };
        }
        let from = (offset - self.at) as usize;
        let to = self.chunk.len().min(from.saturating_add(most));
        Ok(self.chunk.slice(from..to))
    }
}

impl<S> std::fmt::Debug for StreamReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamReader(at {})", self.at)
    }
}
