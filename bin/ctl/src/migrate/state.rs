//! How far a migration is, as it stands in the destination under a reserved key.
//!
//! Written in the transactions that write the data: what it says is done is done, and nothing else is. Must never be copied:
//! a source that was once a destination may have one too.

use bytes::Bytes;
use serde_json::{Value, json};

/// The reserved key. It begins with a zero byte, so that no prefix that a person writes covers it.
pub const KEY: Bytes = Bytes::from_static(b"\0conclave/migrate");

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first `done` keys of the source at revision `base` are written, in the order in which they were created.
    Copy {
        /// Revision of the source.
        base: i64,
        /// Keys.
        done: usize,
    },
    /// Everything up to a revision is written, and of the next one the first few changes.
    Follow {
        /// Revision of the source.
        position: i64,
        /// Changes of the next revision: only of one that does not fit into one transaction.
        inside: usize,
    },
}

/// See the file header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which migration this is: chosen by chance when it begins.
    pub id: u64,
    /// Id of the source's cluster.
    pub source: u64,
    /// Transactions so far: no two states are equal.
    pub writes: u64,
    /// Where it is.
    pub phase: Phase,
}

impl State {
    /// As it is written.
    pub fn encode(&self) -> Bytes {
        let mut value = json!({ "migration": self.id, "source": self.source, "writes": self.writes });
        match self.phase {
            Phase::Copy { base, done } => value["copy"] = json!({ "base": base, "done": done }),
            Phase::Follow { position, inside } => value["follow"] = json!({ "position": position, "inside": inside }),
        }
        value.to_string().into()
    }

    /// As it was written; none for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let count = |part: &Value, name: &str| usize::try_from(part[name].as_u64()?).ok();
        let phase = match (value.get("copy"), value.get("follow")) {
            (Some(copy), None) => Phase::Copy { base: copy["base"].as_i64()?, done: count(copy, "done")? },
            (None, Some(follow)) => {
                Phase::Follow { position: follow["position"].as_i64()?, inside: count(follow, "inside")? }
            }
            _ => return None,
        };
        let number = |name: &str| value[name].as_u64();
        Some(Self { id: number("migration")?, source: number("source")?, writes: number("writes")?, phase })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_nothing_else_does() {
        for phase in [Phase::Copy { base: 7, done: 127 }, Phase::Follow { position: i64::MAX, inside: 3 }] {
            let state = State { id: u64::MAX, source: 5, writes: 9, phase };
            assert_eq!(State::decode(&state.encode()), Some(state));
        }
        for other in ["", "{}", "[1]", r#"{"migration":1,"source":2,"writes":3}"#, "\u{0}"] {
            assert_eq!(State::decode(other.as_bytes()), None, "{other:?}");
        }
    }
}
