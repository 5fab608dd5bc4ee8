//! The envelope around a command inside a log entry: who proposed it, under which rules it is to be read.
//!
//! Bytes from a log or a peer are untrusted: [`Envelope::decode`] is the only door. Must never be changed in place: a new
//! shape is a new version number, and old ones stay readable.

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

/// The version that [`Envelope::encode`] writes.
pub const ENVELOPE_VERSION: u16 = 1;

/// Who waits for the outcome. Unique across members and restarts, so that no entry can ever answer the wrong caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Member that proposed.
    pub member: u64,
    /// Random number of that member's process run.
    pub epoch: u64,
    /// Counter inside the run.
    pub sequence: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct Header1 {
    version: u16,
    member: u64,
    epoch: u64,
    sequence: u64,
    only_in_term: u64,
}

/// Length of an archived header: fixed, because the header owns no pointers.
const HEADER_LEN: usize = size_of::<ArchivedHeader1>();

/// A command with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who waits for it.
    pub origin: Origin,
    /// Zero, or the only term in which the command has an effect (internal proposals: revoke, checkpoint, version, alarm).
    pub only_in_term: u64,
    /// Canonical bytes of the [`Command`](crate::Command).
    pub command: Bytes,
}

/// Why bytes are no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short or damaged.
    #[error("log entry envelope is damaged: {0}")]
    Malformed(&'static str),
    /// Written by a newer version.
    #[error("log entry envelope has version {0}, this binary reads up to {ENVELOPE_VERSION}; run a newer version")]
    Version(u16),
}

impl Envelope {
    /// Bytes for an entry's payload.
    pub fn encode(&self) -> Bytes {
        let header = Header1 {
            version: ENVELOPE_VERSION,
            member: self.origin.member,
            epoch: self.origin.epoch,
            sequence: self.origin.sequence,
            only_in_term: self.only_in_term,
        };
        let head = rkyv::to_bytes::<rkyv::rancor::Error>(&header).expect("a header of plain integers always archives");
        let mut out = Vec::with_capacity(HEADER_LEN + self.command.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.command);
        out.into()
    }

    /// Checked reverse of [`Self::encode`]; the command shares the buffer.
    ///
    /// # Errors
    /// [`EnvelopeError`] when the bytes are damaged or of a newer version.
    pub fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let head = bytes.get(..HEADER_LEN).ok_or(EnvelopeError::Malformed("shorter than its header"))?;
        let head = rkyv::access::<ArchivedHeader1, rkyv::rancor::Error>(head)
            .map_err(|_| EnvelopeError::Malformed("header does not validate"))?;
        let version = head.version.to_native();
        if version != ENVELOPE_VERSION {
            return Err(EnvelopeError::Version(version));
        }
        Ok(Self {
            origin: Origin {
                member: head.member.to_native(),
                epoch: head.epoch.to_native(),
                sequence: head.sequence.to_native(),
            },
            only_in_term: head.only_in_term.to_native(),
            command: bytes.slice(HEADER_LEN..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_at_any_alignment() {
        let envelope = Envelope {
            origin: Origin { member: 1, epoch: u64::MAX, sequence: 7 },
            only_in_term: 3,
            command: Bytes::from_static(b"abc"),
        };
        let mut shifted = vec![0];
        shifted.extend_from_slice(&envelope.encode());
        assert_eq!(Envelope::decode(&Bytes::from(shifted).slice(1..)), Ok(envelope));
    }

    #[test]
    fn short_and_newer_bytes_are_refused() {
        assert!(matches!(Envelope::decode(&Bytes::from_static(b"x")), Err(EnvelopeError::Malformed(_))));
        let mut newer =
            Envelope { origin: Origin::default(), only_in_term: 0, command: Bytes::new() }.encode().to_vec();
        newer[0] = 9;
        assert_eq!(Envelope::decode(&newer.into()), Err(EnvelopeError::Version(9)));
    }
}
