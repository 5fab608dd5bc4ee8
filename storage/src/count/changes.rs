//! What was created and deleted, by revision: how a count of the past is the present one less what happened since.
//!
//! `log` says the same, but at the price of every update and every value. Here a thousand changes stand in one row, updates
//! leave nothing, and the newest few revisions, of which no row speaks yet, are read from `log`. Rows are cut as versions go
//! by and written in the batch of the version they end with. Must never be needed: where rows are missing (a restored store
//! has none), `log` and the keys themselves say how many there were.
//!
//! | row | key | value |
//! |---|---|---|
//! | changes | `02`, last version spoken of (16) | last version before (16), then for each change: main revision less that of the version before (varint), key length twice, plus one for a delete (varint), key |

use super::rows::{CHANGES, behind, damaged};
use crate::engine::{Direction, EngineError, Family, Op, Scan, Snapshot};
use crate::read::key_of;
use crate::schema::{Kind, LogRow};
use bytes::{BufMut, Bytes};
use model::Revision;
use prost::encoding::{decode_varint, encode_varint};

/// A row is cut when one of these is reached: changes; versions, and bytes of `log`, that would have to be read without it.
const ROW_CHANGES: u32 = if cfg!(test) { 4 } else { 1024 };
const ROW_VERSIONS: u32 = if cfg!(test) { 9 } else { 16 << 10 };
const ROW_BYTES: usize = 4 << 20;
/// Versions and bytes of `log` read when a store opens: what a row may lack, and one batch of any size.
const UNSPOKEN_VERSIONS: u32 = 8 * ROW_VERSIONS;
const UNSPOKEN_BYTES: usize = ROW_BYTES + (16 << 20);
/// Rows that one step of a compaction drops at most.
const DROPPED: usize = 256;

/// The row that is being filled.
#[derive(Debug)]
pub struct Changes {
    /// Last version of the row before.
    from: Revision,
    /// First byte on: the row's value so far.
    row: Vec<u8>,
    changes: u32,
    versions: u32,
    bytes: usize,
    /// Rows that end within the batch at hand.
    cut: Vec<Op>,
}

impl Changes {
    /// Of the store that `snapshot` shows, which forgot everything before the main revision `compact`. What no row speaks of
    /// yet is read from `log`, and left unspoken where that is too much.
    ///
    /// # Errors
    /// [`EngineError`] when rows cannot be read.
    pub fn new<S: Snapshot>(snapshot: &S, compact: i64) -> Result<Self, EngineError> {
        let mut newest = snapshot.scan(Family::Cnt, &[CHANGES], Some(&behind(CHANGES)), Direction::Backward);
        let spoken = newest.next()?.map(|(key, row)| read_changes(key, row).map(|row| row.upto)).transpose()?;
        let from = spoken.unwrap_or_default().max(Revision::new(compact.max(0), i64::MAX));
        let mut this = Self::behind(from);
        let mut log = snapshot.scan_once(Family::Log, &successor(from).to_bytes(), None, Direction::Forward);
        let (mut versions, mut bytes) = (0, 0);
        while let Some((version, row)) = log.next()? {
            let version = Revision::from_bytes(version).ok_or_else(|| damaged("a version in `log` has a bad name"))?;
            (versions, bytes) = (versions + 1, bytes + row.len());
            if versions > UNSPOKEN_VERSIONS || bytes > UNSPOKEN_BYTES {
                return Ok(Self::behind(last_version(snapshot)?));
            }
            let (kind, key) = change(row)?;
            this.wrote(version, kind, key, row.len());
        }
        Ok(this)
    }

    fn behind(from: Revision) -> Self {
        let mut this = Self { from, row: Vec::new(), changes: 0, versions: 0, bytes: 0, cut: Vec::new() };
        this.begin(from);
        this
    }

    fn begin(&mut self, from: Revision) {
        (self.from, self.changes, self.versions, self.bytes) = (from, 0, 0, 0);
        self.row.clear();
        self.row.put_slice(&from.to_bytes());
    }

    /// Notes a version that the batch at hand writes, and the bytes of its row in `log`. To be called for each, in order.
    pub fn wrote(&mut self, version: Revision, kind: Kind, key: &[u8], bytes: usize) {
        self.versions += 1;
        self.bytes += bytes;
        if kind != Kind::Update {
            let dead = u64::from(kind == Kind::Delete);
            encode_varint(version.main.abs_diff(self.from.main), &mut self.row);
            encode_varint(2 * key.len() as u64 + dead, &mut self.row);
            self.row.put_slice(key);
            self.changes += 1;
        }
        if self.changes >= ROW_CHANGES || self.versions >= ROW_VERSIONS || self.bytes.max(self.row.len()) >= ROW_BYTES {
            let value = Bytes::copy_from_slice(&self.row);
            self.cut.push(Op::Put { family: Family::Cnt, key: changes_key(version), value });
            self.begin(version);
        }
    }

    /// Rows that end within the batch at hand: to be written with it.
    pub fn take(&mut self, ops: &mut Vec<Op>) {
        ops.append(&mut self.cut);
    }
}

/// Deletes some rows that end at or before the main revision `compact`, when those up to `done` are gone; true when there are
/// no more.
///
/// # Errors
/// [`EngineError`] when rows cannot be read.
pub fn forget_changes<S: Snapshot>(
    snapshot: &S,
    done: i64,
    compact: i64,
    ops: &mut Vec<Op>,
) -> Result<bool, EngineError> {
    let start = changes_key(Revision::new(done.max(0), 0));
    let end = changes_key(Revision::new(compact.saturating_add(1), 0));
    let mut rows = snapshot.scan_once(Family::Cnt, &start, Some(&end), Direction::Forward);
    for _ in 0..DROPPED {
        let Some((key, _)) = rows.next()? else { return Ok(true) };
        ops.push(Op::Delete { family: Family::Cnt, key: Bytes::copy_from_slice(key) });
    }
    Ok(rows.next()?.is_none())
}

/// A key that was created or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change<'r> {
    /// Main revision.
    pub(crate) revision: i64,
    pub(crate) deleted: bool,
    pub(crate) key: &'r [u8],
}

/// A row as it reads back.
#[derive(Debug)]
pub(crate) struct ChangesRow<'r> {
    /// Last version before it.
    pub(crate) from: Revision,
    /// Last version it speaks of.
    pub(crate) upto: Revision,
    rest: &'r [u8],
}

impl<'r> ChangesRow<'r> {
    /// The next change, in the order of versions.
    pub(crate) fn next(&mut self) -> Result<Option<Change<'r>>, EngineError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut number = || decode_varint(&mut self.rest).map_err(|_| damaged("a row of changes ends in a number"));
        let (after, tagged) = (number()?, number()?);
        let key = usize::try_from(tagged / 2).ok().and_then(|len| self.rest.split_at_checked(len));
        let (key, rest) = key.ok_or_else(|| damaged("a row of changes ends in a key"))?;
        self.rest = rest;
        let main = self.from.main.checked_add_unsigned(after).filter(|main| *main <= self.upto.main);
        let main = main.ok_or_else(|| damaged("a row of changes speaks of a later revision"))?;
        Ok(Some(Change { revision: main, deleted: tagged % 2 == 1, key }))
    }
}

/// Reads a row.
pub(crate) fn read_changes<'r>(key: &[u8], value: &'r [u8]) -> Result<ChangesRow<'r>, EngineError> {
    let upto = key.strip_prefix(&[CHANGES]).and_then(Revision::from_bytes);
    let from = value.split_at_checked(Revision::LEN).and_then(|(from, rest)| Some((Revision::from_bytes(from)?, rest)));
    let (Some(upto), Some((from, rest))) = (upto, from) else {
        return Err(damaged("a row of changes does not read back"));
    };
    Ok(ChangesRow { from, upto, rest })
}

/// Name of the row that ends with this version.
pub(crate) fn changes_key(upto: Revision) -> Bytes {
    [&[CHANGES][..], &upto.to_bytes()].concat().into()
}

/// First name behind all rows of changes.
pub(crate) fn behind_changes() -> [u8; 1] {
    behind(CHANGES)
}

/// The next version that could be.
pub(crate) fn successor(version: Revision) -> Revision {
    match version.sub.checked_add(1) {
        Some(sub) => Revision::new(version.main, sub),
        None => Revision::new(version.main.saturating_add(1), 0),
    }
}

/// What a row of `log` did, and to which key.
pub(crate) fn change(row: &[u8]) -> Result<(Kind, &[u8]), EngineError> {
    let unreadable = |why: crate::schema::Damaged| EngineError::Corrupt(why.to_string());
    let (kind, _) = LogRow::decode_head(row).map_err(unreadable)?;
    Ok((kind, key_of(&row[LogRow::HEAD..]).map_err(unreadable)?))
}

fn last_version<S: Snapshot>(snapshot: &S) -> Result<Revision, EngineError> {
    let mut log = snapshot.scan(Family::Log, &[], None, Direction::Backward);
    let last = log.next()?.map(|(version, _)| Revision::from_bytes(version));
    Ok(last.flatten().unwrap_or_default())
}
