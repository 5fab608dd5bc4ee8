//! gRPC messages out of the bytes of DATA frames.
//!
//! A pure decoder: knows lengths and the compressed flag, not where bytes come from. A message in one DATA frame is not copied,
//! and none is inflated here.

use super::compress::Encoding;
use super::status::{Code, Status};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Bytes of the prefix of a message: compressed flag and big-endian length.
pub(super) const PREFIX: usize = 5;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) is_compressed: bool,
    pub(super) bytes: Bytes,
}

/// Splits a byte stream into messages.
pub(super) struct Decoder {
    chunks: VecDeque<Bytes>,
    len: usize,
    max: usize,
    encoding: Encoding,
    /// Length of the message whose prefix has been read, and whether it is compressed.
    need: Option<(usize, bool)>,
}

impl Decoder {
    /// For messages of `max` bytes at most, as they are sent.
    pub(super) fn new(max: usize, encoding: Encoding) -> Self {
        Self { chunks: VecDeque::new(), len: 0, max, encoding, need: None }
    }

    /// For a peer that sends nothing.
    pub(super) fn closed() -> Self {
        Self::new(0, Encoding::Identity)
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Declared length of the message being assembled, zero when its prefix is not there yet.
    pub(super) fn declared(&self) -> usize {
        self.need.map_or(0, |(length, _)| length)
    }

    /// True when bytes of an incomplete message are held.
    pub(super) fn is_partial(&self) -> bool {
        self.need.is_some() || self.len > 0
    }

    /// Next whole message.
    ///
    /// # Errors
    /// grpc-go's status for a message that is too large, or compressed where that was not announced.
    pub(super) fn next(&mut self) -> Result<Option<Framed>, Status> {
        let (need, is_compressed) = match self.need {
            Some(need) => need,
            None if self.len < PREFIX => return Ok(None),
            None => {
                let prefix = self.take(PREFIX);
                let need = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
                if need > self.max {
                    let text = format!("grpc: received message larger than max ({need} vs. {})", self.max);
                    return Err(Status::new(Code::ResourceExhausted, text));
                }
                match prefix[0] {
                    0 => {}
                    1 if self.encoding == Encoding::Gzip => {}
                    1 => {
                        let text = "grpc: compressed flag set with identity or empty encoding";
                        return Err(Status::new(Code::Internal, text));
                    }
                    other => {
                        let text = format!("grpc: received unexpected payload format {other}");
                        return Err(Status::new(Code::Internal, text));
                    }
                }
                *self.need.insert((need, prefix[0] == 1))
            }
        };
        if self.len < need {
            return Ok(None);
        }
        self.need = None;
        Ok(Some(Framed { is_compressed, bytes: self.take(need) }))
    }

    /// Takes exactly `n` bytes, which must be there; by reference when they lie in one chunk.
    fn take(&mut self, n: usize) -> Bytes {
        self.len -= n;
        if n == 0 {
            return Bytes::new();
        }
        if let Some(front) = self.chunks.front_mut()
            && front.len() >= n
        {
            let out = front.split_to(n);
            if front.is_empty() {
                self.chunks.pop_front();
            }
            return out;
        }
        let mut out = BytesMut::with_capacity(n);
        while out.len() < n {
            let Some(front) = self.chunks.front_mut() else { break };
            let part = front.len().min(n - out.len());
            out.extend_from_slice(&front[..part]);
            front.advance(part);
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whatever_the_cuts() {
        let wire = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01z";
        for cut in 1..wire.len() {
            let mut decoder = Decoder::new(10, Encoding::Identity);
            let mut out = Vec::new();
            for part in wire.chunks(cut) {
                decoder.push(Bytes::copy_from_slice(part));
                while let Some(m) = decoder.next().expect("valid") {
                    out.push(m.bytes);
                }
            }
            assert_eq!(out, ["abc", "", "z"], "cut {cut}");
            assert!(!decoder.is_partial());
        }
    }

    #[test]
    fn a_whole_message_is_not_copied() {
        let wire = Bytes::from(b"\0\0\0\0\x03abc".to_vec());
        let mut decoder = Decoder::new(10, Encoding::Identity);
        decoder.push(wire.clone());
        let message = decoder.next().expect("valid").expect("whole");
        assert_eq!(message.bytes.as_ptr(), wire[PREFIX..].as_ptr());
    }

    #[test]
    fn refusals_use_grpc_gos_words() {
        let mut decoder = Decoder::new(10, Encoding::Identity);
        decoder.push(Bytes::from_static(b"\0\0\0\0\x0b"));
        let status = decoder.next().expect_err("too large");
        assert_eq!(status.message, "grpc: received message larger than max (11 vs. 10)");
        let mut decoder = Decoder::new(10, Encoding::Identity);
        decoder.push(Bytes::from_static(b"\x01\0\0\0\x01x"));
        assert_eq!(decoder.next().expect_err("compressed").code, Code::Internal);
        let mut decoder = Decoder::new(10, Encoding::Gzip);
        decoder.push(Bytes::from_static(b"\x01\0\0\0\x01x\0\0\0\0\x01y\x02\0\0\0\0"));
        let framed = |is_compressed, bytes| Ok(Some(Framed { is_compressed, bytes: Bytes::from_static(bytes) }));
        assert_eq!(decoder.next(), framed(true, b"x"));
        assert_eq!(decoder.next(), framed(false, b"y"));
        assert_eq!(decoder.next().expect_err("no such format").message, "grpc: received unexpected payload format 2");
    }
}
