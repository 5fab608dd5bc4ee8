//! The wire form of HPACK (RFC 7541): the fields of a header block, without their meaning.
//!
//! Keeps no dynamic table. Must not panic on any input, and must not allocate: strings stay where they lie.

use super::huffman;
use std::borrow::Cow;

/// Entries of the static table; indices above it name entries of the dynamic one.
pub(super) const STATIC_ENTRIES: usize = 61;
/// Numbers beyond this make no sense in a header block: an index, a length, the size of a table.
const MOST: usize = 1 << 24;

/// A string as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) is_huffman: bool,
    pub(super) coded: &'a [u8],
}

impl<'a> Text<'a> {
    /// Its bytes; `None` when they are no valid code or more than `most`.
    pub(super) fn decode(&self, most: usize) -> Option<Cow<'a, [u8]>> {
        if self.is_huffman {
            huffman::decode(self.coded, most).map(Cow::Owned)
        } else {
            (self.coded.len() <= most).then_some(Cow::Borrowed(self.coded))
        }
    }
}

/// Name of a literal field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// That of an entry of the tables.
    Of(usize),
    /// Written out.
    Text(Text<'a>),
}

/// One element of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A whole entry of the tables.
    Indexed(usize),
    /// A value, and a name in whichever form.
    Literal {
        /// First byte without the index: which of the three kinds of literals it is.
        kind: u8,
        /// Bits of the index in the first byte.
        index_bits: u32,
        name: Name<'a>,
        value: Text<'a>,
    },
    /// A new bound of the dynamic table.
    TableSize,
}

impl Field<'_> {
    /// True when the field becomes an entry of the dynamic table.
    pub(super) fn is_inserted(&self) -> bool {
        matches!(self, Self::Literal { kind: INSERTED, .. })
    }
}

const INSERTED: u8 = 0x40;

/// Reads a header block.
pub(super) struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { block, at: 0 }
    }

    /// Bytes read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes over whole entries of one byte, but for the first one of the static table; returns the position.
    pub(super) fn skip_indexed(&mut self) -> usize {
        let rest = self.block.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| matches!(byte, 0x82..=0xfe)).count();
        self.at
    }

    /// The next field; `None` at the end and where the block is broken.
    pub(super) fn field(&mut self) -> Option<Field<'a>> {
        let first = *self.block.get(self.at)?;
        if first & 0x80 != 0 {
            return self.number(7).map(Field::Indexed);
        }
        if first & 0xe0 == 0x20 {
            return self.number(5).map(|_| Field::TableSize);
        }
        let index_bits = if first & INSERTED != 0 { 6 } else { 4 };
        let kind = first & !low_bits(index_bits);
        let name = match self.number(index_bits)? {
            0 => Name::Text(self.text()?),
            index => Name::Of(index),
        };
        let value = self.text()?;
        Some(Field::Literal { kind, index_bits, name, value })
    }

    fn number(&mut self, bits: u32) -> Option<usize> {
        let low = usize::from(*self.block.get(self.at)? & low_bits(bits));
        self.at += 1;
        if low < usize::from(low_bits(bits)) {
            return Some(low);
        }
        let mut number = low;
        for shift in [0, 7, 14, 21] {
            let byte = *self.block.get(self.at)?;
            self.at += 1;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (number <= MOST).then_some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let is_huffman = self.block.get(self.at)? & 0x80 != 0;
        let length = self.number(7)?;
        let coded = self.block.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(Text { is_huffman, coded })
    }
}

fn low_bits(bits: u32) -> u8 {
    ((1u32 << bits) - 1) as u8
}

/// Writes a number whose first byte has `first` above its low `bits`.
pub(super) fn put_number(out: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let full = usize::from(low_bits(bits));
    if number < full {
        out.push(first | number as u8);
        return;
    }
    out.push(first | full as u8);
    let mut rest = number - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Writes a string as it was written.
pub(super) fn put_text(out: &mut Vec<u8>, text: &Text<'_>) {
    put_number(out, if text.is_huffman { 0x80 } else { 0 }, 7, text.coded.len());
    out.extend_from_slice(text.coded);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round() {
        for bits in [4, 5, 6, 7] {
            for number in [0, 1, 14, 15, 30, 31, 62, 63, 126, 127, 128, 254, 255, 1337, 16_384, MOST] {
                let mut out = Vec::new();
                put_number(&mut out, 0, bits, number);
                let mut reader = Reader::new(&out);
                assert_eq!(reader.number(bits), Some(number), "{bits} bits");
                assert_eq!(reader.position(), out.len());
            }
        }
        // the example of the RFC
        let mut out = Vec::new();
        put_number(&mut out, 0, 5, 1337);
        assert_eq!(out, [0x1f, 0x9a, 0x0a]);
    }

    #[test]
    fn broken_blocks_end_without_a_panic() {
        for block in [&b"\x7f\xff\xff\xff\xff\xff"[..], b"\x40", b"\x40\x05ab", b"\x00\xff\xff\xff\xff", b"\xff"] {
            let mut reader = Reader::new(block);
            while reader.field().is_some() {}
        }
    }

    #[test]
    fn fields_are_told_apart() {
        let block = b"\x83\x3f\x01\x41\x01x\x0f\x2f\x00\x10\x01a\x81\xff\xbe";
        let mut reader = Reader::new(block);
        let fields: Vec<_> = std::iter::from_fn(|| reader.field()).collect();
        let text = |is_huffman, coded| Text { is_huffman, coded };
        assert_eq!(
            fields,
            [
                Field::Indexed(3),
                Field::TableSize,
                Field::Literal { kind: 0x40, index_bits: 6, name: Name::Of(1), value: text(false, b"x") },
                Field::Literal { kind: 0, index_bits: 4, name: Name::Of(62), value: text(false, b"") },
                Field::Literal {
                    kind: 0x10,
                    index_bits: 4,
                    name: Name::Text(text(false, b"a")),
                    value: text(true, b"\xff")
                },
                Field::Indexed(62),
            ]
        );
        assert_eq!(reader.position(), block.len());
    }
}
