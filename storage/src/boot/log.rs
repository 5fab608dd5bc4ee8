//! What the raft core starts from: the log that was recovered, held against the store.
//!
//! Must never go on with a log and a store that do not fit together: what is missing between them may have been acknowledged.

use super::BootError;
use crate::wal::{Recovered, Wal};
use raft::{ConfState, Entry, HardState, Index, LogId, Term};

/// Bytes of entries read from the log at once.
const READ_BYTES: usize = 32 << 20;

/// The log as the raft core starts with it: entries that the store has not applied are loaded, commit is at least what it has.
#[derive(Clone, Debug, Default)]
pub struct LogStart {
    /// Term, vote, commit.
    pub hard_state: HardState,
    /// Membership as of the applied index.
    pub conf_state: ConfState,
    /// Stands before the first entry of the log.
    pub truncated: LogId,
    /// First index of each term behind it, ascending.
    pub terms: Vec<LogId>,
    /// Last index.
    pub last: Index,
    /// Entries behind the applied index, up to the last.
    pub entries: Vec<Entry>,
}

impl LogStart {
    /// Reads what the store has not applied.
    ///
    /// # Errors
    /// [`BootError::Mismatch`] when log and store do not fit together, [`BootError::WalRead`].
    pub fn read(wal: &Wal, log: &Recovered, conf_state: ConfState, applied: LogId) -> Result<Self, BootError> {
        fits(log, applied).map_err(BootError::Mismatch)?;
        let mut hard_state = log.hard_state;
        // commit is written lazily: what the store has applied was committed
        hard_state.commit = hard_state.commit.max(applied.index);
        let mut entries = Vec::new();
        let mut reader = wal.reader();
        let mut next = applied.index + 1;
        while next <= log.last.index {
            entries.extend(reader.read(next, log.last.index + 1, READ_BYTES)?);
            next = entries.last().map_or(next, |e: &Entry| e.index + 1);
        }
        tracing::info!(applied = applied.index, last = log.last.index, replay = entries.len(), "opened log and store");
        let last = log.last.index;
        Ok(Self { hard_state, conf_state, truncated: log.truncated, terms: log.terms.clone(), last, entries })
    }
}

/// Whether the log reaches from before the applied entry to it, and has the same entry there.
fn fits(log: &Recovered, applied: LogId) -> Result<(), String> {
    if log.last.index < applied.index {
        return Err(format!("the log ends at entry {}, the store has applied {}", log.last.index, applied.index));
    }
    if log.truncated.index > applied.index {
        return Err(format!(
            "the log begins behind entry {}, the store has applied {} only: was its folder replaced?",
            log.truncated.index, applied.index
        ));
    }
    match term_at(log, applied.index) {
        Some(term) if term != applied.term => Err(format!(
            "entry {} is of term {term} in the log and of term {} in the store: was one of their folders replaced?",
            applied.index, applied.term
        )),
        _ => Ok(()),
    }
}

/// Term of an entry of the log, or of the one before its first.
fn term_at(log: &Recovered, index: Index) -> Option<Term> {
    if index == log.truncated.index {
        return Some(log.truncated.term);
    }
    let run = log.terms.partition_point(|first| first.index <= index).checked_sub(1)?;
    Some(log.terms[run].term)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: Term, index: Index) -> LogId {
        LogId { term, index }
    }

    fn log() -> Recovered {
        let terms = vec![id(2, 6), id(4, 9)];
        Recovered { truncated: id(1, 5), last: id(4, 12), terms, ..Recovered::default() }
    }

    #[test]
    fn a_store_fits_where_the_log_has_the_same_entry() {
        for applied in [id(1, 5), id(2, 6), id(2, 8), id(4, 9), id(4, 12)] {
            assert_eq!(fits(&log(), applied), Ok(()), "{applied:?}");
        }
    }

    #[test]
    fn a_store_that_applied_another_entry_is_refused() {
        for (applied, why) in [
            (id(4, 13), "the log ends at entry 12, the store has applied 13"),
            (id(1, 4), "the log begins behind entry 5, the store has applied 4 only: was its folder replaced?"),
            (
                id(3, 8),
                "entry 8 is of term 2 in the log and of term 3 in the store: was one of their folders replaced?",
            ),
            (
                id(2, 5),
                "entry 5 is of term 1 in the log and of term 2 in the store: was one of their folders replaced?",
            ),
        ] {
            assert_eq!(fits(&log(), applied), Err(why.to_owned()), "{applied:?}");
        }
    }
}
