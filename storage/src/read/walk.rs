//! Walks over the keys of a range as they are now, or as they were: one visit per living key, in key order.
//!
//! The present is a scan of `cur`. The past merges `cur` (keys not changed since) with `hist` (the newest version that is old
//! enough); a key with many versions costs one seek. Must never read a value.

use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Head, HistRow, Kind, escape_key, hist_key, split_hist_key};
use bytes::Bytes;
use model::{ReadError, Revision};
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

/// Bounds of a walk: `lower <= key < upper`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    pub(super) lower: &'a [u8],
    pub(super) upper: Option<&'a [u8]>,
    pub(super) direction: Direction,
}

impl Bounds<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.upper.is_some_and(|upper| self.lower >= upper)
    }
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
    let mut scan = snapshot.scan(Family::Cur, bounds.lower, bounds.upper, bounds.direction);
    while let Some((key, row)) = scan.next()? {
        if visit(found(key, row)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

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
    let mut cur = CurPeek::new(snapshot.scan(Family::Cur, bounds.lower, bounds.upper, direction))?;
    let (lower, upper) = (escape_key(bounds.lower), bounds.upper.map(escape_key));
    let hist = snapshot.scan(Family::Hist, &lower, upper.as_deref(), direction);
    let mut hist = HistPeek { scan: hist, direction, row: None };
    hist.advance()?;
    loop {
        let in_cur = match (&cur.key, &hist.row) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some((b, _))) if direction == Direction::Forward => a.cmp(&b.key),
            (Some(a), Some((b, _))) => b.key.cmp(a),
        };
        let unchanged = in_cur.is_le() && cur.head.modified.main <= at;
        let answer = if unchanged {
            let key = cur.key.as_deref().expect("the merge chose a key of `cur`");
            let kv = if cur.inline.is_empty() { Kv::Log } else { Kv::Here(&cur.inline) };
            let answer = visit(Found { key, head: cur.head, kv })?;
            if in_cur.is_eq() {
                hist.skip_key()?;
            }
            answer
        } else if in_cur.is_ge() {
            match hist.version(snapshot, at)? {
                Some((key, head)) => visit(Found { key: &key, head, kv: Kv::Log })?,
                None => ControlFlow::Continue(()),
            }
        } else {
            ControlFlow::Continue(())
        };
        if answer.is_break() {
            return Ok(());
        }
        if in_cur.is_le() {
            cur.advance()?;
        }
    }
}

/// A scan of `cur` with its next row in hand, in buffers that are used again.
struct CurPeek<C> {
    scan: C,
    key: Option<Vec<u8>>,
    head: Head,
    inline: Vec<u8>,
}

impl<C: Scan> CurPeek<C> {
    fn new(scan: C) -> Result<Self, ReadError> {
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

/// Name of a version in `hist`.
struct Named {
    key: Vec<u8>,
    revision: Revision,
}

/// A scan of `hist` with its next row in hand.
struct HistPeek<C> {
    scan: C,
    direction: Direction,
    row: Option<(Named, HistRow)>,
}

impl<C: Scan> HistPeek<C> {
    fn advance(&mut self) -> Result<(), ReadError> {
        self.row = match self.scan.next()? {
            None => None,
            Some((key, row)) => {
                let (key, revision) = split_hist_key(key)?;
                Some((Named { key, revision }, HistRow::decode(row)?))
            }
        };
        Ok(())
    }

    /// Moves behind all versions of the key in hand.
    fn skip_key(&mut self) -> Result<(), ReadError> {
        let Some((named, _)) = &self.row else { return Ok(()) };
        let beyond = match self.direction {
            Direction::Forward => behind_versions(&named.key),
            Direction::Backward => escape_key(&named.key),
        };
        self.scan.seek(&beyond);
        self.advance()
    }

    /// The version of the key in hand that was the newest at `at`, if the key lived then; moves behind the key.
    fn version<S: Snapshot>(&mut self, snapshot: &S, at: i64) -> Result<Option<(Vec<u8>, Head)>, ReadError> {
        let (named, row) = self.row.take().expect("the merge chose a key of `hist`");
        let newest = match self.direction {
            Direction::Backward => newest_in_hist(snapshot, &named.key, at)?,
            Direction::Forward if named.revision.main <= at => Some((named.revision, row)),
            Direction::Forward => {
                self.scan.seek(&hist_key(&named.key, Revision::new(at, i64::MAX)));
                self.advance()?;
                self.row.as_ref().filter(|(next, _)| next.key == named.key).map(|(next, row)| (next.revision, *row))
            }
        };
        if self.row.as_ref().is_none_or(|(next, _)| next.key == named.key) {
            self.row = Some((Named { key: named.key.clone(), revision: named.revision }, row));
            self.skip_key()?;
        }
        Ok(newest.and_then(|(revision, row)| past_head(revision, row)).map(|head| (named.key, head)))
    }
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

/// First key in `hist` behind all versions of `key`.
pub(super) fn behind_versions(key: &[u8]) -> Vec<u8> {
    let mut out = escape_key(key);
    *out.last_mut().expect("the terminator is there") += 1;
    out
}

/// Head of a version of the past; `None` for a tombstone.
pub(super) fn past_head(modified: Revision, row: HistRow) -> Option<Head> {
    let head = Head { create: row.create, modified, version: row.version, lease: row.lease, len: 0 };
    (row.kind != Kind::Delete).then_some(head)
}
