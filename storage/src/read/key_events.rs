//! What happened to one key: catch-up of a watcher of a single key, through the key's own versions instead of the whole log.
//!
//! Must never read a version outside of the revisions asked for.

use super::events::{Collector, EventsChunk, LogEvent};
use super::values::{UNKNOWN, missing};
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Head, hist_key, split_hist_key};
use crate::view::View;
use model::{ReadError, Revision};

/// Events of one key from a revision on up to a main revision inclusive (at most the view's), as
/// [`events`](super::events::events) would answer; `bytes` is its budget.
///
/// # Errors
/// [`ReadError::Compacted`] when `from` lies before the compacted revision, [`ReadError::Store`].
pub fn key_events<S: Snapshot>(
    view: &View<S>,
    key: &[u8],
    from: Revision,
    to: i64,
    bytes: usize,
) -> Result<EventsChunk, ReadError> {
    if from.main < view.status.compact_revision {
        return Err(ReadError::Compacted);
    }
    let end = Revision::new(to.min(view.status.revision).saturating_add(1), 0);
    let mut collector = Collector::new(bytes);
    let mut from = from;
    while from < end {
        let versions = versions(&view.snapshot, key, from, end)?;
        let Some(last) = versions.last() else { break };
        from = Revision::new(last.main, last.sub.saturating_add(1));
        for part in versions.chunks(UNKNOWN) {
            let keys: Vec<[u8; Revision::LEN]> = part.iter().map(|r| r.to_bytes()).collect();
            let keys: Vec<&[u8]> = keys.iter().map(|k| &k[..]).collect();
            for (row, revision) in view.snapshot.multi_get(Family::Log, &keys)?.into_iter().zip(part) {
                let row = row.ok_or_else(|| missing(*revision))?;
                if let Err(chunk) = collector.add(LogEvent::of_row(*revision, row)?) {
                    return Ok(chunk);
                }
            }
        }
    }
    Ok(collector.finish(end.max(from)))
}

/// Versions listed at once.
const VERSIONS: usize = if cfg!(test) { 3 } else { 256 };

/// The next versions of a key, tombstones included, ascending; a bounded number of them.
fn versions<S: Snapshot>(snapshot: &S, key: &[u8], from: Revision, end: Revision) -> Result<Vec<Revision>, ReadError> {
    let mut out = Vec::new();
    // Newest first within a key, so walking backward ascends; both bounds are rows that may exist.
    let lower = hist_key(key, Revision::new(end.main - 1, i64::MAX));
    let mut upper = hist_key(key, from);
    upper.push(0);
    let mut scan = snapshot.scan(Family::Hist, &lower, Some(&upper), Direction::Backward);
    while let Some((row_key, _)) = scan.next()? {
        out.push(split_hist_key(row_key)?.1);
        if out.len() == VERSIONS {
            return Ok(out);
        }
    }
    if let Some(row) = snapshot.get(Family::Cur, key)? {
        let newest = Head::decode(&row)?.modified;
        if newest >= from && newest < end {
            out.push(newest);
        }
    }
    Ok(out)
}
