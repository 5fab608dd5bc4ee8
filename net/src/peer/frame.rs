//! Frames: a length, a version, and one message as rkyv archive.
//!
//! Must never buffer more than the limit of its lane, nor hand out a message that was not checked as a whole. An error is the end
//! of the stream it came on: behind a bad frame nobody knows where the next one starts.
//!
//! ```text
//! 0  length of the archive u32, little-endian
//! 4  format version u16 = 1
//! 6  zero u16
//! 8  archive
//! ```

use bytes::{Bytes, BytesMut};
use raft::{Body, Message, NodeId};

use super::wire;

/// The version that [`encode`] writes, and the only one that a [`Reader`] takes.
pub const FRAME_VERSION: u16 = 1;
/// Bytes in front of an archive.
pub const PREFIX: usize = 8;
/// Most bytes of a message that carries no payload. The largest has less than a hundred.
const CONTROL_LIMIT: usize = 1 << 10;

/// What shares a stream. Signs of life never wait behind entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes, heartbeats, acknowledgements, reads: small, and urgent.
    Control,
    /// Entries, forwarded proposals, the announcement of a snapshot.
    Append,
}

impl Lane {
    /// The lane a message belongs to.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Append(_) | Body::Propose(_) | Body::Snapshot(_) => Self::Append,
            _ => Self::Control,
        }
    }
}

/// Most bytes of a frame, its prefix aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In [`Lane::Append`]. In [`Lane::Control`] it is fixed.
    pub append: usize,
}

impl Limits {
    /// For entries of at most this many bytes each. Raft fills a message up to its own limit and always sends one entry at least.
    pub fn for_entries(max_request_bytes: usize, max_size_per_msg: usize) -> Self {
        // room for an envelope and for what an archive adds to many small entries
        const OVERHEAD: usize = 64 << 10;
        Self { append: max_request_bytes.max(2 * max_size_per_msg).saturating_add(OVERHEAD) }
    }

    fn of(&self, lane: Lane) -> usize {
        match lane {
            Lane::Control => CONTROL_LIMIT,
            Lane::Append => self.append.min(u32::MAX as usize),
        }
    }
}

/// Why a frame was not taken, or cannot be sent. The stream it came on is closed and made anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than its lane allows.
    #[error(
        "peer frame of {length} bytes, at most {limit} are allowed here; is --max-request-bytes the same on all members?"
    )]
    TooLarge {
        /// Bytes of the archive.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Written by another version than was agreed on.
    #[error("peer frame of version {0}, this member reads version {FRAME_VERSION}; the versions were not agreed on")]
    Version(u16),
    /// Not a message.
    #[error("peer frame is malformed: {0}")]
    Malformed(&'static str),
    /// A message of the other lane.
    #[error("peer frame on the wrong lane")]
    WrongLane,
    /// Meant for somebody else.
    #[error("peer frame for member {0:x}; check the peer URLs")]
    WrongReceiver(NodeId),
    /// Not from the member at the other end, and nothing that it may pass on.
    #[error("peer frame from member {0:x}, which is not the one at the other end")]
    WrongSender(NodeId),
}

/// Bytes of a message, prefix included.
///
/// # Errors
/// [`FrameError::TooLarge`] when the other side would refuse it.
pub fn encode(message: &Message, limits: Limits) -> Result<Bytes, FrameError> {
    let mut out = wire::archive(message, vec![0; PREFIX]);
    let (length, limit) = (out.len() - PREFIX, limits.of(Lane::of(&message.body)));
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    out[..4].copy_from_slice(&(length as u32).to_le_bytes());
    out[4..6].copy_from_slice(&FRAME_VERSION.to_le_bytes());
    Ok(out.into())
}

/// Between whom a stream runs, as the hello and the certificates have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// This member.
    pub own: NodeId,
    /// The one at the other end.
    pub peer: NodeId,
}

/// The receiving end of one stream: bytes as they come in, checked messages out.
#[derive(Debug)]
pub struct Reader {
    ends: Ends,
    lane: Lane,
    limit: usize,
    buffer: BytesMut,
    broken: Option<FrameError>,
}

impl Reader {
    /// Of a stream that carries `lane`.
    pub fn new(ends: Ends, lane: Lane, limits: Limits) -> Self {
        Self { ends, lane, limit: limits.of(lane), buffer: BytesMut::new(), broken: None }
    }

    /// Adds bytes of the stream. Take messages until there is none before adding more: then at most one unfinished frame is held.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message; `None` when more bytes are needed. Payloads share the frame's memory.
    ///
    /// # Errors
    /// [`FrameError`], and the same one for ever after.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        self.read().inspect_err(|error| {
            self.buffer = BytesMut::new();
            self.broken = Some(error.clone());
        })
    }

    /// True when the stream may end here: no frame was begun.
    pub fn is_between_frames(&self) -> bool {
        self.broken.is_none() && self.buffer.is_empty()
    }

    fn read(&mut self) -> Result<Option<Message>, FrameError> {
        let Some(&[a, b, c, d, v0, v1, z0, z1]) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let (length, version) = (u32::from_le_bytes([a, b, c, d]) as usize, u16::from_le_bytes([v0, v1]));
        if version != FRAME_VERSION {
            return Err(FrameError::Version(version));
        }
        if [z0, z1] != [0, 0] {
            return Err(FrameError::Malformed("reserved bytes are not zero"));
        }
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        if self.buffer.len() < PREFIX + length {
            self.buffer.reserve(PREFIX + length - self.buffer.len());
            return Ok(None);
        }
        let frame = self.buffer.split_to(PREFIX + length).freeze();
        let message = wire::read(&frame.slice(PREFIX..))?;
        self.check(&message)?;
        Ok(Some(message))
    }

    /// What holds between messages and the stream they came on.
    fn check(&self, message: &Message) -> Result<(), FrameError> {
        if Lane::of(&message.body) != self.lane {
            return Err(FrameError::WrongLane);
        }
        if message.to != self.ends.own {
            return Err(FrameError::WrongReceiver(message.to));
        }
        let passed_on = matches!(message.body, Body::Propose(_) | Body::ReadIndex { .. } | Body::TransferLeader { .. });
        if message.from != self.ends.peer && !passed_on {
            return Err(FrameError::WrongSender(message.from));
        }
        Ok(())
    }
}
