//! The name of a call on its loop.

/// Name of a deferred call or a stream on its loop. Never reused for another call of the same loop (until 2^32 calls have used one slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallToken {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl CallToken {
    /// Reverse of [`Self::as_u64`].
    pub fn from_u64(token: u64) -> Self {
        Self { index: token as u32, generation: (token >> 32) as u32 }
    }

    /// As one number, for logs and for keys.
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}
