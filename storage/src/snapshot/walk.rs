//! One pass over the rows of a snapshot, as the chunks of its stream. The same snapshot always gives the same bytes.
//!
//! The rows are read a few blocks at a time, from where the last ones ended, so that a walk may rest between two chunks for as long as
//! it likes. Must never hold more than those blocks, a chunk and a row in memory.

use super::{BLOCK_BYTES, BLOCK_HEAD, CHUNK_BYTES, END, FAMILIES, HASH_BYTES, ROW_HEAD, ROWS, block_crc};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use aws_lc_rs::digest;
use bytes::{BufMut, Bytes, BytesMut};

/// Blocks that one scan reads: enough that to begin a scan anew does not matter, in a few hundred kilobytes.
const BLOCKS_PER_SCAN: usize = 4;

/// See the file header.
pub(super) struct Walk<S> {
    snapshot: S,
    total: u64,
    /// Place in [`FAMILIES`]; behind them when all rows are read.
    family: usize,
    /// No row before this one is left.
    lower: Vec<u8>,
    /// Number of the next block.
    number: u64,
    rows: [u64; Family::ALL.len()],
    /// The end block is in the buffer or out.
    ended: bool,
    buffer: BytesMut,
    sent: u64,
    hash: digest::Context,
}

impl<S: Snapshot> Walk<S> {
    /// Over a stream that begins with `start` and is `total` bytes long without its hash.
    pub(super) fn new(snapshot: S, start: &[u8], total: u64) -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES + (BLOCKS_PER_SCAN + 1) * BLOCK_BYTES);
        buffer.put_slice(start);
        Self {
            snapshot,
            total,
            family: 0,
            lower: Vec::new(),
            number: 0,
            rows: [0; Family::ALL.len()],
            ended: false,
            buffer,
            sent: 0,
            hash: digest::Context::new(&digest::SHA256),
        }
    }

    /// The next chunk; `None` when all have been handed out.
    ///
    /// # Errors
    /// [`EngineError`] when rows cannot be read, or are others than the store counts.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        while self.buffer.len() < CHUNK_BYTES && !self.ended {
            self.fill()?;
            if self.sent + self.buffer.len() as u64 > self.total {
                return Err(EngineError::Corrupt("SN-LENGTH: there are more rows than the store counts".into()));
            }
        }
        let left = (self.total - self.sent).min(CHUNK_BYTES as u64) as usize;
        if left == 0 {
            return Ok(None);
        }
        if self.buffer.len() < left {
            self.buffer.resize(left, 0);
        }
        let chunk = self.buffer.split_to(left).freeze();
        self.hash.update(&chunk);
        self.sent += left as u64;
        Ok(Some(chunk))
    }

    /// SHA-256 of everything, once all chunks are handed out.
    ///
    /// # Panics
    /// Before that (SN-LENGTH).
    pub(super) fn hash(&self) -> [u8; HASH_BYTES] {
        assert!(self.sent == self.total, "SN-LENGTH: {} of {} bytes were sent", self.sent, self.total);
        self.hash.clone().finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Reads the next blocks of one family, or closes the stream behind the last one.
    fn fill(&mut self) -> Result<(), EngineError> {
        let Self { snapshot, family, lower, number, rows, buffer, .. } = self;
        let Some(at) = FAMILIES.get(*family).copied() else {
            self.ended = true;
            let head = self.buffer.len();
            self.buffer.put_bytes(0, BLOCK_HEAD);
            self.rows.iter().for_each(|count| self.buffer.put_u64(*count));
            close_block(&mut self.buffer[head..], self.number, END, 0);
            return Ok(());
        };
        let mut scan = snapshot.scan_once(at, lower, None, Direction::Forward);
        let mut last = Vec::new();
        let mut more = true;
        for _ in 0..BLOCKS_PER_SCAN {
            let head = buffer.len();
            buffer.put_bytes(0, BLOCK_HEAD);
            while more && buffer.len() - head - BLOCK_HEAD < BLOCK_BYTES {
                match scan.next()? {
                    Some((key, value)) => {
                        put_row(buffer, key, value);
                        rows[at as usize] += 1;
                        last.clear();
                        last.extend_from_slice(key);
                    }
                    None => more = false,
                }
            }
            if buffer.len() == head + BLOCK_HEAD {
                buffer.truncate(head);
                break;
            }
            close_block(&mut buffer[head..], *number, ROWS, at as u8);
            *number += 1;
        }
        drop(scan);
        if more {
            // the next key there can be
            last.push(0);
            *lower = last;
        } else {
            *family += 1;
            lower.clear();
        }
        Ok(())
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
