//! How many keys a range had at a revision, without walking over them where that can be avoided.
//!
//! The present comes from the count tables. The past is the present less what was created and plus what was deleted since: the
//! rows of changes say it, and `log` for the newest versions; when that is longer than the range itself is likely to be, the
//! range is walked instead. Must never take longer than both.

use super::at::At;
use super::overlay::{NoOverlay, Overlay, count_delta};
use super::point;
use super::source::Source;
use super::walk::{self, Bounds};
use crate::count::{Change, ChangesRow, behind_changes, change, changes_key, count_present, read_changes, successor};
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::Kind;
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
    if let Some(change) = change_since(snapshot, range, revision, newest, rows)? {
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

/// Keys of `range` created since main revision `revision` less those deleted; `None` when that would read more than `rows` rows
/// of `log`, or as much of changes.
pub(super) fn change_since<S: Snapshot>(
    snapshot: &S,
    range: &KeyRange,
    revision: i64,
    newest: i64,
    rows: u64,
) -> Result<Option<i64>, ReadError> {
    Since { snapshot, range, revision, newest, rows }.change()
}

/// Changes of a row that cost about as much as one step of a walk.
const CHANGES_A_STEP: u64 = 16;

/// What happened to a range since a main revision.
struct Since<'r, S> {
    snapshot: &'r S,
    range: &'r KeyRange,
    revision: i64,
    newest: i64,
    /// What may still be read.
    rows: u64,
}

impl<S: Snapshot> Since<'_, S> {
    fn change(mut self) -> Result<Option<i64>, ReadError> {
        let (first, end) = (changes_key(Revision::new(self.revision.saturating_add(1), 0)), behind_changes());
        let mut last = self.snapshot.scan(Family::Cnt, &first, Some(&end), Direction::Backward);
        let spoken = last.next()?.map(|(key, row)| Ok::<_, ReadError>(read_changes(key, row)?.upto)).transpose()?;
        let unspoken = self.newest.abs_diff(spoken.map_or(self.revision, |upto| upto.main));
        if unspoken > self.rows {
            return Ok(None);
        }
        let Some(upto) = spoken else { return self.in_log(Revision::new(self.revision, i64::MAX)) };
        let mut rows = self.snapshot.scan(Family::Cnt, &first, Some(&end), Direction::Forward);
        let (mut change, mut behind) = (0, None);
        while let Some((key, row)) = rows.next()? {
            let mut row = read_changes(key, row)?;
            // Between two rows, or before the first one, there may be versions that none speaks of.
            if behind.map_or(row.from.main > self.revision, |behind| row.from != behind) {
                return Ok(None);
            }
            behind = Some(row.upto);
            let Some(some) = self.in_row(&mut row)? else { return Ok(None) };
            change += some;
        }
        Ok(self.in_log(upto)?.map(|rest| change + rest))
    }

    fn in_row(&mut self, row: &mut ChangesRow<'_>) -> Result<Option<i64>, ReadError> {
        let (mut change, mut seen) = (0, 0);
        while let Some(Change { revision, deleted, key }) = row.next()? {
            seen += 1;
            if revision > self.revision && self.range.contains(key) {
                change += if deleted { -1 } else { 1 };
            }
        }
        let left = self.rows.checked_sub(1 + seen / CHANGES_A_STEP);
        self.rows = left.unwrap_or_default();
        Ok(left.map(|_| change))
    }

    fn in_log(&self, behind: Revision) -> Result<Option<i64>, ReadError> {
        let mut scan = self.snapshot.scan(Family::Log, &successor(behind).to_bytes(), None, Direction::Forward);
        let mut total = 0;
        for _ in 0..self.rows {
            let Some((_, row)) = scan.next()? else { return Ok(Some(total)) };
            let (kind, key) = change(row)?;
            let step = match kind {
                Kind::Create => 1,
                Kind::Delete => -1,
                Kind::Update => continue,
            };
            if self.range.contains(key) {
                total += step;
            }
        }
        Ok(None)
    }
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
