//! How many keys a range had at a revision, without walking over them where that can be avoided.
//!
//! The present comes from the count tables. The past is the present less what was created and plus what was deleted since,
//! read from `log`; when that is longer than the range itself is likely to be, the range is walked instead. Must never take
//! longer than both.

use super::cursor::Source;
use super::kv_bytes::key_of;
use super::overlay::{NoOverlay, Overlay, count_delta};
use super::walk::{self, Bounds};
use super::{At, point};
use crate::count::count_present;
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Kind, LogRow};
use crate::view::View;
use model::{KeyRange, ReadError, Revision};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Log rows that are always worth reading before a range is walked.
const ROWS_AT_LEAST: u64 = if cfg!(test) { 4 } else { 256 };

/// Keys of a range at a revision; zero or negative is the present.
///
/// # Errors
/// [`ReadError`].
pub fn count<S: Snapshot>(view: &View<S>, range: &KeyRange, revision: i64) -> Result<i64, ReadError> {
    let at = At::of(view);
    let revision = at.resolve(revision)?;
    count_in(&Source { snapshot: &view.snapshot, overlay: &NoOverlay, at, revision }, range)
}

/// Keys of a range at the source's revision.
pub(super) fn count_in<S: Snapshot, O: Overlay>(source: &Source<'_, S, O>, range: &KeyRange) -> Result<i64, ReadError> {
    let Source { snapshot, overlay, at, revision } = *source;
    if range.is_empty() {
        return Ok(0);
    }
    if revision < at.revision {
        return count_past(snapshot, range, revision, at.revision);
    }
    Ok(count_present(snapshot, range)? + count_delta(overlay, range))
}

fn count_past<S: Snapshot>(snapshot: &S, range: &KeyRange, revision: i64, newest: i64) -> Result<i64, ReadError> {
    if range.is_single() {
        return Ok(i64::from(point::head_at(snapshot, &range.key, revision)?.is_some()));
    }
    let now = count_present(snapshot, range)?;
    let rows = ROWS_AT_LEAST + now.unsigned_abs() / 2;
    let revisions = newest.abs_diff(revision);
    if let Some(change) = if revisions <= rows { change_since(snapshot, range, revision, rows)? } else { None } {
        return Ok(now - change);
    }
    let (mut keys, upper) = (0, range.upper());
    let bounds = Bounds { lower: range.lower(), upper: upper.as_deref(), direction: Direction::Forward };
    walk::past(snapshot, bounds, revision, |_| {
        keys += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// Keys of the range created since main revision `since` less those deleted; `None` when that took more than `rows` rows.
fn change_since<S: Snapshot>(snapshot: &S, range: &KeyRange, since: i64, rows: u64) -> Result<Option<i64>, ReadError> {
    let mut scan =
        snapshot.scan(Family::Log, &Revision::new(since.saturating_add(1), 0).to_bytes(), None, Direction::Forward);
    let mut change = 0;
    for _ in 0..rows {
        let Some((_, row)) = scan.next()? else { return Ok(Some(change)) };
        let step = match LogRow::decode_head(row)?.0 {
            Kind::Create => 1,
            Kind::Delete => -1,
            Kind::Update => continue,
        };
        if range.contains(key_of(&row[LogRow::HEAD..])?) {
            change += step;
        }
    }
    Ok(None)
}

/// Counts that were found out before. A count at a revision never changes, so entries only go when there is no more room:
/// meant for the pages of paginated lists, each of which asks for the rest of the range at the first page's revision.
#[derive(Clone, Debug)]
pub struct CountMemo {
    entries: VecDeque<(KeyRange, i64, i64)>,
    capacity: usize,
}

impl CountMemo {
    /// Remembers the last `capacity` counts.
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::with_capacity(capacity), capacity }
    }

    /// The count of a range at a revision, if it is remembered.
    pub fn get(&self, range: &KeyRange, revision: i64) -> Option<i64> {
        let entry = self.entries.iter().find(|(known, at, _)| *at == revision && known == range);
        entry.map(|(_, _, count)| *count)
    }

    /// Remembers a count; the oldest one goes when there is no room.
    pub fn put(&mut self, range: KeyRange, revision: i64, count: i64) {
        if self.capacity == 0 || self.get(&range, revision).is_some() {
            return;
        }
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back((range, revision, count));
    }

    /// Forgets everything: needed when another history was installed.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
