//! Entries as commands: the one place where the bytes of the log become one.
//!
//! Must never look at the store.

use super::report::ApplyFatal;
use bytes::Bytes;
use model::{Caller, Command, Envelope};
use raft::LogId;

/// An entry that waits to be applied.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) id: LogId,
    pub(super) envelope: Envelope,
    pub(super) caller: Caller,
    pub(super) command: Command,
}

impl Decoded {
    pub(super) fn index(&self) -> u64 {
        self.id.index
    }
}

pub(super) fn decode(id: LogId, bytes: &Bytes) -> Result<(Caller, Command), ApplyFatal> {
    Command::decode_with_caller(bytes.clone()).map_err(|why| ApplyFatal::Command {
        index: id.index,
        term: id.term,
        why,
    })
}

pub(super) fn decode_envelope(id: LogId, bytes: &Bytes) -> Result<Envelope, ApplyFatal> {
    Envelope::decode(bytes).map_err(|why| ApplyFatal::Envelope { index: id.index, term: id.term, why })
}
