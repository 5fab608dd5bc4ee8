//! The sending side: a snapshot of the engine, how long its stream is, and the stream itself.
//!
//! Must never read the rows to know the length of a store that counts them.

use super::walk::Walk;
use super::{BLOCK_HEAD, HASH_BYTES, PAGE, ROW_HEAD, StreamHeader, most_blocks};
use crate::apply::{HistoryRows, State};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use bytes::Bytes;
use std::ops::ControlFlow;

/// Bytes of the end block.
const END_BYTES: u64 = (BLOCK_HEAD + 8 * Family::ALL.len()) as u64;

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// All of it was taken. This is the SHA-256 of its bytes: the last message, and the end of a file.
    Whole([u8; HASH_BYTES]),
    /// Whoever took the chunks wanted no more.
    Broken,
}

/// A snapshot stream about to be sent.
#[derive(Clone)]
pub struct SnapshotSource<S> {
    snapshot: S,
    start: Vec<u8>,
    total: u64,
}

impl<S: Snapshot> SnapshotSource<S> {
    /// The stream of `snapshot`. A store that does not count its history is walked once to learn the length: not for a
    /// latency-critical thread.
    ///
    /// # Errors
    /// [`EngineError`] when the rows cannot be read.
    pub fn new(snapshot: S, header: &StreamHeader) -> Result<Self, EngineError> {
        let counted = State::read(&snapshot).ok().and_then(|state| Some(counted(&state, state.history?)));
        let history = counted.map_or_else(|| contents_of_history(&snapshot), Ok)?;
        let contents = contents(&snapshot, Family::Meta)? + history;
        let length = header.encode(0).len() as u64 + contents + most_blocks(contents) * BLOCK_HEAD as u64 + END_BYTES;
        let total = length.next_multiple_of(PAGE);
        Ok(Self { snapshot, start: header.encode(total), total })
    }

    /// Length of the stream without its hash, a multiple of 512.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Hands out the stream chunk by chunk, until `take` wants no more.
    ///
    /// # Errors
    /// [`EngineError`] when rows cannot be read, or are others than the store counts: the stream is then broken off.
    pub fn send(self, mut take: impl FnMut(Bytes) -> ControlFlow<()>) -> Result<StreamEnd, EngineError> {
        let mut walk = Walk::new(self.snapshot, &self.start, self.total);
        while let Some(chunk) = walk.next()? {
            if take(chunk).is_break() {
                return Ok(StreamEnd::Broken);
            }
        }
        Ok(StreamEnd::Whole(walk.hash()))
    }

    /// A walk over the stream from its beginning.
    pub(super) fn walk(&self) -> Walk<S> {
        Walk::new(self.snapshot.clone(), &self.start, self.total)
    }
}

impl<S> std::fmt::Debug for SnapshotSource<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotSource({} bytes)", self.total)
    }
}

/// Contents of the blocks of `log`, `cur` and `hist`, by what the store counts.
fn counted(state: &State, history: HistoryRows) -> u64 {
    let rows = history.log + state.keys + history.hist;
    let bytes = state.log_bytes + state.cur_bytes + history.hist_bytes;
    (rows as u64) * ROW_HEAD as u64 + bytes as u64
}

/// The same, by reading the rows.
fn contents_of_history<S: Snapshot>(snapshot: &S) -> Result<u64, EngineError> {
    Ok(contents(snapshot, Family::Log)? + contents(snapshot, Family::Cur)? + contents(snapshot, Family::Hist)?)
}

fn contents<S: Snapshot>(snapshot: &S, family: Family) -> Result<u64, EngineError> {
    let mut scan = snapshot.scan_once(family, &[], None, Direction::Forward);
    let mut total = 0;
    while let Some((key, value)) = scan.next()? {
        total += (ROW_HEAD + key.len() + value.len()) as u64;
    }
    Ok(total)
}
