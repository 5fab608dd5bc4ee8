//! Lanes: what shares a stream, in which order of urgency, and how large a frame may be on each.
//!
//! Limits are constants of the protocol. They must never follow a flag: a follower with a smaller flag could not take an entry that
//! its cluster has committed.

use messages::propose::MAX_COMMAND_BYTES;
use raft::Body;

/// Most bytes of one log entry that a cluster can replicate. Larger proposals are refused where they enter.
pub const MAX_ENTRY_BYTES: usize = MAX_APPEND_BYTES - (1 << 20);
/// What stands around a command in an entry.
const ENVELOPE_ROOM: usize = 4 << 10;
const _: () = assert!(MAX_COMMAND_BYTES + ENVELOPE_ROOM <= MAX_ENTRY_BYTES, "what may be proposed can be replicated");
/// Most bytes of an append frame. Raft fills a message up to its own limit and always sends one entry at least.
const MAX_APPEND_BYTES: usize = 64 << 20;
/// Most bytes of a frame that carries no payload. Vitals are the largest.
const MAX_CONTROL_BYTES: usize = 1 << 10;
/// Most bytes of a call or its answer.
pub const MAX_CALL_BYTES: usize = 8 << 20;
/// Room in a call's frame beside its bytes.
const CALL_OVERHEAD: usize = 1 << 10;

/// What shares a stream. The first three run from the member that dialled to the one that was dialled, the last two back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes, heartbeats, acknowledgements, reads, vitals: small, and urgent.
    Control = 1,
    /// Entries, forwarded proposals, the announcement of a snapshot.
    Append = 2,
    /// Calls.
    Calls = 3,
    /// Way back of [`Self::Control`]: vitals that answer vitals.
    Echoes = 4,
    /// Way back of [`Self::Calls`].
    Answers = 5,
}

impl Lane {
    /// The lane of a raft message.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Append(_) | Body::Propose(_) | Body::Snapshot(_) => Self::Append,
            _ => Self::Control,
        }
    }

    /// The lane that a stream's first byte names; `None` when no stream begins with it.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Control, Self::Append, Self::Calls].into_iter().find(|lane| *lane as u8 == byte)
    }

    /// Most bytes of a frame, its prefix aside.
    pub fn limit(self) -> usize {
        match self {
            Self::Control | Self::Echoes => MAX_CONTROL_BYTES,
            Self::Append => MAX_APPEND_BYTES,
            Self::Calls | Self::Answers => MAX_CALL_BYTES + CALL_OVERHEAD,
        }
    }
}
