//! Runs of blocks without keys, as the writer knows them: with them a scan goes past a whole run in one seek, however many blocks it has
//! and however many versions their rows have.
//!
//! Must always follow from the rows of the last batch. Bounded: a run that finds no room is only not known.

use super::rows::{BLOCK, BlockRow, behind, read_block};
use crate::engine::{Direction, EmptyStretch, EmptyStretches, EngineError, Family, Scan, Snapshot};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// Runs that are known at most: they are copied whenever one changes.
const MOST: usize = 1024;

/// End of a run, and the newest revision in which a key of it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    end: Option<Bytes>,
    since: i64,
}

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Runs {
    by_start: BTreeMap<Bytes, Run>,
    published: Arc<EmptyStretches>,
    changed: bool,
}

impl Runs {
    /// Those of a store.
    pub(super) fn of<S: Snapshot>(snapshot: &S) -> Result<Self, EngineError> {
        let mut runs = Self::default();
        let mut rows = snapshot.scan(Family::Cnt, &[BLOCK], Some(&behind(BLOCK)), Direction::Forward);
        let mut last: Option<(Bytes, BlockRow)> = None;
        loop {
            let next = rows.next()?.map(read_block).transpose()?;
            let next = next.map(|(start, block)| (Bytes::copy_from_slice(start), block));
            if let Some((start, block)) = last {
                runs.note(&start, next.as_ref().map(|(start, _)| start), block);
            }
            if next.is_none() {
                return Ok(runs);
            }
            last = next;
        }
    }

    /// Notes what a block holds now.
    pub(super) fn note(&mut self, start: &Bytes, end: Option<&Bytes>, block: BlockRow) {
        let since = if block.died == 0 { i64::MAX } else { block.died };
        if block.keys == 0 && self.holds(start, end, since) {
            return;
        }
        self.cut_out(start, end);
        if block.keys == 0 {
            self.add(start.clone(), Run { end: end.cloned(), since });
        }
    }

    /// What is known, for the snapshot that the batch leads to.
    pub(super) fn publish(&mut self) -> Arc<EmptyStretches> {
        if std::mem::take(&mut self.changed) {
            let stretch = |(start, run): (&Bytes, &Run)| EmptyStretch {
                start: start.clone(),
                end: run.end.clone(),
                since: run.since,
            };
            self.published = Arc::new(self.by_start.iter().map(stretch).collect());
        }
        self.published.clone()
    }

    /// The run that begins last at or before a key.
    fn floor(&self, key: &[u8]) -> Option<(&Bytes, &Run)> {
        self.by_start.range::<[u8], _>((Unbounded, std::ops::Bound::Included(key))).next_back()
    }

    /// All of this is part of a run that is as old.
    fn holds(&self, start: &Bytes, end: Option<&Bytes>, since: i64) -> bool {
        self.floor(start).is_some_and(|(_, run)| run.since >= since && reaches(run.end.as_ref(), end))
    }

    /// Takes this out of the runs it is part of.
    fn cut_out(&mut self, start: &Bytes, end: Option<&Bytes>) {
        if let Some((first, run)) = self.floor(start)
            && run.end.as_ref().is_none_or(|own| own > start)
        {
            let (first, run) = (first.clone(), run.clone());
            self.changed = true;
            self.by_start.remove(&first);
            if first < *start {
                self.by_start.insert(first, Run { end: Some(start.clone()), since: run.since });
            }
            self.keep_behind(end, run);
        }
        let inside = |this: &Self| {
            let (first, run) = this.by_start.range::<Bytes, _>((Excluded(start), Unbounded)).next()?;
            end.is_none_or(|end| first < end).then(|| (first.clone(), run.clone()))
        };
        while let Some((first, run)) = inside(self) {
            self.changed = true;
            self.by_start.remove(&first);
            self.keep_behind(end, run);
        }
    }

    /// What a run has behind `end` stays.
    fn keep_behind(&mut self, end: Option<&Bytes>, run: Run) {
        if let Some(end) = end
            && run.end.as_ref().is_none_or(|own| own > end)
        {
            self.by_start.insert(end.clone(), run);
        }
    }

    /// Adds a run that overlaps with none, and joins it to its neighbours.
    fn add(&mut self, mut start: Bytes, mut run: Run) {
        if let Some(end) = &run.end
            && let Some(right) = self.by_start.remove(end)
        {
            run = Run { end: right.end, since: run.since.max(right.since) };
        }
        if let Some((left, before)) = self.floor(&start)
            && before.end.as_ref() == Some(&start)
        {
            run.since = run.since.max(before.since);
            start = left.clone();
        } else if self.by_start.len() >= MOST {
            return;
        }
        self.changed = true;
        self.by_start.insert(start, run);
    }
}

/// Whether an end lies at or behind another one.
fn reaches(end: Option<&Bytes>, other: Option<&Bytes>) -> bool {
    match (end, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(end), Some(other)) => end >= other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Bytes {
        Bytes::from(vec![n])
    }

    fn note(runs: &mut Runs, from: u8, to: Option<u8>, keys: u64, died: i64) {
        runs.note(&key(from), to.map(key).as_ref(), BlockRow { keys, dead: 0, died });
    }

    fn shown(runs: &mut Runs) -> Vec<(u8, Option<u8>, i64)> {
        let published = runs.publish();
        let byte = |bytes: &Bytes| bytes[0];
        let mut out: Vec<_> = (0..=255).filter_map(|n| published.holding(&[n])).collect();
        out.dedup();
        out.into_iter().map(|s| (byte(&s.start), s.end.as_ref().map(byte), s.since)).collect()
    }

    #[test]
    fn neighbours_are_one_run_and_a_key_parts_them() {
        let mut runs = Runs::default();
        note(&mut runs, 10, Some(20), 0, 5);
        note(&mut runs, 30, Some(40), 0, 7);
        assert_eq!(shown(&mut runs), [(10, Some(20), 5), (30, Some(40), 7)]);
        note(&mut runs, 20, Some(30), 0, 6);
        assert_eq!(shown(&mut runs), [(10, Some(40), 7)]);
        note(&mut runs, 20, Some(25), 1, 0);
        assert_eq!(shown(&mut runs), [(10, Some(20), 7), (25, Some(40), 7)]);
        note(&mut runs, 40, None, 0, 0);
        assert_eq!(shown(&mut runs), [(10, Some(20), 7), (25, None, i64::MAX)]);
        note(&mut runs, 15, Some(30), 3, 0);
        assert_eq!(shown(&mut runs), [(10, Some(15), 7), (30, None, i64::MAX)]);
        note(&mut runs, 0, None, 1, 0);
        assert_eq!(shown(&mut runs), []);
    }

    #[test]
    fn what_is_known_already_changes_nothing_and_what_finds_no_room_is_not_known() {
        let mut runs = Runs::default();
        let wide = |n: u16| Bytes::copy_from_slice(&n.to_be_bytes());
        for n in 0..2 * MOST as u16 {
            runs.note(&wide(2 * n), Some(&wide(2 * n + 1)), BlockRow { keys: 0, dead: 0, died: 5 });
        }
        assert_eq!(runs.by_start.len(), MOST);
        let before = runs.publish();
        runs.note(&wide(0), Some(&wide(1)), BlockRow { keys: 0, dead: 0, died: 4 });
        runs.note(&wide(5 * MOST as u16), None, BlockRow { keys: 4, dead: 0, died: 0 });
        assert!(Arc::ptr_eq(&before, &runs.publish()));
        runs.note(&wide(0), Some(&wide(1)), BlockRow { keys: 0, dead: 0, died: 6 });
        assert_eq!(runs.publish().holding(&wide(0)).map(|run| run.since), Some(6));
    }
}
