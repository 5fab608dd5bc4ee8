//! From what log and store say at start to the log as the core reads it.
//!
//! Must never go on with a log and a store that do not fit together: what is missing between them may have been acknowledged.

use super::log_tail::LogTail;
use crate::limits::LOG_TAIL_BYTES;
use raft::{ConfState, Entry, LogId};
use storage::wal::{ReadError, Recovered, Wal};

/// Why a member cannot start from its log and its store.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// They do not fit together.
    #[error("{0}")]
    Mismatch(String),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The tail: entries that the store has not applied are loaded, commit is at least what it has.
///
/// # Errors
/// [`TailError`].
pub fn tail(wal: &Wal, recovered: &Recovered, conf_state: ConfState, applied: LogId) -> Result<LogTail, TailError> {
    if recovered.last.index < applied.index {
        let why = format!("the log ends at entry {}, the store has applied {}", recovered.last.index, applied.index);
        return Err(TailError::Mismatch(why));
    }
    if recovered.truncated.index > applied.index {
        return Err(TailError::Mismatch(format!(
            "the log begins behind entry {}, the store has applied {} only: was its folder replaced?",
            recovered.truncated.index, applied.index
        )));
    }
    let mut hard_state = recovered.hard_state;
    // commit is written lazily: what the store has applied was committed
    hard_state.commit = hard_state.commit.max(applied.index);
    let mut entries = Vec::new();
    let mut reader = wal.reader();
    let mut next = (applied.index + 1).max(recovered.truncated.index + 1);
    while next <= recovered.last.index {
        entries.extend(reader.read(next, recovered.last.index + 1, LOG_TAIL_BYTES as usize)?);
        next = entries.last().map_or(next, |e: &Entry| e.index + 1);
    }
    tracing::info!(
        applied = applied.index,
        last = recovered.last.index,
        replay = entries.len(),
        "opened log and store"
    );
    Ok(LogTail::new(hard_state, conf_state, recovered.truncated, &recovered.terms, recovered.last.index, entries))
}
