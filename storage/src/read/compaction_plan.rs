//! Which rows a compaction drops: walks `log` from the last compacted revision inclusive to the target, in small steps.
//!
//! What is kept is exactly what etcd keeps: of each key the newest version at or below the target unless it is a tombstone,
//! and a tombstone exactly at the target (the next compaction, which starts there, drops it). Every row names the version it
//! superseded. The cost follows the log since the last compaction, never the database. What is dropped is not looked at: the row
//! that superseded it says its length. So every row must be walked once and not again, across restarts too: the caller writes
//! [`Compaction::next`] together with each step. Must never decide by anything but rows at or below the target.

use super::kv_bytes::key_of;
use crate::engine::{Direction, Family, Op, Scan, Snapshot};
use crate::schema::{HistRow, Kind, LogRow, hist_key};
use bytes::Bytes;
use model::mutant::{self, Mutant};
use model::{ReadError, Revision};

/// A compaction under way: a cursor over `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The compaction before went up to here: what rows up to here superseded is gone.
    done: i64,
    target: i64,
    next: Revision,
}

/// What one step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionStep {
    /// Deletions in `log` and `hist`.
    pub ops: Vec<Op>,
    /// Key and value bytes of the `log` rows that `ops` deletes.
    pub freed_bytes: i64,
    /// Versions that `ops` deletes: each has a row in `log` and one in `hist`.
    pub versions: i64,
    /// Key and value bytes of the `hist` rows that `ops` deletes.
    pub freed_hist_bytes: i64,
    /// Rows of `log` walked over.
    pub rows_walked: usize,
    /// The target is reached.
    pub done: bool,
}

impl Compaction {
    /// Starts at the last compacted revision (-1 when there was none).
    pub fn new(last_compacted: i64, target: i64) -> Self {
        Self::resume(last_compacted, target, Revision::new(last_compacted.max(0), 0))
    }

    /// Goes on where another one stood.
    pub fn resume(last_compacted: i64, target: i64, next: Revision) -> Self {
        Self { done: last_compacted, target, next }
    }

    /// The revision up to which history goes.
    pub fn target(&self) -> i64 {
        self.target
    }

    /// Where the next step begins; everything before it is done once the steps' `ops` are written.
    pub fn next(&self) -> Revision {
        self.next
    }

    /// Plans the next deletions: at most `max_rows` rows, and no further one once `max_bytes` were read.
    ///
    /// # Errors
    /// [`ReadError::Store`].
    pub fn step<S: Snapshot>(
        &mut self,
        snapshot: &S,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<CompactionStep, ReadError> {
        let mut step = CompactionStep::default();
        let mut bytes = 0;
        let end = Revision::new(self.target.saturating_add(1), 0);
        if self.next < end {
            let mut scan =
                snapshot.scan_once(Family::Log, &self.next.to_bytes(), Some(&end.to_bytes()), Direction::Forward);
            loop {
                let Some((key, row)) = scan.next()? else {
                    self.next = end;
                    break;
                };
                let revision =
                    Revision::from_bytes(key).ok_or_else(|| ReadError::Store("log row with a bad key".into()))?;
                if step.rows_walked > 0 && (step.rows_walked >= max_rows || bytes >= max_bytes) {
                    self.next = revision;
                    break;
                }
                step.rows_walked += 1;
                bytes += row.len();
                self.inspect(revision, row, &mut step)?;
            }
        }
        step.done = self.next >= end;
        Ok(step)
    }

    fn inspect(&self, revision: Revision, row: &[u8], step: &mut CompactionStep) -> Result<(), ReadError> {
        let (kind, superseded) = LogRow::decode_head(row)?;
        let dead_tombstone =
            kind == Kind::Delete && revision.main < self.target + i64::from(mutant::on(Mutant::CompactionTombstone));
        let garbage = superseded != Revision::default() && revision.main > self.done;
        if !garbage && !dead_tombstone {
            return Ok(());
        }
        let kv = &row[LogRow::HEAD..];
        let key = key_of(kv)?;
        if garbage {
            step.drop(superseded, key, LogRow::superseded_len(row)? as usize);
        }
        if dead_tombstone {
            step.drop(revision, key, kv.len());
        }
        Ok(())
    }
}

impl CompactionStep {
    /// A version that nobody can read any more, with a key-value of `len` bytes.
    fn drop(&mut self, revision: Revision, key: &[u8], len: usize) {
        self.freed_bytes += LogRow::bytes(len);
        self.ops.push(Op::Delete { family: Family::Log, key: Bytes::copy_from_slice(&revision.to_bytes()) });
        let hist = Bytes::from(hist_key(key, revision));
        self.versions += 1;
        self.freed_hist_bytes += (hist.len() + HistRow::LEN) as i64;
        self.ops.push(Op::Delete { family: Family::Hist, key: hist });
    }
}
