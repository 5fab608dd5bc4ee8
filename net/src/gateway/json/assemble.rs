//! A protobuf message under construction. Lengths of its parts are not known while they are written, so they are put in at the end, in
//! one pass: however deep parts are nested, every byte is copied once.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

/// A part whose length goes in front of it.
#[derive(Debug)]
struct Part {
    /// Where it begins in the bytes.
    at: usize,
    /// Its length, with the lengths of the parts in it.
    length: usize,
}

/// Writes fields one after the other.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    bytes: BytesMut,
    /// In the order in which they begin.
    parts: Vec<Part>,
    /// Parts that are not over: their index, and what lengths of parts in them come to.
    open: Vec<(usize, usize)>,
    /// What lengths of parts that are over come to.
    lengths: usize,
}

impl Assembly {
    fn tag(&mut self, number: u32, wire_type: u64) {
        encode_varint(u64::from(number) << 3 | wire_type, &mut self.bytes);
    }

    /// A field of a number.
    pub(super) fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        encode_varint(value, &mut self.bytes);
    }

    /// A field of bytes or text.
    pub(super) fn slice(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        encode_varint(value.len() as u64, &mut self.bytes);
        self.bytes.put_slice(value);
    }

    /// A field of a message begins.
    pub(super) fn open(&mut self, number: u32) {
        self.tag(number, 2);
        self.open.push((self.parts.len(), 0));
        self.parts.push(Part { at: self.bytes.len(), length: 0 });
    }

    /// The message that was begun last is over.
    pub(super) fn close(&mut self) {
        let Some((index, inner)) = self.open.pop() else { return };
        let part = &mut self.parts[index];
        part.length = self.bytes.len() - part.at + inner;
        let own = encoded_len_varint(part.length as u64);
        self.lengths += own;
        if let Some((_, outer)) = self.open.last_mut() {
            *outer += inner + own;
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Bytes {
        if self.parts.is_empty() {
            return self.bytes.freeze();
        }
        let mut out = BytesMut::with_capacity(self.bytes.len() + self.lengths);
        let mut done = 0;
        for part in &self.parts {
            out.put_slice(&self.bytes.split_to(part.at - done));
            done = part.at;
            encode_varint(part.length as u64, &mut out);
        }
        out.put_slice(&self.bytes);
        out.freeze()
    }
}
