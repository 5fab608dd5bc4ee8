//! The receiving side: blocks of a stream, each checked before it is handed out, the whole checked at its end. Bytes come in pieces
//! of any size, from a file or from another member.
//!
//! Must never panic or allocate by a length that the stream claims but does not have: the bytes come from outside.

use super::header::START;
use super::{BLOCK_HEAD, END, FAMILIES, HASH_BYTES, PAGE, ROWS, StreamError, StreamHeader, block_crc, most_blocks};
use crate::engine::Family;
use aws_lc_rs::digest;
use bytes::{Buf, Bytes, BytesMut};
use std::io::{ErrorKind, Read};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

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
    let mut parser = Parser::new();
    pump(reader, |bytes| {
        parser.feed(bytes, |family, key, value| {
            row(family, &key, &value);
            Ok(())
        })
    })?;
    parser.finish(hash)
}

/// Hands out what a reader has, piece by piece.
pub(super) fn pump(
    mut reader: impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), StreamError>,
) -> Result<(), StreamError> {
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                offset += length as u64;
                take(&piece[..length])?;
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(StreamError::Read { offset, source }),
        }
    }
}

/// What comes next in a stream.
enum Part {
    Start,
    Header { start: [u8; START], length: usize, crc: u32 },
    Head,
    Block { kind: u8, family: u8, length: usize, crc: u32 },
    Padding,
    Hash,
}

impl Part {
    /// Its name, for who has to say where a stream stops.
    fn name(&self) -> &'static str {
        match self {
            Self::Start | Self::Header { .. } => "the header",
            Self::Head => "the head of a block",
            Self::Block { .. } => "a block",
            Self::Padding => "the padding",
            Self::Hash => "the hash",
        }
    }
}

/// A stream as far as it has come.
pub(super) struct Parser {
    part: Part,
    /// Bytes that are here and belong to a part that is not whole. Grows with what comes, not with what was promised.
    buffer: BytesMut,
    header: StreamHeader,
    total: u64,
    /// Bytes of all parts that are whole.
    offset: u64,
    block_start: u64,
    number: u64,
    hash: digest::Context,
    rows: [u64; Family::ALL.len()],
    last: Option<(Family, Bytes)>,
}

impl Parser {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self {
            part: Part::Start,
            buffer: BytesMut::new(),
            header: StreamHeader::default(),
            total: u64::MAX,
            offset: 0,
            block_start: 0,
            number: 0,
            hash: digest::Context::new(&digest::SHA256),
            rows: [0; Family::ALL.len()],
            last: None,
        }
    }

    /// Takes the next bytes and hands out the rows of every block that is whole now, in order.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut row: impl FnMut(Family, Bytes, Bytes) -> Result<(), StreamError>,
    ) -> Result<(), StreamError> {
        self.buffer.extend_from_slice(bytes);
        while self.step(&mut row)? {}
        Ok(())
    }

    /// Takes the next part, if it is whole.
    fn step(
        &mut self,
        row: &mut impl FnMut(Family, Bytes, Bytes) -> Result<(), StreamError>,
    ) -> Result<bool, StreamError> {
        match self.part {
            Part::Start => {
                let Some(start) = self.take(START) else { return Ok(false) };
                let start: [u8; START] = start[..].try_into().expect("took that many");
                let (length, crc) = StreamHeader::decode_start(&start)?;
                self.part = Part::Header { start, length, crc };
            }
            Part::Header { start, length, crc } => {
                let Some(body) = self.take(length) else { return Ok(false) };
                (self.header, self.total) = StreamHeader::decode(&start, crc, &body)?;
                self.next_block();
            }
            Part::Head => {
                let Some(head) = self.take(BLOCK_HEAD) else { return Ok(false) };
                self.head(&head)?;
            }
            Part::Block { kind, family, length, crc } => {
                let Some(contents) = self.take(length) else { return Ok(false) };
                if block_crc(self.number, kind, family, &contents) != crc {
                    return Err(self.damaged("its checksum does not fit"));
                }
                if kind == END {
                    self.end(contents)?;
                } else {
                    self.block(family, contents, row)?;
                    self.next_block();
                }
            }
            Part::Padding => return self.padding(),
            Part::Hash => {
                if self.buffer.len() > HASH_BYTES {
                    self.block_start = self.offset + HASH_BYTES as u64;
                    return Err(self.damaged("bytes follow the end of the stream"));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn next_block(&mut self) {
        self.block_start = self.offset;
        self.part = Part::Head;
    }

    /// Exactly `length` bytes, hashed, once they are here.
    fn take(&mut self, length: usize) -> Option<Bytes> {
        if self.buffer.len() < length {
            return None;
        }
        let bytes = self.buffer.split_to(length).freeze();
        self.offset += length as u64;
        self.hash.update(&bytes);
        Some(bytes)
    }

    fn head(&mut self, head: &[u8]) -> Result<(), StreamError> {
        let (kind, family, mut rest) = (head[0], head[1], &head[2..]);
        let (length, crc) = (rest.get_u32() as usize, rest.get_u32());
        if !matches!(kind, ROWS | END) {
            return Err(self.damaged("it is of an unknown kind"));
        }
        if self.offset + length as u64 > self.total {
            return Err(self.damaged("its length runs past the end of the stream"));
        }
        self.part = Part::Block { kind, family, length, crc };
        Ok(())
    }

    fn block(
        &mut self,
        family: u8,
        mut rest: Bytes,
        row: &mut impl FnMut(Family, Bytes, Bytes) -> Result<(), StreamError>,
    ) -> Result<(), StreamError> {
        let family = FAMILIES.into_iter().find(|known| *known as u8 == family);
        let family = family.ok_or_else(|| self.damaged("it is of an unknown family"))?;
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
        Ok(())
    }

    fn end(&mut self, mut contents: Bytes) -> Result<(), StreamError> {
        let mut rows = [0; Family::ALL.len()];
        for count in &mut rows {
            *count = contents.try_get_u64().map_err(|_| self.damaged("the end block is too short"))?;
        }
        if rows != self.rows || !contents.is_empty() {
            return Err(self.damaged("the end block counts other rows than there were"));
        }
        self.block_start = self.offset;
        let most = PAGE + most_blocks(self.total) * BLOCK_HEAD as u64;
        if !self.total.is_multiple_of(PAGE) || self.total.checked_sub(self.offset).is_none_or(|zeros| zeros >= most) {
            return Err(self.damaged("the stream is not as long as its header says"));
        }
        self.part = Part::Padding;
        Ok(())
    }

    fn padding(&mut self) -> Result<bool, StreamError> {
        let left = self.total - self.offset;
        if left == 0 {
            self.part = Part::Hash;
            return Ok(true);
        }
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        let zeros = self.take(here).expect("no more than is here");
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(self.damaged("the padding behind the last block is not zero"));
        }
        Ok(here > 0)
    }

    /// Nothing more comes: says whether that was all.
    pub(super) fn finish(self, hash: Hash) -> Result<Summary, StreamError> {
        let (offset, tail) = (self.offset + self.buffer.len() as u64, &self.buffer[..]);
        if offset == 0 {
            return Err(StreamError::Empty);
        }
        if !matches!(self.part, Part::Hash) {
            return Err(StreamError::Truncated { offset, part: self.part.name() });
        }
        let computed: [u8; HASH_BYTES] = self.hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        match (hash, tail.len()) {
            (Hash::Skip, 0 | HASH_BYTES) => {}
            (Hash::Check, 0) => return Err(StreamError::HashMissing),
            (Hash::Check, HASH_BYTES) if tail == computed => {}
            (Hash::Check, HASH_BYTES) => return Err(StreamError::HashMismatch { offset: self.offset }),
            _ => return Err(StreamError::Truncated { offset, part: "the hash" }),
        }
        Ok(Summary { header: self.header, rows: self.rows, bytes: self.offset, hash: computed })
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
