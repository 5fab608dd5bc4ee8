//! A whole database of etcd's into an empty store of ours.
//!
//! The rows that make a store of the others are written last, so that whatever an error leaves is taken for none. Must never hold
//! more than a batch of rows, and what few rows the small buckets have.

use super::EtcdError;
use super::history::{History, Version, damaged};
use super::rows;
use crate::apply::meta_rows::encode_conf_state;
use crate::apply::{FORMAT_VERSION, LeaseRow, MemberIds, MemberRow, State};
use crate::auth::rows::{decode_role, decode_user};
use crate::count::Rebuild;
use crate::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use crate::schema::{Head, meta};
use bbolt::{Database, Source};
use bytes::{BufMut, Bytes, BytesMut};
use model::KeyValue;
use prost::Message;
use raft::{ConfState, LogId};
use std::collections::HashMap;

/// Rows that are written together.
const ROWS: usize = 4096;
/// The newest minor version of etcd whose cluster version is kept; a newer one is left for the cluster to settle.
const NEWEST_MINOR: u64 = 7;

/// What was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The numbers of the store.
    pub state: State,
    /// Versions that were read, those included that a compaction has given up.
    pub versions: u64,
    /// Who votes, as far as the database says; releases before 3.5 do not.
    pub conf_state: Option<ConfState>,
    /// Version of the storage, as text; empty before 3.6.
    pub storage_version: String,
}

/// Fills an empty `engine` from a database. The store that comes out belongs to `owner`, who should give it another membership
/// ([`rehome`](crate::apply::rehome)) before it is served. `progress` is told the bytes of keys and values that were read.
///
/// # Errors
/// [`EtcdError`]. The engine may hold rows then, but nothing that is taken for a store: throw its folder away.
pub fn import<S: Source, E: Engine>(
    database: &Database<S>,
    engine: &E,
    owner: MemberIds,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, EtcdError> {
    refuse_full(engine)?;
    let about = small(database, rows::META)?.ok_or(EtcdError::NoBucket(rows::META))?;
    let conf_state = about.get(rows::CONF_STATE).map(|value| {
        rows::decode_conf_state(value).ok_or_else(|| damaged_row(rows::META, rows::CONF_STATE, "no membership"))
    });
    let conf_state = conf_state.transpose()?;
    let mut state = numbers(&about)?;
    let mut versions = 0;
    (state, versions) = history(database, engine, state, versions, progress)?;
    let mut others = Others { engine, ops: Vec::new() };
    others.leases(database)?;
    state.leases = others.count_leases()?;
    others.keys()?;
    others.auth(database)?;
    others.alarms(database)?;
    others.members(database, conf_state.as_ref())?;
    others.cluster_version(database)?;
    others.flush()?;
    engine.flush()?;
    engine.write(last(&state, owner))?;
    engine.flush()?;
    let storage_version = about.get(rows::STORAGE_VERSION).map(|text| String::from_utf8_lossy(text).into_owned());
    Ok(Imported { state, versions, conf_state, storage_version: storage_version.unwrap_or_default() })
}

fn damaged_row(bucket: &'static str, key: &[u8], why: &'static str) -> EtcdError {
    EtcdError::Row { bucket, key: key.escape_ascii().to_string(), why }
}

fn refuse_full<E: Engine>(engine: &E) -> Result<(), EtcdError> {
    let snapshot = engine.snapshot();
    for family in Family::ALL {
        if snapshot.scan(family, &[], None, Direction::Forward).next()?.is_some() {
            return Err(EtcdError::NotEmpty);
        }
    }
    Ok(())
}

/// All rows of a bucket that has few; `None` when there is no such bucket.
pub(super) fn small<S: Source>(
    database: &Database<S>,
    name: &str,
) -> Result<Option<HashMap<Vec<u8>, Bytes>>, EtcdError> {
    let Some(bucket) = database.bucket(name.as_bytes())? else { return Ok(None) };
    let (mut rows, mut found) = (database.rows(&bucket), HashMap::new());
    while let Some(row) = rows.next()? {
        found.insert(row.key.to_vec(), Bytes::copy_from_slice(&row.value));
    }
    Ok(Some(found))
}

/// What the bucket `meta` says of applied entries and compactions.
fn numbers(about: &HashMap<Vec<u8>, Bytes>) -> Result<State, EtcdError> {
    let number = |key: &'static [u8]| match about.get(key) {
        Some(value) => rows::number(value).map(Some).ok_or_else(|| damaged_row(rows::META, key, "no number")),
        None => Ok(None),
    };
    let revision = |key: &'static [u8]| match about.get(key) {
        Some(value) => {
            let decoded = rows::decode_revision(value).map(|(revision, _)| revision.main);
            decoded.ok_or_else(|| damaged_row(rows::META, key, "no revision"))
        }
        None => Ok(-1),
    };
    let (index, term) = (number(rows::CONSISTENT_INDEX)?.unwrap_or(0), number(rows::TERM)?.unwrap_or(0));
    // the history that comes in leaves out what a compaction up to there would delete
    let compact = revision(rows::SCHEDULED)?.max(revision(rows::FINISHED)?);
    // a term before the first does not exist; releases before 3.5 do not say theirs
    let applied = LogId { term: term.max(u64::from(index > 0)), index };
    Ok(State { compact, compact_done: compact, ..State::new(applied) })
}

fn history<S: Source, E: Engine>(
    database: &Database<S>,
    engine: &E,
    state: State,
    mut versions: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(State, u64), EtcdError> {
    let bucket = database.bucket(rows::KEY.as_bytes())?.ok_or(EtcdError::NoBucket(rows::KEY))?;
    let mut history = History::new(engine, state);
    let mut all = database.rows(&bucket);
    let mut bytes = 0;
    while let Some(row) = all.next()? {
        let bad = |why| damaged_row(rows::KEY, &row.key, why);
        let (revision, deleted) = rows::decode_revision(&row.key).ok_or_else(|| bad("no revision"))?;
        bytes += (row.key.len() + row.value.len()) as u64;
        if row.value.is_empty() {
            // a restore with a jump of the revision writes a row like this, which is of no key
            history.state.revision = history.state.revision.max(revision.main);
            continue;
        }
        let kv = KeyValue::decode(row.value.clone()).map_err(|_| bad("its key-value does not read back"))?;
        versions += 1;
        history.add(Version { revision, deleted, kv })?;
        if versions.is_multiple_of(ROWS as u64) {
            progress(bytes);
        }
    }
    Ok((history.finish()?, versions))
}

/// Rows that are not history, on their way in.
struct Others<'e, E> {
    engine: &'e E,
    ops: Vec<Op>,
}

impl<E: Engine> Others<'_, E> {
    fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<(), EtcdError> {
        self.ops.push(Op::Put { family: Family::Meta, key: key.into(), value: value.into() });
        if self.ops.len() >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EtcdError> {
        let ops = std::mem::take(&mut self.ops);
        if ops.is_empty() { Ok(()) } else { Ok(self.engine.write(ops)?) }
    }

    /// Calls `take` with every row of a bucket; one that is not there has none.
    fn bucket<S: Source>(
        &mut self,
        database: &Database<S>,
        name: &'static str,
        mut take: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), EtcdError>,
    ) -> Result<(), EtcdError> {
        let Some(bucket) = database.bucket(name.as_bytes())? else { return Ok(()) };
        let mut rows = database.rows(&bucket);
        while let Some(row) = rows.next()? {
            take(self, &row.key, &row.value)?;
        }
        Ok(())
    }

    fn leases<S: Source>(&mut self, database: &Database<S>) -> Result<(), EtcdError> {
        self.bucket(database, rows::LEASE, |others, key, value| {
            let lease = rows::Lease::decode(value).ok().filter(|lease| rows::number(key) == Some(lease.id as u64));
            let lease = lease.ok_or_else(|| damaged_row(rows::LEASE, key, "no lease, or another one"))?;
            let row = LeaseRow { ttl: lease.ttl, remaining: lease.remaining };
            others.put(meta::lease(lease.id), row.encode())
        })?;
        self.flush()
    }

    fn count_leases(&self) -> Result<i64, EtcdError> {
        let snapshot = self.engine.snapshot();
        let mut scan = snapshot.scan_once(Family::Meta, &[meta::LEASE], Some(&[meta::LEASE + 1]), Direction::Forward);
        let mut count = 0;
        while scan.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// Counts the living keys, and attaches them to their leases.
    fn keys(&mut self) -> Result<(), EtcdError> {
        let snapshot = self.engine.snapshot();
        let mut scan = snapshot.scan_once(Family::Cur, &[], None, Direction::Forward);
        let mut counts = Rebuild::new();
        while let Some((key, row)) = scan.next()? {
            counts.key(key, &mut self.ops);
            let lease = Head::decode(row).map_err(damaged)?.lease;
            // etcd, too, leaves a key alone whose lease is gone
            if lease != 0 && snapshot.get(Family::Meta, &meta::lease(lease))?.is_some() {
                self.put(meta::attached(lease, key), Bytes::new())?;
            }
            if self.ops.len() >= ROWS {
                self.flush()?;
            }
        }
        counts.finish(&mut self.ops);
        self.flush()
    }

    fn auth<S: Source>(&mut self, database: &Database<S>) -> Result<(), EtcdError> {
        if let Some(about) = small(database, rows::AUTH)? {
            let enabled = about.get(rows::AUTH_ENABLED).is_some_and(|value| value[..] == [1]);
            let revision = about.get(rows::AUTH_REVISION).map(|value| rows::number(value));
            let bad = || damaged_row(rows::AUTH, rows::AUTH_REVISION, "no number");
            let revision = revision.map(|number| number.ok_or_else(bad)).transpose()?;
            let mut value = BytesMut::with_capacity(9);
            value.put_u8(u8::from(enabled));
            value.put_u64(revision.unwrap_or(1).max(1));
            self.put(meta::AUTH, value.freeze())?;
        }
        for (name, prefix) in [(rows::USERS, meta::AUTH_USER), (rows::ROLES, meta::AUTH_ROLE)] {
            self.bucket(database, name, |others, key, value| {
                let row = [&[prefix], key].concat();
                let is_sound = match prefix {
                    meta::AUTH_USER => decode_user(&row, value).is_ok(),
                    _ => decode_role(&row, value).is_ok(),
                };
                match is_sound {
                    true => others.put(row, Bytes::copy_from_slice(value)),
                    false => Err(damaged_row(name, key, "no user or role, or one of another name")),
                }
            })?;
        }
        Ok(())
    }

    fn alarms<S: Source>(&mut self, database: &Database<S>) -> Result<(), EtcdError> {
        self.bucket(database, rows::ALARM, |others, key, _| {
            let alarm = rows::Alarm::decode(key).ok().filter(|alarm| (0..=2).contains(&alarm.kind));
            let alarm = alarm.ok_or_else(|| damaged_row(rows::ALARM, key, "no alarm of a known kind"))?;
            let mut name = BytesMut::with_capacity(10);
            name.put_u8(meta::ALARM);
            name.put_u64(alarm.member);
            name.put_u8(alarm.kind as u8);
            others.put(name.freeze(), Bytes::new())
        })
    }

    fn members<S: Source>(&mut self, database: &Database<S>, conf: Option<&ConfState>) -> Result<(), EtcdError> {
        let (mut ids, keyed) =
            (ConfState::default(), |prefix: u8, id: u64| [&[prefix], &id.to_be_bytes()[..]].concat());
        self.bucket(database, rows::MEMBERS, |others, key, value| {
            let bad = || damaged_row(rows::MEMBERS, key, "no member");
            let id = rows::decode_member_key(key).ok_or_else(bad)?;
            let (row, is_learner): (MemberRow, bool) = rows::decode_member(value).ok_or_else(bad)?;
            if is_learner {
                ids.learners.push(id)
            } else {
                ids.voters.push(id)
            }
            others.put(keyed(meta::MEMBER, id), row.encode_to_vec())
        })?;
        self.bucket(database, rows::REMOVED, |others, key, _| {
            let id = rows::decode_member_key(key).ok_or_else(|| damaged_row(rows::REMOVED, key, "no member"))?;
            others.put(keyed(meta::REMOVED, id), Bytes::new())
        })?;
        self.put(meta::CONF_STATE, encode_conf_state(conf.unwrap_or(&ids)))
    }

    fn cluster_version<S: Source>(&mut self, database: &Database<S>) -> Result<(), EtcdError> {
        let Some(about) = small(database, rows::CLUSTER)? else { return Ok(()) };
        let Some(version) = about.get(rows::CLUSTER_VERSION) else { return Ok(()) };
        let known = std::str::from_utf8(version).ok().and_then(|text| {
            let mut parts = text.split('.').map(|part| part.parse::<u64>().ok());
            Some(parts.next()?? == 3 && parts.next()?? <= NEWEST_MINOR)
        });
        if known == Some(true) { self.put(meta::CLUSTER_VERSION, version.clone()) } else { Ok(()) }
    }
}

/// The rows without which nobody takes the others for a store.
fn last(state: &State, owner: MemberIds) -> Vec<Op> {
    let put = |key: &'static [u8], value: Bytes| Op::Put { family: Family::Meta, key: Bytes::from_static(key), value };
    vec![
        put(meta::REVISIONS, state.revisions_row()),
        put(meta::SIZES, state.sizes_row()),
        put(meta::IDENTITY, owner.encode()),
        put(meta::APPLIED, state.applied_row()),
        put(meta::FORMAT, Bytes::copy_from_slice(&FORMAT_VERSION.to_be_bytes())),
    ]
}
