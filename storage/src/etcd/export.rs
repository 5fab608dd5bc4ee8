//! A store of ours as a snapshot of etcd's: a bbolt database with etcd's buckets, and its SHA-256.
//!
//! The rows of `log` are those of etcd's bucket `key` in the same order, so that one pass over them makes the file, which is sent
//! while it is made. How long it will be is known before: the small buckets are made once to count their pages, and the store counts
//! its versions and their bytes, of which a bound follows that is close; pages that are not needed are free ones (ADR 0061). Must
//! never hold more than a chunk, a leaf and a key for each leaf.

use super::rows;
use crate::apply::meta_rows::decode_conf_state;
use crate::apply::{HistoryRows, LeaseRow, MemberRow, OpenError, State};
use crate::auth::rows::decode_switch;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::read::key_of;
use crate::schema::{Damaged, Kind, LogRow, meta};
use crate::snapshot::{CHUNK_BYTES, HASH_BYTES, StreamEnd};
use aws_lc_rs::digest;
use bbolt::{BucketWriter, FileWriter, Pages, WriteError, leaf_pages_at_most};
use bytes::{Bytes, BytesMut};
use model::{KeyValue, Revision};
use prost::Message;
use raft::ConfState;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Size of bbolt's pages.
const PAGE: u64 = bbolt::page::PAGE as u64;

/// Why a stream ended before its end.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A bucket of few rows, which are read twice: to count its pages, and to write them.
#[derive(Clone, Copy, Debug)]
enum SmallBucket {
    /// Rows that stand in memory, ready.
    Ready(&'static str),
    /// Rows of this name, under this prefix of `meta`, taken over as they are.
    Named(&'static str, u8),
    /// Leases.
    Leases,
}

/// All buckets but that of the versions.
const SMALL_BUCKETS: [SmallBucket; 9] = [
    SmallBucket::Ready(rows::ALARM),
    SmallBucket::Ready(rows::AUTH),
    SmallBucket::Named(rows::ROLES, meta::AUTH_ROLE),
    SmallBucket::Named(rows::USERS, meta::AUTH_USER),
    SmallBucket::Ready(rows::CLUSTER),
    SmallBucket::Leases,
    SmallBucket::Ready(rows::MEMBERS),
    SmallBucket::Ready(rows::REMOVED),
    SmallBucket::Ready(rows::META),
];

/// Rows by bucket, ascending.
type Ready = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A snapshot of etcd's, about to be sent.
#[derive(Clone)]
pub struct EtcdSource<S> {
    snapshot: S,
    ready: Ready,
    pages: u64,
}

impl<S: Snapshot> EtcdSource<S> {
    /// The stream of `snapshot`, as etcd of `storage_version` (`3.7.0`, say) would send it. A store that does not count its history is
    /// walked once to learn the length.
    ///
    /// # Errors
    /// [`OpenError`] when rows are missing or damaged: such a store is nothing to send.
    pub fn new(snapshot: S, storage_version: &str) -> Result<Self, OpenError> {
        let state = State::read(&snapshot)?;
        let ready = ready(&snapshot, &state, storage_version)?;
        let counted = state.history.map(|HistoryRows { log, .. }| (log as u64, state.log_bytes as u64));
        let (versions, bytes) = match counted {
            Some(counted) => counted,
            None => count(&snapshot)?,
        };
        // of each version our row has a longer key and a head that etcd's has not; a tombstone's key is one byte longer
        let ours = (Revision::LEN + LogRow::HEAD) as u64;
        let theirs = (rows::REVISION + 1) as u64;
        let bytes = bytes.saturating_sub(versions * ours) + versions * theirs;
        let mut source = Self { snapshot, ready, pages: 0 };
        let mut counting = Pages::new(io::sink(), 0);
        for small in SMALL_BUCKETS {
            let mut bucket = BucketWriter::new(&mut counting);
            source.fill(small, &mut bucket).and_then(|()| Ok(bucket.finish()?)).map_err(unreadable)?;
        }
        let own = FileWriter::<io::Sink>::OWN_PAGES;
        source.pages = own + counting.next() + leaf_pages_at_most(versions, bytes, theirs);
        Ok(source)
    }

    /// Length of the database, without the hash behind it.
    pub fn total_bytes(&self) -> u64 {
        self.pages * PAGE
    }

    /// Hands out the database chunk by chunk, until `take` wants no more.
    ///
    /// # Errors
    /// [`EngineError`] when rows cannot be read, or are others than the store counts: the stream is then broken off.
    pub fn send(self, take: impl FnMut(Bytes) -> ControlFlow<()>) -> Result<StreamEnd, EngineError> {
        let buffer = BytesMut::with_capacity(2 * CHUNK_BYTES);
        let mut chunks = Chunks { buffer, hash: digest::Context::new(&digest::SHA256), take, broken: false };
        match self.write(&mut chunks) {
            Err(_) if chunks.broken => return Ok(StreamEnd::Broken),
            Err(ExportError::Engine(why)) => return Err(why),
            Err(why) => return Err(EngineError::Corrupt(format!("SN-LENGTH: {why}"))),
            Ok(()) => {}
        }
        if !chunks.buffer.is_empty() && chunks.give(chunks.buffer.len()).is_err() {
            return Ok(StreamEnd::Broken);
        }
        let hash: [u8; HASH_BYTES] = chunks.hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(StreamEnd::Whole(hash))
    }

    fn write(&self, out: impl Write) -> Result<(), ExportError> {
        let mut file = FileWriter::begin(out, self.pages)?;
        for small in SMALL_BUCKETS {
            file.bucket(small.name().as_bytes(), |bucket| self.fill(small, bucket))?;
        }
        file.bucket(rows::KEY.as_bytes(), |bucket| self.versions(bucket))?;
        file.finish()?;
        Ok(())
    }

    fn fill<W: Write>(&self, small: SmallBucket, bucket: &mut BucketWriter<'_, W>) -> Result<(), ExportError> {
        match small {
            SmallBucket::Ready(name) => {
                for (key, value) in self.ready.get(name).into_iter().flatten() {
                    bucket.put(key, value)?;
                }
            }
            SmallBucket::Named(_, prefix) => {
                let mut scan = self.under(prefix);
                while let Some((key, value)) = scan.next()? {
                    bucket.put(&key[1..], value)?;
                }
            }
            SmallBucket::Leases => {
                // etcd orders ids as unsigned numbers: those below zero come last
                let (first, zero, end) = (vec![meta::LEASE], meta::lease(0), vec![meta::LEASE + 1]);
                for (lower, upper) in [(&zero, &end), (&first, &zero)] {
                    self.leases(lower, upper, bucket)?;
                }
            }
        }
        Ok(())
    }

    fn under(&self, prefix: u8) -> S::Scan<'_> {
        self.snapshot.scan_once(Family::Meta, &[prefix], Some(&[prefix + 1]), Direction::Forward)
    }

    fn leases<W: Write>(
        &self,
        lower: &[u8],
        upper: &[u8],
        bucket: &mut BucketWriter<'_, W>,
    ) -> Result<(), ExportError> {
        let mut scan = self.snapshot.scan_once(Family::Meta, lower, Some(upper), Direction::Forward);
        while let Some((key, value)) = scan.next()? {
            let id = meta::lease_id(key).ok_or(Damaged { family: "meta", why: "bad lease" })?;
            let LeaseRow { ttl, remaining } = LeaseRow::decode(value)?;
            bucket.put(&id.to_be_bytes(), &rows::Lease { id, ttl, remaining }.encode_to_vec())?;
        }
        Ok(())
    }

    fn versions<W: Write>(&self, bucket: &mut BucketWriter<'_, W>) -> Result<(), ExportError> {
        let mut scan = self.snapshot.scan_once(Family::Log, &[], None, Direction::Forward);
        while let Some((key, row)) = scan.next()? {
            let revision = Revision::from_bytes(key).ok_or(Damaged { family: "log", why: "bad key" })?;
            let deleted = LogRow::decode_head(row)?.0 == Kind::Delete;
            let (name, length) = rows::revision_key(revision, deleted);
            let kv = &row[LogRow::HEAD..];
            match deleted {
                // etcd's tombstones hold the key alone
                true => {
                    let tombstone = KeyValue { key: Bytes::copy_from_slice(key_of(kv)?), ..KeyValue::default() };
                    bucket.put(&name[..length], &tombstone.encode_to_vec())?;
                }
                false => bucket.put(&name[..length], kv)?,
            }
        }
        Ok(())
    }
}

impl<S> std::fmt::Debug for EtcdSource<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EtcdSource({} pages)", self.pages)
    }
}

impl SmallBucket {
    fn name(self) -> &'static str {
        match self {
            Self::Ready(name) | Self::Named(name, _) => name,
            Self::Leases => rows::LEASE,
        }
    }
}

/// What reading rows to count pages can say.
fn unreadable(why: ExportError) -> OpenError {
    match why {
        ExportError::Engine(why) => why.into(),
        ExportError::Damaged(why) => why.into(),
        ExportError::Write(why) => EngineError::Corrupt(why.to_string()).into(),
    }
}

/// Versions and the bytes of their rows, by reading them.
fn count<S: Snapshot>(snapshot: &S) -> Result<(u64, u64), EngineError> {
    let mut scan = snapshot.scan_once(Family::Log, &[], None, Direction::Forward);
    let (mut versions, mut bytes) = (0, 0);
    while let Some((key, row)) = scan.next()? {
        versions += 1;
        bytes += (key.len() + row.len()) as u64;
    }
    Ok((versions, bytes))
}

/// The rows that are made rather than taken over.
fn ready<S: Snapshot>(snapshot: &S, state: &State, storage_version: &str) -> Result<Ready, OpenError> {
    let mut ready = Ready::new();
    let mut put = |bucket, key: &[u8], value: &[u8]| {
        ready.entry(bucket).or_default().insert(key.to_vec(), value.to_vec());
    };
    put(rows::META, rows::CONSISTENT_INDEX, &state.applied.index.to_be_bytes());
    put(rows::META, rows::TERM, &state.applied.term.to_be_bytes());
    put(rows::META, rows::STORAGE_VERSION, storage_version.as_bytes());
    for (key, revision) in [(rows::SCHEDULED, state.compact), (rows::FINISHED, state.compact_done)] {
        if revision >= 0 {
            let (value, length) = rows::revision_key(Revision::new(revision, 0), false);
            put(rows::META, key, &value[..length]);
        }
    }
    let row = |key: &'static [u8]| snapshot.get(Family::Meta, key);
    let conf = row(meta::CONF_STATE)?.map(|value| decode_conf_state(&value)).transpose()?.unwrap_or_default();
    put(rows::META, rows::CONF_STATE, &rows::conf_state(&conf));
    let (enabled, revision) = row(meta::AUTH)?.map(|value| decode_switch(&value)).transpose()?.unwrap_or((false, 1));
    put(rows::AUTH, rows::AUTH_ENABLED, &[u8::from(enabled)]);
    put(rows::AUTH, rows::AUTH_REVISION, &revision.to_be_bytes());
    if let Some(version) = row(meta::CLUSTER_VERSION)? {
        put(rows::CLUSTER, rows::CLUSTER_VERSION, &version);
    }
    alarms(snapshot, &mut put)?;
    members(snapshot, &conf, &mut put)?;
    Ok(ready)
}

fn alarms<S: Snapshot>(snapshot: &S, put: &mut impl FnMut(&'static str, &[u8], &[u8])) -> Result<(), OpenError> {
    let mut scan = snapshot.scan(Family::Meta, &[meta::ALARM], Some(&[meta::ALARM + 1]), Direction::Forward);
    while let Some((key, _)) = scan.next()? {
        let bad = Damaged { family: "meta", why: "bad alarm" };
        let (id, kind) = key[1..].split_first_chunk::<8>().ok_or(bad.clone())?;
        let alarm = rows::Alarm { member: u64::from_be_bytes(*id), kind: (*kind.first().ok_or(bad)?).into() };
        put(rows::ALARM, &alarm.encode_to_vec(), &[]);
    }
    Ok(())
}

fn members<S: Snapshot>(
    snapshot: &S,
    conf: &ConfState,
    put: &mut impl FnMut(&'static str, &[u8], &[u8]),
) -> Result<(), OpenError> {
    let bad = Damaged { family: "meta", why: "bad member" };
    for prefix in [meta::MEMBER, meta::REMOVED] {
        let mut scan = snapshot.scan(Family::Meta, &[prefix], Some(&[prefix + 1]), Direction::Forward);
        while let Some((key, value)) = scan.next()? {
            let id = u64::from_be_bytes(key[1..].try_into().map_err(|_| bad.clone())?);
            let name = rows::member_key(id);
            if prefix == meta::REMOVED {
                put(rows::REMOVED, name.as_bytes(), b"removed");
                continue;
            }
            let row = MemberRow::decode(value).map_err(|_| bad.clone())?;
            put(rows::MEMBERS, name.as_bytes(), &rows::member(id, &row, conf.learners.contains(&id)));
        }
    }
    Ok(())
}

/// Cuts what is written into chunks, and hashes them.
struct Chunks<F> {
    buffer: BytesMut,
    hash: digest::Context,
    take: F,
    /// Whoever takes the chunks wanted no more.
    broken: bool,
}

impl<F: FnMut(Bytes) -> ControlFlow<()>> Chunks<F> {
    fn give(&mut self, length: usize) -> io::Result<()> {
        let chunk = self.buffer.split_to(length).freeze();
        self.hash.update(&chunk);
        self.broken = (self.take)(chunk).is_break();
        if self.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl<F: FnMut(Bytes) -> ControlFlow<()>> Write for Chunks<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // a long value is taken in pieces, so that no more than a chunk is ever held
        let bytes = &bytes[..bytes.len().min(CHUNK_BYTES)];
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= CHUNK_BYTES {
            self.give(CHUNK_BYTES)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
