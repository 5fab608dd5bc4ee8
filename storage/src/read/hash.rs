//! HashKV, equal to that of a restarted etcd with the same history, and the diagnostic hash of everything.
//!
//! etcd hashes the bucket name `key`, then key and value of every row in revision order up to the revision asked for. Rows
//! at or below the compacted revision count when their key still shows them at the revision asked for; when no key lives
//! then, etcd counts all rows that the compaction left. A tombstone exactly at the compacted revision never counts. Must
//! never depend on how far the deletion behind a compaction has come.

use super::at::At;
use super::kv_bytes::key_span;
use super::overlay::NoOverlay;
use super::source::Source;
use super::walk::{Bounds, newest_in_hist};
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Head, Kind, LogRow, meta};
use crate::view::View;
use bytes::Bytes;
use crc32c::crc32c_append;
use model::{ReadError, Revision};
use std::ops::ControlFlow;

/// Rows below the compaction whose liveness is looked up together.
const ROWS: usize = 256;
/// Bytes of them after which they are looked up.
const BYTES: usize = 1 << 20;

/// Answer to HashKV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC32C.
    pub hash: u32,
    /// The compacted revision it was computed with; -1 before any compaction.
    pub compact_revision: i64,
    /// The revision it is about.
    pub hash_revision: i64,
}

/// Hash of every version up to `revision` (zero: the current one). Reads the whole `log`, in bounded memory.
///
/// # Errors
/// [`ReadError::Compacted`], [`ReadError::FutureRevision`], [`ReadError::Store`].
pub fn hash_kv<S: Snapshot>(view: &View<S>, revision: i64) -> Result<HashKv, ReadError> {
    let At { revision: current, compact_revision } = At::of(view);
    if revision > current {
        return Err(ReadError::FutureRevision);
    }
    if revision > 0 && revision < compact_revision {
        return Err(ReadError::Compacted);
    }
    let hash_revision = if revision == 0 { current } else { revision };
    let lives = anything_lives(view, hash_revision)?;
    hash_up_to(view, hash_revision, lives)
}

/// The hash of `revision`; `lives` says whether rows at or below the compaction count only while their keys show them.
fn hash_up_to<S: Snapshot>(view: &View<S>, hash_revision: i64, lives: bool) -> Result<HashKv, ReadError> {
    let compact_revision = view.status.compact_revision;
    let mut hasher = Hasher::new(view, if lives { hash_revision } else { compact_revision });
    // A negative revision is no error in etcd: nothing is at or below it.
    if hash_revision > 0 {
        let end = Revision::new(hash_revision.saturating_add(1), 0);
        let mut scan = view.snapshot.scan_once(Family::Log, &[], Some(&end.to_bytes()), Direction::Forward);
        while let Some((key, row)) = scan.next()? {
            hasher.row(key, row)?;
        }
    }
    hasher.settle()?;
    Ok(HashKv { hash: hasher.hash, compact_revision, hash_revision })
}

/// What [`hash_kv`] answered for `target` just before the compaction that went up to there, from a view in which its rows are not
/// deleted yet. etcd keeps such hashes: they stay comparable when the rows are gone.
///
/// # Errors
/// [`ReadError::Store`].
pub fn hash_before_compaction<S: Snapshot>(view: &View<S>, before: i64, target: i64) -> Result<HashKv, ReadError> {
    let mut earlier = view.clone();
    earlier.status.compact_revision = before;
    let lives = anything_lives(&earlier, target)? || deletes_at(&earlier.snapshot, target)?;
    hash_up_to(&earlier, target, lives)
}

/// True when a key was deleted at this main revision. A compaction keeps such a tombstone, which etcd counts as a row that lives.
fn deletes_at<S: Snapshot>(snapshot: &S, revision: i64) -> Result<bool, ReadError> {
    let (from, end) = (Revision::new(revision, 0), Revision::new(revision.saturating_add(1), 0));
    let mut scan = snapshot.scan_once(Family::Log, &from.to_bytes(), Some(&end.to_bytes()), Direction::Forward);
    while let Some((_, row)) = scan.next()? {
        if LogRow::decode_head(row)?.0 == Kind::Delete {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Hasher<'v, S> {
    snapshot: &'v S,
    compacted: i64,
    /// Revision at which a row at or below the compaction must be what its key shows.
    shown_at: i64,
    hash: u32,
    /// Rows at or below the compaction whose liveness is not yet known.
    waiting: Vec<(Revision, Bytes)>,
    waiting_bytes: usize,
}

impl<'v, S: Snapshot> Hasher<'v, S> {
    fn new(view: &'v View<S>, shown_at: i64) -> Self {
        Self {
            snapshot: &view.snapshot,
            compacted: view.status.compact_revision,
            shown_at,
            hash: crc32c::crc32c(b"key"),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    fn row(&mut self, key: &[u8], row: &[u8]) -> Result<(), ReadError> {
        let revision = Revision::from_bytes(key).ok_or_else(|| ReadError::Store("log row with a bad key".into()))?;
        if revision.main > self.compacted {
            self.settle()?;
            return self.count(revision, row);
        }
        // A tombstone is never what a key shows.
        if LogRow::decode_head(row)?.0 != Kind::Delete {
            self.waiting.push((revision, Bytes::copy_from_slice(row)));
            self.waiting_bytes += row.len();
        }
        if self.waiting.len() >= ROWS || self.waiting_bytes >= BYTES {
            self.settle()?;
        }
        Ok(())
    }

    /// Counts those waiting rows that their keys show.
    fn settle(&mut self) -> Result<(), ReadError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(waiting.len());
        for (_, row) in &waiting {
            let kv = &row[LogRow::HEAD..];
            keys.push(&kv[key_span(kv)?]);
        }
        let current = self.snapshot.multi_get(Family::Cur, &keys)?;
        for (((revision, row), key), cur) in waiting.iter().zip(keys).zip(current) {
            if self.shows(key, *revision, cur.as_deref())? {
                self.count(*revision, row)?;
            }
        }
        Ok(())
    }

    fn shows(&self, key: &[u8], revision: Revision, cur: Option<&[u8]>) -> Result<bool, ReadError> {
        let newest = cur.map(Head::decode).transpose()?.map(|head| head.modified);
        if let Some(newest) = newest.filter(|newest| newest.main <= self.shown_at) {
            return Ok(newest == revision);
        }
        let newest = newest_in_hist(self.snapshot, key, self.shown_at)?;
        Ok(newest.is_some_and(|(newest, _)| newest == revision))
    }

    fn count(&mut self, revision: Revision, row: &[u8]) -> Result<(), ReadError> {
        let tombstone = LogRow::decode_head(row)?.0 == Kind::Delete;
        let kv = &row[LogRow::HEAD..];
        // etcd's tombstones hold the key alone.
        let kv = if tombstone { &kv[..key_span(kv)?.end] } else { kv };
        let mut name = [b't'; 18];
        name[..8].copy_from_slice(&revision.main.to_be_bytes());
        name[8] = b'_';
        name[9..17].copy_from_slice(&revision.sub.to_be_bytes());
        self.hash = crc32c_append(self.hash, &name[..if tombstone { 18 } else { 17 }]);
        self.hash = crc32c_append(self.hash, kv);
        Ok(())
    }
}

fn anything_lives<S: Snapshot>(view: &View<S>, revision: i64) -> Result<bool, ReadError> {
    let source = Source { snapshot: &view.snapshot, overlay: &NoOverlay, at: At::of(view), revision };
    let mut any = false;
    source.walk(Bounds { lower: &[], upper: None, direction: Direction::Forward }, |_| {
        any = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(any)
}

/// CRC32C of all rows that describe the replicated state; for diagnosis only, as it depends on how far a compaction's deletion
/// has come. Left out, as etcd does with its like: what a member keeps of itself, applied index, conf state, counts.
///
/// # Errors
/// [`ReadError::Store`].
pub fn hash_db<S: Snapshot>(view: &View<S>) -> Result<u32, ReadError> {
    const OWN: [&[u8]; 6] =
        [meta::APPLIED, meta::CONF_STATE, meta::REVISIONS, meta::SIZES, meta::CHUNK, meta::IDENTITY];
    let mut hash = 0;
    for family in [Family::Log, Family::Cur, Family::Hist, Family::Meta] {
        hash = crc32c_append(hash, family.name().as_bytes());
        let mut scan = view.snapshot.scan_once(family, &[], None, Direction::Forward);
        while let Some((key, value)) = scan.next()? {
            if family == Family::Meta && OWN.contains(&key) {
                continue;
            }
            for part in [key, value] {
                hash = crc32c_append(hash, &(part.len() as u32).to_be_bytes());
                hash = crc32c_append(hash, part);
            }
        }
    }
    Ok(hash)
}
