//! The receiving side: blocks of a stream, each checked before it is handed out, the whole checked at its end.
//!
//! Must never panic or allocate by a length that the stream claims but does not have: the bytes come from outside.

use super::header::START;
use super::{
    BLOCK_BYTES, BLOCK_HEAD, END, FAMILIES, HASH_BYTES, PAGE, ROWS, StreamError, StreamHeader, block_crc, most_blocks,
};
use crate::engine::Family;
use aws_lc_rs::digest;
use bytes::{Buf, Bytes};
use std::io::{BufReader, Read};

/// What to do about the hash behind a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// It must be there and fit.
    Check,
    /// It may be missing or wrong: checksums of the blocks must do.
    Skip,
}

/// What a whole and sound stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its header.
    pub header: StreamHeader,
    /// Rows by family.
    pub rows: [u64; Family::ALL.len()],
    /// Length without the hash.
    pub bytes: u64,
    /// SHA-256 of the stream.
    pub hash: [u8; HASH_BYTES],
}

impl Summary {
    /// Living keys.
    pub fn keys(&self) -> u64 {
        self.rows[Family::Cur as usize]
    }
}

/// Checks a stream from its first byte to its last without keeping anything.
///
/// # Errors
/// [`StreamError`].
pub fn verify(reader: impl Read, hash: Hash) -> Result<Summary, StreamError> {
    read(reader, hash, |_, _, _| {})
}

/// As [`verify`], showing every row of a sound block to `row`. What was shown is to be trusted only when this returns a summary.
///
/// # Errors
/// [`StreamError`].
pub fn read(
    reader: impl Read,
    hash: Hash,
    mut row: impl FnMut(Family, &Bytes, &Bytes),
) -> Result<Summary, StreamError> {
    let mut blocks = Blocks::open(reader)?;
    let mut shown = |family, key, value| {
        row(family, &key, &value);
        Ok(())
    };
    while blocks.next(&mut shown)? {}
    blocks.finish(hash)
}

/// A stream being read.
pub(super) struct Blocks<R> {
    reader: BufReader<R>,
    header: StreamHeader,
    total: u64,
    offset: u64,
    block_start: u64,
    number: u64,
    hash: digest::Context,
    rows: [u64; Family::ALL.len()],
    last: Option<(Family, Bytes)>,
}

impl<R: Read> Blocks<R> {
    /// Reads and checks the header.
    pub(super) fn open(reader: R) -> Result<Self, StreamError> {
        let mut blocks = Self {
            reader: BufReader::with_capacity(256 << 10, reader),
            header: StreamHeader::default(),
            total: u64::MAX,
            offset: 0,
            block_start: 0,
            number: 0,
            hash: digest::Context::new(&digest::SHA256),
            rows: [0; Family::ALL.len()],
            last: None,
        };
        let start = blocks.read(START, "the header").map_err(|why| match why {
            StreamError::Truncated { offset: 0, .. } => StreamError::Empty,
            why => why,
        })?;
        let start: &[u8; START] = start[..].try_into().expect("read that many");
        let (length, crc) = StreamHeader::decode_start(start)?;
        let body = blocks.read(length, "the header")?;
        (blocks.header, blocks.total) = StreamHeader::decode(start, crc, &body)?;
        Ok(blocks)
    }

    pub(super) fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Reads one block and hands its rows out, in order; false behind the end block.
    pub(super) fn next(
        &mut self,
        mut row: impl FnMut(Family, Bytes, Bytes) -> Result<(), StreamError>,
    ) -> Result<bool, StreamError> {
        let (kind, family, contents) = self.block()?;
        if kind == END {
            self.end(contents)?;
            return Ok(false);
        }
        let family = FAMILIES.into_iter().find(|known| *known as u8 == family);
        let family = family.ok_or_else(|| self.damaged("it is of an unknown family"))?;
        let mut rest = contents;
        while !rest.is_empty() {
            let (key, value) = split_row(&mut rest).ok_or_else(|| self.damaged("its last row is cut"))?;
            let ascends = self.last.as_ref().is_none_or(|(f, k)| (*f, k) < (family, &key));
            if !ascends {
                return Err(self.damaged("its rows are out of order"));
            }
            self.last = Some((family, key.clone()));
            self.rows[family as usize] += 1;
            row(family, key, value)?;
        }
        self.number += 1;
        Ok(true)
    }

    /// Checks what follows the end block.
    pub(super) fn finish(mut self, hash: Hash) -> Result<Summary, StreamError> {
        self.block_start = self.offset;
        let most = PAGE + most_blocks(self.total) * BLOCK_HEAD as u64;
        if !self.total.is_multiple_of(PAGE) || self.total.checked_sub(self.offset).is_none_or(|zeros| zeros >= most) {
            return Err(self.damaged("the stream is not as long as its header says"));
        }
        while self.offset < self.total {
            let length = (self.total - self.offset).min(BLOCK_BYTES as u64) as usize;
            if self.read(length, "the padding")?.iter().any(|byte| *byte != 0) {
                return Err(self.damaged("the padding behind the last block is not zero"));
            }
        }
        let computed: [u8; HASH_BYTES] = self.hash.clone().finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        let bytes = self.offset;
        let mut tail = vec![];
        let most = HASH_BYTES as u64 + 1;
        let read = self.reader.by_ref().take(most).read_to_end(&mut tail);
        read.map_err(|source| StreamError::Read { offset: bytes, source })?;
        match (hash, tail.len()) {
            (Hash::Skip, 0 | HASH_BYTES) => {}
            (Hash::Check, 0) => return Err(StreamError::HashMissing),
            (Hash::Check, HASH_BYTES) if tail == computed => {}
            (Hash::Check, HASH_BYTES) => return Err(StreamError::HashMismatch { offset: bytes }),
            (_, 0..HASH_BYTES) => {
                return Err(StreamError::Truncated { offset: bytes + tail.len() as u64, part: "the hash" });
            }
            _ => {
                self.block_start = bytes + HASH_BYTES as u64;
                return Err(self.damaged("bytes follow the end of the stream"));
            }
        }
        Ok(Summary { header: self.header, rows: self.rows, bytes, hash: computed })
    }

    fn block(&mut self) -> Result<(u8, u8, Bytes), StreamError> {
        self.block_start = self.offset;
        let head = self.read(BLOCK_HEAD, "the head of a block")?;
        let (kind, family, mut rest) = (head[0], head[1], &head[2..]);
        let (length, crc) = (rest.get_u32() as usize, rest.get_u32());
        if !matches!(kind, ROWS | END) {
            return Err(self.damaged("it is of an unknown kind"));
        }
        if self.offset + length as u64 > self.total {
            return Err(self.damaged("its length runs past the end of the stream"));
        }
        let contents = self.read(length, "a block")?;
        if block_crc(self.number, kind, family, &contents) != crc {
            return Err(self.damaged("its checksum does not fit"));
        }
        Ok((kind, family, contents.into()))
    }

    fn end(&mut self, mut contents: Bytes) -> Result<(), StreamError> {
        let mut rows = [0; Family::ALL.len()];
        for count in &mut rows {
            *count = contents.try_get_u64().map_err(|_| self.damaged("the end block is too short"))?;
        }
        if rows != self.rows || !contents.is_empty() {
            return Err(self.damaged("the end block counts other rows than there were"));
        }
        Ok(())
    }

    /// Exactly `length` bytes, hashed. Memory grows with what comes, not with what was promised.
    fn read(&mut self, length: usize, part: &'static str) -> Result<Vec<u8>, StreamError> {
        let mut bytes = Vec::with_capacity(length.min(2 * BLOCK_BYTES));
        let read = self.reader.by_ref().take(length as u64).read_to_end(&mut bytes);
        let offset = self.offset + bytes.len() as u64;
        read.map_err(|source| StreamError::Read { offset, source })?;
        if bytes.len() < length {
            return Err(StreamError::Truncated { offset, part });
        }
        self.offset = offset;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn damaged(&self, why: &'static str) -> StreamError {
        StreamError::Damaged { offset: self.block_start, block: self.number, why }
    }
}

/// Takes one row off; `None` when it is cut.
fn split_row(rest: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let key = rest.try_get_u32().ok()? as usize;
    let value = rest.try_get_u32().ok()? as usize;
    if key.checked_add(value)? > rest.len() {
        return None;
    }
    Some((rest.split_to(key), rest.split_to(value)))
}
