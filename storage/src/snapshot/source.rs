//! The sending side: a snapshot of the engine as chunks, in one pass over its rows.
//!
//! Must never hold more than a chunk and a row in memory.

use super::{
    BLOCK_BYTES, BLOCK_HEAD, END, FAMILIES, HASH_BYTES, PAGE, ROW_HEAD, ROWS, StreamHeader, block_crc, most_blocks,
};
use crate::apply::{HistoryRows, State};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use aws_lc_rs::digest;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::ControlFlow;

/// Length of a chunk; the last ones may be shorter.
pub const CHUNK_BYTES: usize = 256 << 10;
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
        let mut stream = Stream { total: self.total, sent: 0, hash: digest::Context::new(&digest::SHA256) };
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES + 2 * BLOCK_BYTES);
        buffer.put_slice(&self.start);
        let mut rows = [0u64; Family::ALL.len()];
        let mut number = 0;
        for family in FAMILIES {
            let mut scan = self.snapshot.scan_once(family, &[], None, Direction::Forward);
            let mut more = true;
            while more {
                let head = buffer.len();
                buffer.put_bytes(0, BLOCK_HEAD);
                while more && buffer.len() - head - BLOCK_HEAD < BLOCK_BYTES {
                    match scan.next()? {
                        Some((key, value)) => {
                            put_row(&mut buffer, key, value);
                            rows[family as usize] += 1;
                        }
                        None => more = false,
                    }
                }
                if buffer.len() == head + BLOCK_HEAD {
                    buffer.truncate(head);
                    break;
                }
                close_block(&mut buffer[head..], number, ROWS, family as u8);
                number += 1;
                if stream.give(&mut buffer, &mut take)?.is_break() {
                    return Ok(StreamEnd::Broken);
                }
            }
        }
        let head = buffer.len();
        buffer.put_bytes(0, BLOCK_HEAD);
        rows.iter().for_each(|count| buffer.put_u64(*count));
        close_block(&mut buffer[head..], number, END, 0);
        stream.finish(buffer, &mut take)
    }
}

impl<S> std::fmt::Debug for SnapshotSource<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotSource({} bytes)", self.total)
    }
}

fn put_row(out: &mut BytesMut, key: &[u8], value: &[u8]) {
    out.reserve(ROW_HEAD + key.len() + value.len());
    out.put_u32(key.len() as u32);
    out.put_u32(value.len() as u32);
    out.put_slice(key);
    out.put_slice(value);
}

/// Fills in the head of a block.
fn close_block(block: &mut [u8], number: u64, kind: u8, family: u8) {
    let (mut head, contents) = block.split_at_mut(BLOCK_HEAD);
    head.put_u8(kind);
    head.put_u8(family);
    head.put_u32(u32::try_from(contents.len()).expect("a row is far below 4 GiB"));
    head.put_u32(block_crc(number, kind, family, contents));
}

/// What has left so far.
struct Stream {
    total: u64,
    sent: u64,
    hash: digest::Context,
}

impl Stream {
    /// Hands out whole chunks.
    fn give(
        &mut self,
        buffer: &mut BytesMut,
        take: &mut impl FnMut(Bytes) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, EngineError> {
        if self.sent + buffer.len() as u64 > self.total {
            return Err(EngineError::Corrupt("SN-LENGTH: there are more rows than the store counts".into()));
        }
        while buffer.len() >= CHUNK_BYTES {
            if self.chunk(buffer.split_to(CHUNK_BYTES).freeze(), take).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            buffer.reserve(CHUNK_BYTES + 2 * BLOCK_BYTES);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Hands out what is left, with the padding.
    fn finish(
        mut self,
        mut buffer: BytesMut,
        take: &mut impl FnMut(Bytes) -> ControlFlow<()>,
    ) -> Result<StreamEnd, EngineError> {
        loop {
            if self.give(&mut buffer, take)?.is_break() {
                return Ok(StreamEnd::Broken);
            }
            let left = (self.total - self.sent) as usize;
            if left <= buffer.len() {
                break;
            }
            buffer.put_bytes(0, (left - buffer.len()).min(CHUNK_BYTES));
        }
        if !buffer.is_empty() && self.chunk(buffer.freeze(), take).is_break() {
            return Ok(StreamEnd::Broken);
        }
        assert!(self.sent == self.total, "SN-LENGTH: {} of {} bytes were sent", self.sent, self.total);
        let hash = self.hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(StreamEnd::Whole(hash))
    }

    fn chunk(&mut self, chunk: Bytes, take: &mut impl FnMut(Bytes) -> ControlFlow<()>) -> ControlFlow<()> {
        self.hash.update(&chunk);
        self.sent += chunk.len() as u64;
        take(chunk)
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
