//! Versions in the order of their revisions, made into rows of `log`, `cur` and `hist`: those that applying the writes would have
//! left, and a compaction that had come to its end.
//!
//! A version knows its predecessor by what `cur` says of its key so far, so that no map of all keys is held. What etcd's compaction
//! has scheduled and not deleted yet is left out, by the rules of `read::compaction_plan`. Must never put versions together that do
//! not follow each other: a store with a hole in its history would answer wrongly for ever.

use super::EtcdError;
use crate::apply::State;
use crate::engine::{Engine, Family, Op, Snapshot};
use crate::schema::{Damaged, Head, HistRow, INLINE_MAX, Kind, LogRow, hist_key};
use bytes::Bytes;
use model::{KeyValue, Revision};
use prost::Message;
use std::collections::HashMap;

/// Versions that are written together.
const ROWS: usize = 4096;
/// Bytes of them after which they are.
const BYTES: usize = 4 << 20;

/// A row of etcd's bucket `key`.
pub(super) struct Version {
    pub(super) revision: Revision,
    pub(super) deleted: bool,
    pub(super) kv: KeyValue,
}

/// See the file header.
pub(super) struct History<'e, E> {
    engine: &'e E,
    /// Sizes, and the compacted revision; the current one follows what comes in.
    pub(super) state: State,
    waiting: Vec<Version>,
    bytes: usize,
}

/// What the waiting versions do.
struct Round {
    /// Newest versions of their keys so far.
    heads: HashMap<Bytes, Option<Head>>,
    ops: Vec<Op>,
}

fn broken(revision: Revision, why: &'static str) -> EtcdError {
    EtcdError::History { main: revision.main, sub: revision.sub, why }
}

/// Logical bytes of a row in `cur`.
fn cur_bytes(key: &[u8], kv: u32) -> i64 {
    let inline = if kv as usize <= INLINE_MAX { kv as usize } else { 0 };
    (key.len() + Head::LEN + inline) as i64
}

/// A version that is nowhere: named as the predecessor where a compaction has removed it.
fn gone_before(revision: Revision) -> Revision {
    Revision::new(revision.main - 1, i64::MAX)
}

impl<'e, E: Engine> History<'e, E> {
    /// For an engine without rows in these families. `state` says the compacted revision.
    pub(super) fn new(engine: &'e E, state: State) -> Self {
        Self { engine, state, waiting: Vec::new(), bytes: 0 }
    }

    /// The next version.
    pub(super) fn add(&mut self, version: Version) -> Result<(), EtcdError> {
        let (revision, kv) = (version.revision, &version.kv);
        self.state.revision = self.state.revision.max(revision.main);
        if revision.main < 1 || kv.key.is_empty() {
            return Err(broken(revision, "a version of no key"));
        }
        let sound =
            kv.mod_revision == revision.main && kv.version > 0 && (1..=revision.main).contains(&kv.create_revision);
        if !version.deleted && !sound {
            return Err(broken(revision, "a version that says other revisions of itself"));
        }
        self.bytes += kv.key.len() + kv.value.len();
        self.waiting.push(version);
        if self.waiting.len() >= ROWS || self.bytes >= BYTES { self.write() } else { Ok(()) }
    }

    /// Writes what is left, and returns the numbers of all.
    pub(super) fn finish(mut self) -> Result<State, EtcdError> {
        self.write()?;
        self.state.revision = self.state.revision.max(self.state.compact);
        Ok(self.state)
    }

    fn write(&mut self) -> Result<(), EtcdError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let mut keys: Vec<&[u8]> = waiting.iter().map(|version| &version.kv.key[..]).collect();
        keys.sort_unstable();
        keys.dedup();
        let rows = self.engine.snapshot().multi_get(Family::Cur, &keys)?;
        let mut heads = HashMap::with_capacity(keys.len());
        for (key, row) in keys.into_iter().zip(rows) {
            let head = row.map(|row| Head::decode(&row)).transpose().map_err(damaged)?;
            heads.insert(Bytes::copy_from_slice(key), head);
        }
        let mut round = Round { heads, ops: Vec::with_capacity(waiting.len() * 4) };
        for version in waiting {
            let old = round.heads.get(&version.kv.key).copied().flatten();
            match version.deleted {
                true => self.delete(version, old, &mut round)?,
                false => self.put(version, old, &mut round)?,
            }
        }
        Ok(self.engine.write(round.ops)?)
    }

    fn put(&mut self, version: Version, old: Option<Head>, round: &mut Round) -> Result<(), EtcdError> {
        let Version { revision, kv, .. } = version;
        let forgotten = revision.main <= self.state.compact;
        let kind = if kv.version == 1 { Kind::Create } else { Kind::Update };
        let (superseded, superseded_len) = match (&old, kind) {
            (Some(_), Kind::Create) => return Err(broken(revision, "it creates a key that is there")),
            (Some(old), _) if forgotten || (old.version + 1, old.create) == (kv.version, kv.create_revision) => {
                (old.modified, old.len)
            }
            (Some(_), _) => return Err(broken(revision, "it does not follow the version before it")),
            (None, Kind::Create) => Default::default(),
            (None, _) if forgotten => (gone_before(revision), 0),
            (None, _) => return Err(broken(revision, "the version before it is missing")),
        };
        let encoded = Bytes::from(kv.encode_to_vec());
        let head = Head {
            create: kv.create_revision,
            modified: revision,
            version: kv.version,
            lease: kv.lease,
            len: encoded.len() as u32,
        };
        self.supersede(&kv.key, old, forgotten, round);
        self.log_row(revision, LogRow { kind, superseded, superseded_len, kv: encoded.clone() }, round);
        self.state.keys += 1;
        self.state.cur_bytes += cur_bytes(&kv.key, head.len);
        self.state.live_log_bytes += LogRow::bytes(encoded.len());
        round.ops.push(Op::Put { family: Family::Cur, key: kv.key.clone(), value: head.encode(&encoded) });
        round.heads.insert(kv.key, Some(head));
        Ok(())
    }

    fn delete(&mut self, version: Version, old: Option<Head>, round: &mut Round) -> Result<(), EtcdError> {
        let Version { revision, kv, .. } = version;
        let forgotten = revision.main <= self.state.compact;
        if old.is_none() && !forgotten {
            return Err(broken(revision, "it deletes a key that is not there"));
        }
        self.supersede(&kv.key, old, forgotten, round);
        if old.is_some() {
            round.ops.push(Op::Delete { family: Family::Cur, key: kv.key.clone() });
        }
        round.heads.insert(kv.key.clone(), None);
        // a compaction keeps a tombstone that is exactly as old as it
        if revision.main < self.state.compact {
            return Ok(());
        }
        let (superseded, superseded_len) = old.map_or((gone_before(revision), 0), |old| (old.modified, old.len));
        let tombstone = KeyValue { key: kv.key.clone(), mod_revision: revision.main, ..KeyValue::default() };
        let encoded = Bytes::from(tombstone.encode_to_vec());
        self.log_row(revision, LogRow { kind: Kind::Delete, superseded, superseded_len, kv: encoded }, round);
        self.hist_row(&kv.key, revision, HistRow { kind: Kind::Delete, create: 0, version: 0, lease: 0 }, round);
        Ok(())
    }

    /// What becomes of the version before: a part of the history, or nothing when that is forgotten.
    fn supersede(&mut self, key: &Bytes, old: Option<Head>, forgotten: bool, round: &mut Round) {
        let Some(old) = old else { return };
        self.state.keys -= 1;
        self.state.cur_bytes -= cur_bytes(key, old.len);
        self.state.live_log_bytes -= LogRow::bytes(old.len as usize);
        if forgotten {
            self.state.log_bytes -= LogRow::bytes(old.len as usize);
            if let Some(history) = &mut self.state.history {
                history.log -= 1;
            }
            let name = Bytes::copy_from_slice(&old.modified.to_bytes());
            round.ops.push(Op::Delete { family: Family::Log, key: name });
            return;
        }
        let kind = if old.version == 1 { Kind::Create } else { Kind::Update };
        let row = HistRow { kind, create: old.create, version: old.version, lease: old.lease };
        self.hist_row(key, old.modified, row, round);
    }

    fn log_row(&mut self, revision: Revision, row: LogRow, round: &mut Round) {
        self.state.log_bytes += LogRow::bytes(row.kv.len());
        if let Some(history) = &mut self.state.history {
            history.log += 1;
        }
        let name = Bytes::copy_from_slice(&revision.to_bytes());
        round.ops.push(Op::Put { family: Family::Log, key: name, value: row.encode() });
    }

    fn hist_row(&mut self, key: &Bytes, revision: Revision, row: HistRow, round: &mut Round) {
        let name = Bytes::from(hist_key(key, revision));
        if let Some(history) = &mut self.state.history {
            history.hist += 1;
            history.hist_bytes += (name.len() + HistRow::LEN) as i64;
        }
        round.ops.push(Op::Put { family: Family::Hist, key: name, value: row.encode() });
    }
}

/// A row that was just written does not read back.
pub(super) fn damaged(why: Damaged) -> EtcdError {
    EtcdError::Open(why.into())
}
