//! Questions about leases that cannot be answered yet: who asked, what, and since when. Values only.

use crate::wiring::leases::LeaseCall;
use messages::lease::LeaseAsk;
use messages::{SinkId, Token};

/// Milliseconds after which a question that waits is answered "request timed out".
pub(super) const PATIENCE: u64 = 7_000;

/// A client's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) sink: SinkId,
    pub(super) token: Token,
    pub(super) ask: LeaseAsk,
    pub(super) since: u64,
    /// The first round whose answer makes it answerable.
    pub(super) round: u64,
}

impl Waiting {
    /// Whether it has waited for too long.
    pub(super) fn is_late(&self, now: u64) -> bool {
        now.saturating_sub(self.since) >= PATIENCE
    }
}

/// Another member's question, which waits for a round.
#[derive(Debug)]
pub(super) struct PeerAsk {
    pub(super) call: LeaseCall,
    /// When its patience ends.
    pub(super) until: u64,
    /// The first round whose answer makes it answerable.
    pub(super) round: u64,
}
