//! What a service answers with, and how its bytes become gRPC frames.
//!
//! Large chunks are passed on by reference, small ones are coalesced. Must not know HTTP/2 streams.

use super::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use std::task::{Context, Poll};

/// Chunks below this are copied together; above it they travel by reference (a DATA frame of their own costs 9 bytes and a queue slot).
const SPLICE: usize = 2 << 10;

/// One message as it will be written: its protobuf bytes in order, without the gRPC prefix.
#[derive(Clone, Debug)]
pub enum Message {
    /// In one piece.
    One(Bytes),
    /// In several pieces, to be written one after the other.
    Many(Vec<Bytes>),
    /// The first piece of a message of so many bytes in all; what is missing follows as [`Message::More`]. On a stream only.
    First(usize, Bytes),
    /// The next piece.
    More(Bytes),
}

impl Message {
    /// Bytes of the message, or of the piece.
    pub fn len(&self) -> usize {
        match self {
            Self::One(bytes) | Self::First(_, bytes) | Self::More(bytes) => bytes.len(),
            Self::Many(chunks) => chunks.iter().map(Bytes::len).sum(),
        }
    }

    /// True when there is no byte (a valid protobuf message).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes, in pieces.
    pub fn into_pieces(self) -> Vec<Bytes> {
        match self {
            Self::One(bytes) | Self::First(_, bytes) | Self::More(bytes) => vec![bytes],
            Self::Many(pieces) => pieces,
        }
    }

    /// The frames to write: gRPC prefix and bytes, small pieces merged.
    pub(super) fn into_frames(self, is_compressed: bool, mut write: impl FnMut(Bytes)) {
        let len = self.len();
        let mut head = BytesMut::with_capacity(5 + len.min(SPLICE));
        match &self {
            Self::One(_) | Self::Many(_) => put_prefix(&mut head, is_compressed, len),
            Self::First(total, _) => put_prefix(&mut head, is_compressed, *total),
            Self::More(_) => {}
        }
        let mut push = |chunk: Bytes| {
            if chunk.len() < SPLICE {
                head.extend_from_slice(&chunk);
                if head.len() >= SPLICE {
                    write(head.split().freeze());
                }
            } else {
                if !head.is_empty() {
                    write(head.split().freeze());
                }
                write(chunk);
            }
        };
        match self {
            Self::One(bytes) | Self::First(_, bytes) | Self::More(bytes) => push(bytes),
            Self::Many(chunks) => chunks.into_iter().for_each(push),
        }
        if !head.is_empty() {
            write(head.freeze());
        }
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::One(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::One(bytes.into())
    }
}

impl From<Vec<Bytes>> for Message {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self::Many(chunks)
    }
}

/// Writes the 5-byte gRPC prefix of a message.
pub(super) fn put_prefix(out: &mut BytesMut, is_compressed: bool, len: usize) {
    out.put_u8(is_compressed.into());
    // a message cannot exceed 4 GiB: sources are bounded far below
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
}

/// A large message that is produced while it is written, so that it never lies in memory as a whole.
///
/// Lives on the loop. It is pulled only while the peer's flow control, the socket and the door's budget have room: at most one
/// chunk waits per call.
pub trait AnswerSource {
    /// Bytes of the whole message, known before the first chunk.
    fn total_len(&self) -> usize;

    /// Next chunk, of about `bytes` bytes or less. `None` when all of [`Self::total_len`] was given.
    /// When pending, wake `cx` (from any thread) once there is more. An error resets the call with that status.
    fn poll_chunk(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>>;
}

/// An [`AnswerSource`] over chunks that exist already.
pub(super) struct Ready(pub(super) std::vec::IntoIter<Bytes>);

impl AnswerSource for Ready {
    fn total_len(&self) -> usize {
        self.0.as_slice().iter().map(Bytes::len).sum()
    }

    fn poll_chunk(&mut self, _: usize, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

pub(super) enum Body {
    Message(Message),
    Source(Box<dyn AnswerSource>),
    Status(Status),
}

/// Answer to a unary call.
pub struct Answer {
    pub(super) body: Body,
    pub(super) trailers: Option<Box<HeaderMap>>,
}

impl Answer {
    /// Success with a message.
    pub fn message(message: impl Into<Message>) -> Self {
        Self { body: Body::Message(message.into()), trailers: None }
    }

    /// Success with a message that is produced while it is written.
    pub fn source(source: impl AnswerSource + 'static) -> Self {
        Self { body: Body::Source(Box::new(source)), trailers: None }
    }

    /// A status without a message.
    pub fn status(status: Status) -> Self {
        Self { body: Body::Status(status), trailers: None }
    }

    /// Adds trailing metadata (names must be lower case and must not start with `grpc-` except `grpc-status-details-bin`).
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(Box::new(trailers));
        self
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(message: Message) -> Vec<Bytes> {
        let mut out = Vec::new();
        message.into_frames(false, |b| out.push(b));
        out
    }

    #[test]
    fn small_messages_are_one_frame() {
        let out = frames(Message::Many(vec!["ab".into(), "c".into()]));
        assert_eq!(out, [Bytes::from_static(b"\0\0\0\0\x03abc")]);
        assert_eq!(frames(Message::One(Bytes::new())), [Bytes::from_static(b"\0\0\0\0\0")]);
    }

    #[test]
    fn large_chunks_are_not_copied() {
        let big = Bytes::from(vec![1; SPLICE]);
        let out = frames(Message::Many(vec!["a".into(), big.clone(), "b".into()]));
        assert_eq!(out.len(), 3);
        assert_eq!(out[1].as_ptr(), big.as_ptr());
        assert_eq!(out.iter().map(Bytes::len).sum::<usize>(), 5 + SPLICE + 2);
        assert_eq!(out[0][1..5], u32::to_be_bytes(SPLICE as u32 + 2));
    }
}
