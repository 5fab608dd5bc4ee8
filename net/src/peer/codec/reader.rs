//! The one checked door from a peer's bytes to frames.
//!
//! Must never buffer more than the limit of its lane and one read, nor hand out a frame that was not checked as a whole. An error is
//! the end of the stream it came on: behind a bad frame nobody knows where the next one starts.

use super::error::{FRAME_VERSION, FrameError};
use super::frame::{Frame, Kind, PREFIX};
use super::lane::Lane;
use super::{raft_wire, talk};
use bytes::{Buf, Bytes, BytesMut};
use raft::{Body, Message, NodeId};

/// Memory that a stream's reader keeps ready, and the most it sets aside before bytes have come for it: a length is only a claim.
const STEP: usize = 64 << 10;

/// Between whom a stream runs, as the hello and the certificates have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// This member.
    pub own: NodeId,
    /// The one at the other end.
    pub peer: NodeId,
}

/// The receiving end of one stream: bytes as they come in, checked frames out.
#[derive(Debug)]
pub struct Reader {
    ends: Ends,
    lane: Lane,
    buffer: BytesMut,
    broken: Option<FrameError>,
}

impl Reader {
    /// Of a stream that carries `lane`.
    pub fn new(ends: Ends, lane: Lane) -> Self {
        Self { ends, lane, buffer: BytesMut::new(), broken: None }
    }

    /// Adds bytes of the stream. Take frames until there is none before adding more: then at most one unfinished frame is held.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Where bytes of the stream may be read into directly, with at least some room. The rule of [`Self::push`] holds.
    pub fn space(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < 4 << 10 {
            self.buffer.reserve(STEP);
        }
        &mut self.buffer
    }

    /// The next whole frame; `None` when more bytes are needed. Payloads share the frame's memory.
    ///
    /// # Errors
    /// [`FrameError`], and the same one for ever after.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
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

    fn read(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(&[a, b, c, d, v0, v1, k0, k1]) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let version = u16::from_le_bytes([v0, v1]);
        if version != FRAME_VERSION {
            return Err(FrameError::Version(version));
        }
        let Some(kind) = Kind::from_wire(u16::from_le_bytes([k0, k1])) else {
            return Err(FrameError::Malformed("its kind is unknown"));
        };
        if !kind.travels_on(self.lane) {
            return Err(FrameError::WrongLane(self.lane));
        }
        let limit = self.lane.limit();
        if length > limit {
            return Err(FrameError::TooLarge { length, limit });
        }
        let missing = (PREFIX + length).saturating_sub(self.buffer.len());
        if missing > 0 {
            // grows with what has come, never with what was announced
            self.buffer.reserve(missing.min(STEP.max(self.buffer.len())));
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(PREFIX + length).freeze();
        frame.advance(PREFIX);
        self.open(kind, &frame).map(Some)
    }

    fn open(&self, kind: Kind, archive: &Bytes) -> Result<Frame, FrameError> {
        Ok(match kind {
            Kind::Raft => {
                let message = raft_wire::read(archive)?;
                self.check(&message)?;
                Frame::Raft(message)
            }
            Kind::Vitals => Frame::Vitals(talk::read_vitals(archive)?),
            Kind::Call => Frame::Call(talk::read_call(archive)?),
            Kind::Answer => Frame::Answer(talk::read_answer(archive)?),
        })
    }

    /// What holds between messages and the stream they came on.
    fn check(&self, message: &Message) -> Result<(), FrameError> {
        if Lane::of(&message.body) != self.lane {
            return Err(FrameError::WrongLane(self.lane));
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
