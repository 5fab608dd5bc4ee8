//! Frames: a length, a version, a kind, and one archive.
//!
//! Must never write what the other side would refuse.
//!
//! ```text
//! 0  length of the archive u32, little-endian
//! 4  format version u16 = 1
//! 6  kind u16: 0 raft, 1 vitals, 2 call, 3 answer
//! 8  archive
//! ```

use super::error::{FRAME_VERSION, FrameError};
use super::lane::Lane;
use super::talk::{Answer, Call, Vitals};
use super::{raft_wire, talk};
use raft::{Body, Message};

/// Bytes in front of an archive.
pub const PREFIX: usize = 8;

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of consensus.
    Raft(Message),
    /// How the sender is.
    Vitals(Vitals),
    /// A question.
    Call(Call),
    /// Its answer.
    Answer(Answer),
}

/// The kinds as they stand in a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Raft = 0,
    Vitals = 1,
    Call = 2,
    Answer = 3,
}

impl Kind {
    pub(super) fn from_wire(kind: u16) -> Option<Self> {
        [Self::Raft, Self::Vitals, Self::Call, Self::Answer].into_iter().find(|known| *known as u16 == kind)
    }

    /// Whether frames of this kind may come on a lane.
    pub(super) fn travels_on(self, lane: Lane) -> bool {
        match self {
            Self::Raft => matches!(lane, Lane::Control | Lane::Append),
            Self::Vitals => matches!(lane, Lane::Control | Lane::Echoes),
            Self::Call => lane == Lane::Calls,
            Self::Answer => lane == Lane::Answers,
        }
    }
}

/// Appends a frame to `out`, which stays as it was when there is an error.
///
/// # Errors
/// [`FrameError::TooLarge`] and [`FrameError::WrongLane`] when the other side would refuse it.
pub fn encode(frame: &Frame, lane: Lane, out: &mut Vec<u8>) -> Result<(), FrameError> {
    match frame {
        Frame::Raft(message) => encode_raft(message, lane, out),
        Frame::Vitals(vitals) => framed(Kind::Vitals, lane, out, |out| talk::archive_vitals(vitals, out)),
        Frame::Call(call) => framed(Kind::Call, lane, out, |out| talk::archive_call(call, out)),
        Frame::Answer(answer) => framed(Kind::Answer, lane, out, |out| talk::archive_answer(answer, out)),
    }
}

/// [`encode`] of a raft message.
///
/// # Errors
/// As [`encode`].
pub fn encode_raft(message: &Message, lane: Lane, out: &mut Vec<u8>) -> Result<(), FrameError> {
    if Lane::of(&message.body) != lane {
        return Err(FrameError::WrongLane(lane));
    }
    // what is far too large is not even put together
    let length = payload(&message.body);
    if length > lane.limit() {
        return Err(FrameError::TooLarge { length, limit: lane.limit() });
    }
    framed(Kind::Raft, lane, out, |out| raft_wire::archive(message, out))
}

/// Bytes of the payloads that a message carries.
fn payload(body: &Body) -> usize {
    match body {
        Body::Append(append) => append.entries.iter().map(|entry| entry.data.len()).sum(),
        Body::Propose(list) => list.iter().map(|proposal| proposal.data.len()).sum(),
        Body::Snapshot(snapshot) => snapshot.data.len(),
        _ => 0,
    }
}

fn framed(
    kind: Kind,
    lane: Lane,
    out: &mut Vec<u8>,
    archive: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> Result<(), FrameError> {
    if !kind.travels_on(lane) {
        return Err(FrameError::WrongLane(lane));
    }
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    *out = archive(std::mem::take(out));
    let length = out.len() - start - PREFIX;
    if length > lane.limit() {
        out.truncate(start);
        return Err(FrameError::TooLarge { length, limit: lane.limit() });
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    out[start + 4..start + 6].copy_from_slice(&FRAME_VERSION.to_le_bytes());
    out[start + 6..start + PREFIX].copy_from_slice(&(kind as u16).to_le_bytes());
    Ok(())
}
