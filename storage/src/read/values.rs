//! From found keys to the bytes of an answer: small key-values are copied into one buffer, the others fetched from `log`.
//!
//! Must never fetch more at once than the caller's budget allows: whoever collects pieces knows their lengths.

use super::kv_bytes::{field_len, key_of, keys_only_len, put_keys_only};
use super::plan::Shape;
use super::walk::{Found, Kv};
use crate::engine::{Family, Snapshot};
use crate::schema::{Head, LogRow};
use bytes::Bytes;
use model::{KeyValue, ReadError, Revision};
use prost::Message;

/// Versions of unknown length that are fetched together: few, because each may be as large as a request.
pub(super) const UNKNOWN: usize = 4;
/// Rows fetched from `log` by one call at most.
const FETCH: usize = 256;

/// One key-value of an answer, before it is fetched.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// In the shared buffer, from here to there.
    Copied(usize, usize),
    /// In `log`; the length is zero when unknown.
    Log(Revision, usize),
    /// At hand.
    Ready(Bytes),
}

/// Pieces of an answer with their buffer.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    buffer: Vec<u8>,
    list: Vec<Piece>,
}

impl Pieces {
    /// Appends a found key in the shape asked for; returns the length of its key-value, zero when not yet known.
    pub(super) fn push(&mut self, found: &Found<'_>, shape: Shape) -> usize {
        let start = self.buffer.len();
        let piece = match (shape, found.kv) {
            (Shape::KeysOnly { lease }, _) => {
                put_keys_only(&mut self.buffer, found.key, &found.head, lease);
                Piece::Copied(start, self.buffer.len())
            }
            (Shape::Full, Kv::Here(kv)) => {
                self.buffer.extend_from_slice(kv);
                Piece::Copied(start, self.buffer.len())
            }
            (Shape::Full, Kv::Shared(kv)) => Piece::Ready(kv.clone()),
            (Shape::Full, Kv::Log) => Piece::Log(found.head.modified, found.head.len as usize),
        };
        let len = match &piece {
            Piece::Copied(from, to) => to - from,
            Piece::Ready(kv) => kv.len(),
            Piece::Log(_, len) => *len,
        };
        self.list.push(piece);
        len
    }

    /// Fetches those whose length is unknown; returns the length of these.
    pub(super) fn settle<S: Snapshot>(&mut self, snapshot: &S) -> Result<usize, ReadError> {
        let unknown = |piece: &Piece| match piece {
            Piece::Log(revision, 0) => Some(*revision),
            _ => None,
        };
        let wanted: Vec<Revision> = self.list.iter().filter_map(unknown).collect();
        let mut fetched = fetch(snapshot, &wanted)?.into_iter();
        let mut bytes = 0;
        for piece in self.list.iter_mut().filter(|piece| unknown(piece).is_some()) {
            let kv = fetched.next().expect("one row was fetched for each piece of unknown length");
            bytes += kv.len();
            *piece = Piece::Ready(kv);
        }
        Ok(bytes)
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The key-values, in order.
    pub(super) fn fetch<S: Snapshot>(self, snapshot: &S) -> Result<Vec<Bytes>, ReadError> {
        let buffer = Bytes::from(self.buffer);
        let wanted: Vec<Revision> = self.list.iter().filter_map(revision_in_log).collect();
        let mut fetched = fetch(snapshot, &wanted)?.into_iter();
        let answer = self.list.into_iter().map(|piece| match piece {
            Piece::Copied(from, to) => buffer.slice(from..to),
            Piece::Ready(kv) => kv,
            Piece::Log(..) => fetched.next().expect("one row was fetched for each piece in `log`"),
        });
        Ok(answer.collect())
    }
}

fn revision_in_log(piece: &Piece) -> Option<Revision> {
    match piece {
        Piece::Log(revision, _) => Some(*revision),
        Piece::Copied(..) | Piece::Ready(_) => None,
    }
}

/// The key-values of versions that must be there, in the order asked.
pub(super) fn fetch<S: Snapshot>(snapshot: &S, revisions: &[Revision]) -> Result<Vec<Bytes>, ReadError> {
    let mut out = Vec::with_capacity(revisions.len());
    for part in revisions.chunks(FETCH) {
        let keys: Vec<[u8; Revision::LEN]> = part.iter().map(|r| r.to_bytes()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|k| &k[..]).collect();
        for (row, revision) in snapshot.multi_get(Family::Log, &keys)?.into_iter().zip(part) {
            out.push(LogRow::decode(row.ok_or_else(|| missing(*revision))?)?.kv);
        }
    }
    Ok(out)
}

/// The key-value of one version that must be there.
pub(super) fn fetch_one<S: Snapshot>(snapshot: &S, revision: Revision) -> Result<Bytes, ReadError> {
    let row = snapshot.get(Family::Log, &revision.to_bytes())?;
    Ok(LogRow::decode(row.ok_or_else(|| missing(revision))?)?.kv)
}

/// What is wrong when a version's row is not there.
pub(super) fn missing(revision: Revision) -> ReadError {
    ReadError::Store(format!("log row {}.{} is missing though a key points at it", revision.main, revision.sub))
}

/// The whole key-value of a found key.
pub(super) fn full<S: Snapshot>(snapshot: &S, found: &Found<'_>) -> Result<Bytes, ReadError> {
    match found.kv {
        Kv::Here(kv) => Ok(Bytes::copy_from_slice(kv)),
        Kv::Shared(kv) => Ok(kv.clone()),
        Kv::Log => fetch_one(snapshot, found.head.modified),
    }
}

/// The value inside an encoded key-value.
pub(super) fn value_of(kv: Bytes) -> Result<Bytes, ReadError> {
    let kv = KeyValue::decode(kv).map_err(|e| ReadError::Store(format!("stored key-value does not decode: {e}")))?;
    Ok(kv.value)
}

/// A key-value of the given head in the shape asked for.
pub(super) fn shaped(kv: Bytes, head: &Head, shape: Shape) -> Result<Bytes, ReadError> {
    match shape {
        Shape::Full => Ok(kv),
        Shape::KeysOnly { lease } => {
            let mut out = Vec::new();
            put_keys_only(&mut out, key_of(&kv)?, head, lease);
            Ok(out.into())
        }
    }
}

/// Length of a found key's key-value in the shape asked for; zero when unknown.
pub(super) fn len_of(found: &Found<'_>, shape: Shape) -> usize {
    match shape {
        Shape::KeysOnly { lease } => keys_only_len(found.key, &found.head, lease),
        Shape::Full => found.head.len as usize,
    }
}

/// Length of the fields that versions in `log` will take; empties the list.
pub(super) fn fields_len<S: Snapshot>(snapshot: &S, revisions: &mut Vec<Revision>) -> Result<u64, ReadError> {
    let kvs = fetch(snapshot, revisions)?;
    revisions.clear();
    Ok(kvs.iter().map(|kv| field_len(kv.len())).sum())
}
