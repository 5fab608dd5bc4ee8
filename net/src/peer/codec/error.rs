//! Why bytes of a peer were not taken, and the version of frames. A leaf: everything in the codec may use it.

use super::lane::Lane;
use raft::NodeId;

/// The version that is written, and the only one that is read.
pub const FRAME_VERSION: u16 = 1;

/// Why a frame was not taken, or cannot be sent. The stream it came on is closed and made anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than its lane allows.
    #[error("peer frame of {length} bytes, at most {limit} are allowed on this lane")]
    TooLarge {
        /// Bytes of the archive.
        length: usize,
        /// The limit, a constant of the protocol.
        limit: usize,
    },
    /// Written by another version than was agreed on.
    #[error("peer frame of version {0}, this member reads version {FRAME_VERSION}; the versions were not agreed on")]
    Version(u16),
    /// Not a message.
    #[error("peer frame is malformed: {0}")]
    Malformed(&'static str),
    /// Something that travels on another lane.
    #[error("peer frame does not belong on the lane {0:?}")]
    WrongLane(Lane),
    /// Meant for somebody else.
    #[error("peer frame for member {0:x}; check the peer URLs")]
    WrongReceiver(NodeId),
    /// Not from the member at the other end, and nothing that it may pass on.
    #[error("peer frame from member {0:x}, which is not the one at the other end")]
    WrongSender(NodeId),
}
