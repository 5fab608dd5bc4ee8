//! Scans of `cur` and `hist` that go around keys which were deleted.
//!
//! A scan looks at nothing but its rows until many deleted ones lie ahead of it. Then it asks the blocks which stretch is the next
//! one that can hold anything, and goes on there. So what a scan passes over is bounded by what is dead in the blocks it finds
//! something in, and not by what was ever deleted.
//!
//! Must never leave out a row that is there: blocks and rows are of one snapshot, and a block counts exactly what it holds.

use super::rows::{BLOCK, BlockRow, GROUP, behind, damaged, read_block, read_group, row_key};
use crate::engine::{Direction, EmptyStretch, EngineError, Family, Row, Scan, Snapshot, Step};
use crate::schema::{behind_versions, escape_key, split_hist_key};
use bytes::Bytes;

/// Blocks without keys that are passed over one by one before their group is asked.
const ONE_BY_ONE: u32 = if cfg!(test) { 2 } else { 16 };

/// What a stretch must hold to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Keys that live now.
    Living,
    /// Keys that may have lived at a main revision.
    LivedAt(i64),
}

impl Wanted {
    /// Nothing that is wanted lies in such a stretch.
    fn is_not_in(self, stretch: &EmptyStretch) -> bool {
        match self {
            Self::Living => true,
            Self::LivedAt(revision) => stretch.since <= revision,
        }
    }

    fn may_be_in(self, block: BlockRow) -> bool {
        match self {
            Self::Living => block.keys > 0,
            Self::LivedAt(revision) => block.keys > 0 || block.died > revision || block.died == 0,
        }
    }
}

/// Bounds of a scan, as keys: `lower <= key < upper`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyBounds<'b> {
    /// First key.
    pub(crate) lower: &'b [u8],
    /// First key behind; `None` is no bound.
    pub(crate) upper: Option<&'b [u8]>,
    /// Which end comes first.
    pub(crate) direction: Direction,
}

impl KeyBounds<'_> {
    /// No key lies between them.
    pub(crate) fn is_empty(&self) -> bool {
        self.upper.is_some_and(|upper| self.lower >= upper)
    }
}

/// Rows of `cur` or `hist`, without those of deleted keys in between.
pub(crate) struct AroundScan<'s, S: Snapshot> {
    snapshot: &'s S,
    family: Family,
    wanted: Wanted,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    direction: Direction,
    rows: S::Scan<'s>,
    position: Position,
    /// Name of the last row, or the name that the scan was made to jump to.
    name: Vec<u8>,
    /// The key that the scan was made to jump to.
    key: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Start,
    /// On the row `name`.
    Row,
    /// At `name` or past it, in front of every row already seen.
    Sought,
}

impl<'s, S: Snapshot> AroundScan<'s, S> {
    /// Living keys, by their rows in `cur`.
    pub(crate) fn living(snapshot: &'s S, bounds: KeyBounds<'_>) -> Self {
        Self::new(snapshot, Family::Cur, Wanted::Living, bounds)
    }

    /// Superseded versions and tombstones of keys that may have lived at a main revision, by their rows in `hist`. There may be
    /// rows of other keys among them.
    pub(crate) fn lived_at(snapshot: &'s S, revision: i64, bounds: KeyBounds<'_>) -> Self {
        Self::new(snapshot, Family::Hist, Wanted::LivedAt(revision), bounds)
    }

    fn new(snapshot: &'s S, family: Family, wanted: Wanted, bounds: KeyBounds<'_>) -> Self {
        let KeyBounds { lower, upper, direction } = bounds;
        let upper_name = upper.map(|upper| first_name(family, upper));
        Self {
            snapshot,
            family,
            wanted,
            lower: lower.to_vec(),
            upper: upper.map(<[u8]>::to_vec),
            direction,
            rows: snapshot.scan_sparse(family, &first_name(family, lower), upper_name.as_deref(), direction),
            position: Position::Start,
            name: Vec::new(),
            key: Vec::new(),
        }
    }

    /// The next row, or `None` behind the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, EngineError> {
        let mut step = self.rows.step()?;
        if step == Step::Sparse {
            let name = match self.direction {
                Direction::Forward => self.next_name()?,
                Direction::Backward => self.name_below()?,
            };
            let Some(name) = name else { return Ok(None) };
            self.rows.seek(&name);
            step = self.rows.step()?;
        }
        match step {
            Step::End => Ok(None),
            Step::Sparse => Err(damaged("a row is there and cannot be sought")),
            Step::Row => {
                let (name, value) = self.rows.row();
                self.name.clear();
                self.name.extend_from_slice(name);
                self.position = Position::Row;
                Ok(Some((name, value)))
            }
        }
    }

    /// Jumps in scan direction, so that no row of a key before this one comes next. Backward, no row of the key itself either,
    /// unless it has one in `cur`.
    pub(crate) fn seek_key(&mut self, key: &[u8]) {
        self.name = first_name(self.family, key);
        self.sought(key);
    }

    /// Jumps in scan direction, past all rows that a key has in `hist`.
    pub(crate) fn seek_past_versions(&mut self, key: &[u8]) {
        match self.direction {
            Direction::Forward => {
                self.name = behind_versions(key);
                self.sought(&[key, &[0]].concat());
            }
            Direction::Backward => self.seek_key(key),
        }
    }

    fn sought(&mut self, key: &[u8]) {
        self.rows.seek(&self.name);
        self.key.clear();
        self.key.extend_from_slice(key);
        self.position = Position::Sought;
    }

    /// The key of the last row, or the one that was jumped to.
    fn last_key(&self) -> Result<Vec<u8>, EngineError> {
        match (self.position, self.family) {
            (Position::Row, Family::Hist) => {
                Ok(split_hist_key(&self.name).map_err(|why| EngineError::Corrupt(why.to_string()))?.0)
            }
            (Position::Row, _) => Ok(self.name.clone()),
            (Position::Start | Position::Sought, _) => Ok(self.key.clone()),
        }
    }

    /// Name of the next row of a scan forward, found by way of the blocks.
    fn next_name(&self) -> Result<Option<Vec<u8>>, EngineError> {
        let from = if self.position == Position::Start { self.lower.clone() } else { self.last_key()? };
        let first = match self.position {
            Position::Start => first_name(self.family, &self.lower),
            Position::Row => [&self.name[..], &[0]].concat(),
            Position::Sought => self.name.clone(),
        };
        let mut found = None;
        stretches_from(self.snapshot, &from, self.upper.as_deref(), self.wanted, |stretch| {
            let lower = first_name(self.family, &stretch.start).max(first.clone());
            let ends = [stretch.end.as_deref(), self.upper.as_deref()];
            let end = ends.into_iter().flatten().min().map(|end| first_name(self.family, end));
            let mut rows = self.snapshot.scan(self.family, &lower, end.as_deref(), Direction::Forward);
            found = rows.next()?.map(|(name, _)| name.to_vec());
            Ok(found.is_some())
        })?;
        Ok(found)
    }

    /// Name of the next row of a scan backward, found by way of the blocks.
    fn name_below(&self) -> Result<Option<Vec<u8>>, EngineError> {
        let below = match self.position {
            Position::Start => self.upper.clone(),
            Position::Row | Position::Sought => Some([&self.last_key()?[..], &[0]].concat()),
        };
        let bound = match self.position {
            Position::Start => self.upper.as_ref().map(|upper| first_name(self.family, upper)),
            Position::Row => Some(self.name.clone()),
            Position::Sought => Some([&self.name[..], &[0]].concat()),
        };
        if self.position == Position::Row && self.family == Family::Hist {
            // Newer versions of the key at hand: whoever has seen an old one must see them, or would take that for the newest.
            let of_key = escape_key(&self.last_key()?);
            let mut rows = self.snapshot.scan(self.family, &of_key, Some(&self.name), Direction::Backward);
            if let Some((name, _)) = rows.next()? {
                return Ok(Some(name.to_vec()));
            }
        }
        let mut found = None;
        stretches_below(self.snapshot, below.as_deref(), &self.lower, self.wanted, |stretch| {
            let lower = first_name(self.family, &stretch.start).max(first_name(self.family, &self.lower));
            let end = stretch.end.map(|end| first_name(self.family, &end));
            let end = [end, bound.clone()].into_iter().flatten().min();
            let mut rows = self.snapshot.scan(self.family, &lower, end.as_deref(), Direction::Backward);
            found = rows.next()?.map(|(name, _)| name.to_vec());
            Ok(found.is_some())
        })?;
        Ok(found)
    }
}

/// Name of the first row that a key can have in a family.
fn first_name(family: Family, key: &[u8]) -> Vec<u8> {
    if family == Family::Hist { escape_key(key) } else { key.to_vec() }
}

/// Where a walk forward through the past goes on that has come to `key`: there, or at the start of the next stretch in which
/// something may have lived at main revision `at`. `None` when there is no such stretch.
pub(crate) fn lived_from<S: Snapshot>(
    snapshot: &S,
    key: &[u8],
    upper: Option<&[u8]>,
    at: i64,
) -> Result<Option<Bytes>, EngineError> {
    let mut found = None;
    stretches_from(snapshot, key, upper, Wanted::LivedAt(at), |stretch| {
        found = Some(if &stretch.start[..] > key { stretch.start } else { Bytes::copy_from_slice(key) });
        Ok(true)
    })?;
    Ok(found)
}

/// As [`lived_from`] for a walk backward: the first key behind the next stretch that it has to look at, at most one behind `key`.
pub(crate) fn lived_below<S: Snapshot>(
    snapshot: &S,
    key: &[u8],
    lower: &[u8],
    at: i64,
) -> Result<Option<Bytes>, EngineError> {
    let behind = Bytes::from([key, &[0]].concat());
    let mut found = None;
    stretches_below(snapshot, Some(&behind), lower, Wanted::LivedAt(at), |stretch| {
        found = Some(stretch.end.map_or_else(|| behind.clone(), |end| end.min(behind.clone())));
        Ok(true)
    })?;
    Ok(found)
}

/// A stretch of keys, `start <= key < end`.
struct Stretch {
    start: Bytes,
    end: Option<Bytes>,
}

/// What is known of a store without blocks: nothing.
const UNKNOWN: BlockRow = BlockRow { keys: u64::MAX, dead: 0, died: 0 };

fn owned(row: Row<'_>) -> Result<(Bytes, BlockRow), EngineError> {
    read_block(row).map(|(start, block)| (Bytes::copy_from_slice(start), block))
}

/// Shows the blocks that can hold what is wanted, ascending from the one that owns `from`, until `visit` says that it is done.
fn stretches_from<S: Snapshot>(
    snapshot: &S,
    from: &[u8],
    upper: Option<&[u8]>,
    wanted: Wanted,
    mut visit: impl FnMut(Stretch) -> Result<bool, EngineError>,
) -> Result<(), EngineError> {
    let empty = |key: &[u8]| snapshot.empty_stretches().holding(key).filter(|stretch| wanted.is_not_in(stretch));
    let from = match empty(from) {
        Some(EmptyStretch { end: None, .. }) => return Ok(()),
        Some(EmptyStretch { end: Some(end), .. }) if upper.is_some_and(|upper| upper <= end) => return Ok(()),
        Some(EmptyStretch { end: Some(end), .. }) => end,
        None => from,
    };
    let mut floor = snapshot.scan(Family::Cnt, &[BLOCK], Some(&behind(BLOCK)), Direction::Backward);
    floor.seek(&row_key(BLOCK, from));
    let (mut start, mut block) = floor.next()?.map(owned).transpose()?.unwrap_or((Bytes::new(), UNKNOWN));
    let second = [&row_key(BLOCK, &start)[..], &[0]].concat();
    let mut rows = snapshot.scan(Family::Cnt, &second, Some(&behind(BLOCK)), Direction::Forward);
    let mut passed = 0;
    let mut ask_at = ONE_BY_ONE;
    loop {
        let mut next = rows.next()?.map(owned).transpose()?;
        passed += 1;
        if wanted.may_be_in(block) {
            passed = 0;
            let end = next.as_ref().map(|(start, _)| start.clone());
            if visit(Stretch { start, end })? {
                return Ok(());
            }
        }
        if wanted == Wanted::Living
            && passed >= ask_at
            && let Some((start, _)) = &next
        {
            // A group with keys may hold many blocks without: to ask at each of them would cost more than it saves.
            ask_at *= 2;
            if let Some(group) = group_with_keys(snapshot, start, Direction::Forward)? {
                let Some(group) = group.next else { return Ok(()) };
                rows.seek(&row_key(BLOCK, &group));
                next = rows.next()?.map(owned).transpose()?;
                passed = 0;
                ask_at = ONE_BY_ONE;
            }
        }
        if let Some(stretch) =
            next.as_ref().filter(|(_, block)| !wanted.may_be_in(*block)).and_then(|(start, _)| empty(start))
        {
            let Some(end) = &stretch.end else { return Ok(()) };
            rows.seek(&row_key(BLOCK, end));
            next = rows.next()?.map(owned).transpose()?;
        }
        match next {
            Some(next) if upper.is_none_or(|upper| &next.0[..] < upper) => (start, block) = next,
            _ => return Ok(()),
        }
    }
}

/// As [`stretches_from`], descending from the block that owns the last key below `below`.
fn stretches_below<S: Snapshot>(
    snapshot: &S,
    below: Option<&[u8]>,
    lower: &[u8],
    wanted: Wanted,
    mut visit: impl FnMut(Stretch) -> Result<bool, EngineError>,
) -> Result<(), EngineError> {
    let stretches = snapshot.empty_stretches();
    let known = stretches.below(below).filter(|stretch| wanted.is_not_in(stretch));
    if known.is_some_and(|stretch| stretch.start.is_empty() || &stretch.start[..] <= lower) {
        return Ok(());
    }
    let below = known.map(|stretch| &stretch.start[..]).or(below);
    let upper = below.map_or(Bytes::copy_from_slice(&behind(BLOCK)), |below| row_key(BLOCK, below));
    let mut rows = snapshot.scan(Family::Cnt, &[BLOCK], Some(&upper), Direction::Backward);
    let mut end = known.map(|stretch| stretch.start.clone());
    let mut passed = 0;
    let mut ask_at = ONE_BY_ONE;
    loop {
        let (start, block) = match rows.next()?.map(owned).transpose()? {
            Some(row) => row,
            None if end.is_none() => (Bytes::new(), UNKNOWN),
            None => return Ok(()),
        };
        passed += 1;
        if wanted.may_be_in(block) {
            passed = 0;
            if visit(Stretch { start: start.clone(), end })? {
                return Ok(());
            }
        }
        if start.is_empty() || &start[..] <= lower {
            return Ok(());
        }
        let known = stretches.holding(&start).filter(|stretch| stretch.start < start && wanted.is_not_in(stretch));
        if let Some(stretch) = known.filter(|_| !wanted.may_be_in(block)) {
            rows.seek(&row_key(BLOCK, &stretch.start));
            end = Some(start.clone());
            continue;
        }
        if wanted == Wanted::Living && passed >= ask_at {
            ask_at *= 2;
            if let Some(group) = group_with_keys(snapshot, &start, Direction::Backward)? {
                if group.next.is_none() {
                    return Ok(());
                }
                // A block of the group before may reach into the last one without keys: to the first block there.
                let from = row_key(BLOCK, &group.last_without);
                let mut first = snapshot.scan(Family::Cnt, &from, Some(&behind(BLOCK)), Direction::Forward);
                end = first.next()?.map(owned).transpose()?.map(|(start, _)| start);
                rows.seek(&from);
                passed = 0;
                ask_at = ONE_BY_ONE;
                continue;
            }
        }
        end = Some(start);
    }
}

/// Groups without keys have been passed over.
struct PassedGroups {
    /// Start of the last one without.
    last_without: Bytes,
    /// Start of the first one with keys, if there is one.
    next: Option<Bytes>,
}

/// Passes over groups without keys, beginning with the one that holds the block from `start` on; `None` when that one has keys.
fn group_with_keys<S: Snapshot>(
    snapshot: &S,
    start: &[u8],
    direction: Direction,
) -> Result<Option<PassedGroups>, EngineError> {
    let mut floor = snapshot.scan(Family::Cnt, &[GROUP], Some(&behind(GROUP)), Direction::Backward);
    floor.seek(&row_key(GROUP, start));
    let Some(own) = floor.next()? else { return Ok(None) };
    let (own, group) = read_group(own)?;
    if group.keys > 0 {
        return Ok(None);
    }
    let mut last_without = Bytes::copy_from_slice(own);
    let mut rows = match direction {
        Direction::Backward => floor,
        Direction::Forward => {
            let second = [&row_key(GROUP, &last_without)[..], &[0]].concat();
            snapshot.scan(Family::Cnt, &second, Some(&behind(GROUP)), Direction::Forward)
        }
    };
    while let Some(row) = rows.next()? {
        let (start, group) = read_group(row)?;
        if group.keys > 0 {
            return Ok(Some(PassedGroups { last_without, next: Some(Bytes::copy_from_slice(start)) }));
        }
        last_without = Bytes::copy_from_slice(start);
    }
    Ok(Some(PassedGroups { last_without, next: None }))
}
