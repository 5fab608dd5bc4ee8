//! What a conf change says beside raft's part: who proposed it, and how its member is reached. Must never be read without its checks.

use bytes::Bytes;
use model::{Envelope, EnvelopeError, Origin};
use prost::Message;

/// The context of a conf change: who proposed it, and how its member is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberContext {
    /// Who waits for the outcome.
    pub origin: Origin,
    /// Peer URLs of the member that is added or updated; empty keeps what is known (promotion).
    pub peer_urls: Vec<String>,
    /// How many learners there may be. It is in the entry because members may be started with different limits.
    pub max_learners: u32,
}

/// Its bytes, behind the envelope's header.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ContextRow {
    #[prost(string, repeated, tag = "2")]
    peer_urls: Vec<String>,
    #[prost(uint32, tag = "4")]
    max_learners: u32,
}

impl MemberContext {
    /// Of a change that adds a voter: it promotes a learner. Whoever is new has URLs.
    pub fn is_promotion(&self) -> bool {
        self.peer_urls.is_empty()
    }

    /// Bytes for the context of a conf change.
    pub fn encode(&self) -> Bytes {
        let row = ContextRow { peer_urls: self.peer_urls.clone(), max_learners: self.max_learners };
        Envelope { origin: self.origin, only_in_term: 0, command: row.encode_to_vec().into() }.encode()
    }

    /// Reverse of [`Self::encode`].
    ///
    /// # Errors
    /// [`EnvelopeError`] when the bytes are damaged or of a newer version.
    pub fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::decode(bytes)?;
        let row = ContextRow::decode(envelope.command).map_err(|_| EnvelopeError::Malformed("bad member"))?;
        Ok(Self { origin: envelope.origin, peer_urls: row.peer_urls, max_learners: row.max_learners })
    }
}
