//! Which rows a compaction drops: walks `log` from the last compacted revision inclusive to the target, in small steps.
//!
//! What is kept is exactly what etcd keeps: of each key the newest version at or below the target unless it is a tombstone,
//! and a tombstone exactly at the target (the next compaction, which starts there, drops it). Every row names the version it
//! superseded, so only versions that are garbage are looked up, to know what they free. The cost follows the log since the
//! last compaction, never the database. Must never decide by anything but rows at or below the target.

use super::kv_bytes::key_of;
use crate::engine::{Direction, Family, Op, Scan, Snapshot};
use crate::schema::{Kind, LogRow, hist_key};
use bytes::Bytes;
use model::mutant::{self, Mutant};
use model::{ReadError, Revision};

/// A compaction under way: a cursor over `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    target: i64,
    next: Revision,
}

/// What one step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionStep {
    /// Deletions in `log` and `hist`.
    pub ops: Vec<Op>,
    /// Key and value bytes of the `log` rows that the snapshot still had and `ops` deletes.
    pub freed_bytes: i64,
    /// Rows of `log` walked over.
    pub rows_walked: usize,
    /// The target is reached.
    pub done: bool,
}

/// A version that nobody can read any more.
struct Garbage {
    revision: Revision,
    key: Bytes,
}

impl Compaction {
    /// Starts at the last compacted revision (-1 when there was none). Rows that are gone already are no problem.
    pub fn new(last_compacted: i64, target: i64) -> Self {
        Self::resume(target, Revision::new(last_compacted.max(0), 0))
    }

    /// Goes on where another one stood.
    pub fn resume(target: i64, next: Revision) -> Self {
        Self { target, next }
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
        let mut garbage = Vec::new();
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
                self.inspect(revision, row, &mut garbage)?;
            }
        }
        step.done = self.next >= end;
        drop_rows(snapshot, garbage, &mut step)?;
        Ok(step)
    }

    fn inspect(&self, revision: Revision, row: &[u8], garbage: &mut Vec<Garbage>) -> Result<(), ReadError> {
        let (kind, superseded) = LogRow::decode_head(row)?;
        let dead_tombstone =
            kind == Kind::Delete && revision.main < self.target + i64::from(mutant::on(Mutant::CompactionTombstone));
        if kind == Kind::Create && !dead_tombstone {
            return Ok(());
        }
        let key = Bytes::copy_from_slice(key_of(&row[LogRow::HEAD..])?);
        if superseded != Revision::default() {
            garbage.push(Garbage { revision: superseded, key: key.clone() });
        }
        if dead_tombstone {
            garbage.push(Garbage { revision, key });
        }
        Ok(())
    }
}

fn drop_rows<S: Snapshot>(snapshot: &S, garbage: Vec<Garbage>, step: &mut CompactionStep) -> Result<(), ReadError> {
    // Few at once, because each may be as large as a request.
    const LOOK_UP: usize = 16;
    for part in garbage.chunks(LOOK_UP) {
        let keys: Vec<Bytes> = part.iter().map(|g| Bytes::copy_from_slice(&g.revision.to_bytes())).collect();
        let wanted: Vec<&[u8]> = keys.iter().map(|k| &k[..]).collect();
        let rows = snapshot.multi_get(Family::Log, &wanted)?;
        for ((row, log_key), dead) in rows.into_iter().zip(&keys).zip(part) {
            let Some(row) = row else { continue };
            step.freed_bytes += (log_key.len() + row.len()) as i64;
            step.ops.push(Op::Delete { family: Family::Log, key: log_key.clone() });
            step.ops.push(Op::Delete { family: Family::Hist, key: hist_key(&dead.key, dead.revision).into() });
        }
    }
    Ok(())
}
