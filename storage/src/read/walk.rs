//! Walks over the keys of a range as they are now, or as they were: one visit per living key, in key order.
//!
//! The present is a scan of `cur`. The past merges `cur` (keys not changed since) with `hist` (the newest version that is old
//! enough); a key with many versions costs one seek. Both go around what was deleted ([`count`](crate::count) knows where). Must
//! never read a value.

pub(super) use crate::count::KeyBounds as Bounds;
use crate::count::{AroundScan, lived_below, lived_from};
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Head, HistRow, Kind, behind_versions, hist_key, split_hist_key};
use bytes::Bytes;
use model::{ReadError, Revision};
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// Where the key-value of a found key stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kv<'a> {
    /// Here.
    Here(&'a [u8]),
    /// Here, in a buffer that can be shared.
    Shared(&'a Bytes),
    /// In `log`, under the head's `modified`.
    Log,
}

/// A living key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) key: &'a [u8],
    /// Its head; `len` is zero when unknown (versions of the past).
    pub(super) head: Head,
    pub(super) kv: Kv<'a>,
}

/// What a visitor answers: go on or stop.
pub(super) type Visited = Result<ControlFlow<()>, ReadError>;

/// A living key from its row in `cur`.
pub(super) fn found<'a>(key: &'a [u8], row: &'a [u8]) -> Result<Found<'a>, ReadError> {
    let kv = Head::inline(row).map_or(Kv::Log, Kv::Here);
    Ok(Found { key, head: Head::decode(row)?, kv })
}

/// Visits the keys of the present.
pub(super) fn present<S: Snapshot>(
    snapshot: &S,
    bounds: Bounds<'_>,
    mut visit: impl FnMut(Found<'_>) -> Visited,
) -> Result<(), ReadError> {
    if bounds.is_empty() {
        return Ok(());
    }
    let mut scan = AroundScan::living(snapshot, bounds);
    while let Some((key, row)) = scan.next()? {
        if visit(found(key, row)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Keys in a row that did not live at the revision, after which the blocks are asked where to go on.
const MISSES: u32 = if cfg!(test) { 3 } else { 64 };

/// Visits the keys as they were at main revision `at`.
pub(super) fn past<S: Snapshot>(
    snapshot: &S,
    bounds: Bounds<'_>,
    at: i64,
    mut visit: impl FnMut(Found<'_>) -> Visited,
) -> Result<(), ReadError> {
    if bounds.is_empty() {
        return Ok(());
    }
    let direction = bounds.direction;
    let mut cur = CurPeek::new(AroundScan::living(snapshot, bounds))?;
    let mut hist = HistPeek::new(AroundScan::lived_at(snapshot, at, bounds), direction)?;
    let mut missed = 0;
    loop {
        let in_cur = match (&cur.key, hist.row) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(key), Some(_)) if direction == Direction::Forward => key.cmp(&hist.key),
            (Some(key), Some(_)) => hist.key.cmp(key),
        };
        let version = if in_cur.is_ge() { hist.take_version(snapshot, at)? } else { None };
        let found = match &cur.key {
            Some(key) if in_cur.is_le() && cur.head.modified.main <= at => {
                let kv = if cur.inline.is_empty() { Kv::Log } else { Kv::Here(&cur.inline) };
                Some(Found { key, head: cur.head, kv })
            }
            _ => version.map(|head| Found { key: &hist.taken, head, kv: Kv::Log }),
        };
        missed = if found.is_some() { 0 } else { missed + 1 };
        if let Some(found) = found
            && visit(found)?.is_break()
        {
            return Ok(());
        }
        if in_cur.is_le() {
            cur.advance()?;
        }
        if missed >= MISSES {
            missed = 0;
            hist.go_around(snapshot, bounds, at)?;
        }
    }
}

/// A scan of `cur` with its next row in hand, in buffers that are used again.
struct CurPeek<'s, S: Snapshot> {
    scan: AroundScan<'s, S>,
    key: Option<Vec<u8>>,
    head: Head,
    inline: Vec<u8>,
}

impl<'s, S: Snapshot> CurPeek<'s, S> {
    fn new(scan: AroundScan<'s, S>) -> Result<Self, ReadError> {
        let head = Head { create: 0, modified: Revision::default(), version: 0, lease: 0, len: 0 };
        let mut peek = Self { scan, key: Some(Vec::new()), head, inline: Vec::new() };
        peek.advance()?;
        Ok(peek)
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        let buffer = self.key.take().unwrap_or_default();
        if let Some((key, row)) = self.scan.next()? {
            self.head = Head::decode(row)?;
            self.inline.clear();
            self.inline.extend_from_slice(Head::inline(row).unwrap_or_default());
            self.key = Some(refill(buffer, key));
        }
        Ok(())
    }
}

fn refill(mut buffer: Vec<u8>, with: &[u8]) -> Vec<u8> {
    buffer.clear();
    buffer.extend_from_slice(with);
    buffer
}

/// Rows of one key that are stepped over before the scan is made to jump: a jump costs about as much as ten steps.
const STEPS: usize = if cfg!(test) { 2 } else { 8 };

/// A scan of `hist` with its next row in hand, in buffers that are used again.
struct HistPeek<'s, S: Snapshot> {
    scan: AroundScan<'s, S>,
    direction: Direction,
    /// The row in hand; `key` and `revision` are its name.
    row: Option<HistRow>,
    key: Vec<u8>,
    revision: Revision,
    /// The key that was taken last.
    taken: Vec<u8>,
}

impl<'s, S: Snapshot> HistPeek<'s, S> {
    fn new(scan: AroundScan<'s, S>, direction: Direction) -> Result<Self, ReadError> {
        let revision = Revision::default();
        let mut peek = Self { scan, direction, row: None, key: Vec::new(), revision, taken: Vec::new() };
        peek.advance()?;
        Ok(peek)
    }

    /// Jumps over keys of which none lived at `at`, as far as the blocks know.
    fn go_around(&mut self, snapshot: &S, bounds: Bounds<'_>, at: i64) -> Result<(), ReadError> {
        if self.row.is_none() {
            return Ok(());
        }
        let to = match self.direction {
            Direction::Forward => lived_from(snapshot, &self.key, bounds.upper, at)?,
            Direction::Backward => lived_below(snapshot, &self.key, bounds.lower, at)?,
        };
        let Some(to) = to else {
            self.row = None;
            return Ok(());
        };
        let ahead = match self.direction {
            Direction::Forward => to[..] > self.key[..],
            Direction::Backward => to[..] <= self.key[..],
        };
        if ahead {
            self.scan.seek_key(&to);
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        self.row = match self.scan.next()? {
            None => None,
            Some((name, row)) => {
                self.revision = split_into(name, &mut self.key)?;
                Some(HistRow::decode(row)?)
            }
        };
        Ok(())
    }

    /// Head of the version of the key in hand that was the newest at `at`, if it lived then. Moves on to the next key.
    fn take_version(&mut self, snapshot: &S, at: i64) -> Result<Option<Head>, ReadError> {
        std::mem::swap(&mut self.key, &mut self.taken);
        self.key.clone_from(&self.taken);
        let mut newest = None;
        let mut steps = 0;
        while let Some(row) = self.row.filter(|_| self.key == self.taken) {
            let old_enough = self.revision.main <= at;
            // Forward, the first one that is old enough is the newest of them; backward, the last one.
            if old_enough && (newest.is_none() || self.direction == Direction::Backward) {
                newest = Some((self.revision, row));
            }
            steps += 1;
            if steps <= STEPS {
                self.advance()?;
                continue;
            }
            if self.direction == Direction::Backward || newest.is_none() {
                newest = newest_in_hist(snapshot, &self.taken, at)?;
            }
            self.scan.seek_past_versions(&self.taken);
            self.advance()?;
        }
        Ok(newest.and_then(|(revision, row)| past_head(revision, row)))
    }
}

/// Splits the name of a version as [`split_hist_key`] does, into a buffer: most keys hold no zero byte and are not escaped.
fn split_into(name: &[u8], key: &mut Vec<u8>) -> Result<Revision, ReadError> {
    const TAIL: usize = 2 + Revision::LEN;
    let plain = name
        .len()
        .checked_sub(TAIL)
        .map(|end| &name[..end])
        .filter(|plain| !plain.contains(&0) && name[plain.len()..].starts_with(&[0, 1]));
    let Some(plain) = plain else {
        let (split, revision) = split_hist_key(name)?;
        *key = split;
        return Ok(revision);
    };
    let mut inverted = [0; Revision::LEN];
    inverted.iter_mut().zip(&name[plain.len() + 2..]).for_each(|(to, from)| *to = !from);
    key.clear();
    key.extend_from_slice(plain);
    Revision::from_bytes(&inverted).ok_or_else(|| ReadError::Store("row of `hist` with a bad revision".into()))
}

/// The newest version in `hist` of `key` at or before main revision `at`, tombstones included.
pub(super) fn newest_in_hist<S: Snapshot>(
    snapshot: &S,
    key: &[u8],
    at: i64,
) -> Result<Option<(Revision, HistRow)>, ReadError> {
    let lower = hist_key(key, Revision::new(at, i64::MAX));
    let mut scan = snapshot.scan(Family::Hist, &lower, Some(&behind_versions(key)), Direction::Forward);
    let Some((row_key, row)) = scan.next()? else { return Ok(None) };
    Ok(Some((split_hist_key(row_key)?.1, HistRow::decode(row)?)))
}

/// Head of a version of the past; `None` for a tombstone.
pub(super) fn past_head(modified: Revision, row: HistRow) -> Option<Head> {
    let head = Head { create: row.create, modified, version: row.version, lease: row.lease, len: 0 };
    (row.kind != Kind::Delete).then_some(head)
}
