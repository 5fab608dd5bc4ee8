//! gRPC's length-prefixed messages: writing them without an allocation each, and splitting a body into them.
//!
//! Must not compress: load is measured without it.

use super::status::{CallError, Code};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// Compressed flag and length.
const PREFIX: usize = 5;
const CHUNK: usize = 64 << 10;

/// Writes messages into big chunks and hands out slices of them.
#[derive(Default)]
pub struct Encoder {
    buf: BytesMut,
}

impl Encoder {
    /// A framed message.
    pub fn frame(&mut self, message: &impl Message) -> Bytes {
        let len = message.encoded_len();
        let total = PREFIX + len;
        if self.buf.capacity() < total {
            self.buf.reserve(total.max(CHUNK));
        }
        self.buf.put_u8(0);
        self.buf.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        message.encode_raw(&mut self.buf);
        self.buf.split().freeze()
    }
}

/// A framed message in a buffer of its own, for calls made now and then.
pub fn frame(message: &impl Message) -> Bytes {
    Encoder::default().frame(message)
}

/// Splits DATA chunks into messages; one that lies in one chunk is not copied.
#[derive(Default)]
pub(super) struct Frames {
    held: Bytes,
    joined: BytesMut,
}

impl Frames {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.held.is_empty() && self.joined.is_empty() {
            self.held = chunk;
            return;
        }
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.joined.extend_from_slice(&held);
        }
        self.joined.extend_from_slice(&chunk);
    }

    pub(super) fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let bytes: &[u8] = if self.joined.is_empty() { &self.held } else { &self.joined };
        let Some((&[flag, a, b, c, d], rest)) = bytes.split_first_chunk::<PREFIX>() else { return Ok(None) };
        if flag != 0 {
            return Err(CallError::new(Code::Internal, "compressed answer that nobody asked for".into()));
        }
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if rest.len() < len {
            self.joined.reserve((PREFIX + len).saturating_sub(self.joined.len()));
            return Ok(None);
        }
        if self.joined.is_empty() {
            self.held.advance(PREFIX);
            return Ok(Some(self.held.split_to(len)));
        }
        self.joined.advance(PREFIX);
        let message = self.joined.split_to(len).freeze();
        if self.joined.len() < CHUNK {
            // what is left fits one buffer again
            self.held = std::mem::take(&mut self.joined).freeze();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::etcdserverpb::PutRequest;

    #[test]
    fn what_is_framed_comes_out_whatever_the_cuts() {
        let mut encoder = Encoder::default();
        let mut wire = Vec::new();
        let messages: Vec<PutRequest> = [0usize, 1, 300, 70_000]
            .iter()
            .map(|n| PutRequest { key: vec![7; *n].into(), ..Default::default() })
            .collect();
        for message in &messages {
            wire.extend_from_slice(&encoder.frame(message));
        }
        for cut in [1, 2, 5, 6, 299, 1000, wire.len()] {
            let mut frames = Frames::default();
            let mut out = Vec::new();
            for part in wire.chunks(cut) {
                frames.push(Bytes::copy_from_slice(part));
                while let Some(message) = frames.next().unwrap() {
                    out.push(PutRequest::decode(message).unwrap());
                }
            }
            assert_eq!(out, messages, "cut {cut}");
        }
    }

    #[test]
    fn a_compressed_message_is_an_error() {
        let mut frames = Frames::default();
        frames.push(Bytes::from_static(b"\x01\0\0\0\0"));
        assert_eq!(frames.next().unwrap_err().code, Code::Internal);
    }
}
