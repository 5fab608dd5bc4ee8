//! What the committed entries mean, by a second hand: maps and loops over whole histories, written from etcd's rules.
//!
//! Holds every entry, every version and every position for good, so that any view, answer or stream can be judged later.
//! Must never look at the store under test.

use super::replay_members::Members;
use super::replay_users::Users;
use super::violation::{Checked, hold};
use bytes::Bytes;
use crc32c::crc32c_append;
use model::request::*;
use model::{Applied, ApplyError, Command, Envelope, KeyRange, KeyValue, OpOutcome, Origin, Outcome, RangeOutcome};
use prost::Message;
use raft::{Entry, EntryKind, LogId};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Ids of client operations start here; smaller ones are proposed by owners inside the node.
pub const FIRST_OP: u64 = 1 << 40;

/// A version of a key; without a value it is a tombstone.
#[derive(Clone, Debug)]
struct Version {
    main: i64,
    sub: i64,
    kv: Option<KeyValue>,
}

/// A change of a key, as watchers see it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Main revision.
    pub main: i64,
    /// The key.
    pub key: Bytes,
    /// What it is now; `None` for a delete.
    pub kv: Option<KeyValue>,
    /// What it was.
    pub prev: Option<KeyValue>,
}

/// Where the store stands behind an entry.
#[derive(Clone, Debug)]
pub struct Position {
    /// Term of the entry.
    pub term: u64,
    /// Revision.
    pub revision: i64,
    /// Compact revision, -1 for none.
    pub compact: i64,
    /// Leases and their granted seconds.
    pub leases: Rc<BTreeMap<i64, i64>>,
    /// Who the members are.
    pub members: Rc<Members>,
    /// Users and roles.
    pub users: Rc<Users>,
}

/// What an operation's entry did.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where it stands.
    pub index: u64,
    /// The only right answer.
    pub applied: Applied,
}

/// The header of etcd's `InternalRaftRequest`: what names an operation inside its entry.
#[derive(Clone, PartialEq, prost::Message)]
struct WithHeader {
    #[prost(message, optional, tag = "100")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "1")]
    id: u64,
}

/// See the file header.
pub struct Replay {
    first: u64,
    entries: Vec<(u64, Bytes)>,
    positions: Vec<Position>,
    keys: BTreeMap<Bytes, Vec<Version>>,
    changes: Vec<Change>,
    told: HashMap<u64, Told>,
    /// When each lease went, and by whose operation: zero for an owner inside the node.
    pub revoked: Vec<(i64, u64)>,
    /// Leases that were granted since somebody looked.
    pub granted: Vec<i64>,
    sub: i64,
}

impl Replay {
    /// A store in which everything up to `first` is the empty start.
    pub fn new(first: LogId, members: Members) -> Self {
        let members = Rc::new(members);
        let users = Rc::default();
        let start = Position { term: first.term, revision: 1, compact: -1, leases: Rc::default(), members, users };
        Self {
            first: first.index,
            entries: Vec::new(),
            positions: vec![start],
            keys: BTreeMap::new(),
            changes: Vec::new(),
            told: HashMap::new(),
            revoked: Vec::new(),
            granted: Vec::new(),
            sub: 0,
        }
    }

    /// Last index that was ever applied.
    pub fn last(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The newest position.
    pub fn now(&self) -> &Position {
        self.positions.last().expect("there is a start")
    }

    /// The position behind an index, if that was reached.
    pub fn at(&self, index: u64) -> Option<&Position> {
        self.positions.get(index.checked_sub(self.first)? as usize)
    }

    /// What an operation's entry did, if it was applied.
    pub fn told(&self, op: u64) -> Option<&Told> {
        self.told.get(&op)
    }

    /// Every change, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The entry applied at this index must be the one that ever was.
    pub fn same_entry(&self, entry: &Entry) -> Checked {
        let Some((term, data)) = entry.index.checked_sub(self.first + 1).and_then(|at| self.entries.get(at as usize))
        else {
            return Ok(());
        };
        hold("SIM-COMMITTED-STAYS", (*term, data) == (entry.term, &entry.data), || {
            format!("entry {} was applied in term {term} and is another one of term {} now", entry.index, entry.term)
        })
    }

    /// An entry is about to be applied.
    pub fn entry(&mut self, entry: &Entry) -> Checked {
        self.same_entry(entry)?;
        if entry.index <= self.last() {
            return Ok(());
        }
        let (last, term) = (self.last(), self.now().term);
        hold("AI-APPLY-CONTIGUOUS", entry.index == last + 1 && entry.term >= term, || {
            format!("entry {}@{} behind {last}@{term}", entry.index, entry.term)
        })?;
        let mut next = Position { term: entry.term, ..self.now().clone() };
        match entry.kind {
            EntryKind::Normal if entry.data.is_empty() => {}
            EntryKind::Normal => self.command(entry, &mut next)?,
            EntryKind::ConfChange | EntryKind::ConfChangeV2 => Rc::make_mut(&mut next.members).change(entry)?,
        }
        self.entries.push((entry.term, entry.data.clone()));
        self.positions.push(next);
        Ok(())
    }

    fn command(&mut self, entry: &Entry, next: &mut Position) -> Checked {
        let envelope = Envelope::decode(&entry.data);
        hold("SIM-ENTRY-READS", envelope.is_ok(), || format!("entry {}: {envelope:?}", entry.index))?;
        let Ok(Envelope { origin: Origin { .. }, only_in_term, command }) = envelope else { return Ok(()) };
        let id = WithHeader::decode(&command[..]).ok().and_then(|h| h.header).map_or(0, |h| h.id);
        let command = Command::decode(command);
        hold("SIM-ENTRY-READS", command.is_ok(), || format!("entry {}: {command:?}", entry.index))?;
        let Ok(command) = command else { return Ok(()) };
        let result = match only_in_term {
            term if term != 0 && term != entry.term => Err(ApplyError::StaleTerm),
            _ => self.run(&command, id, next),
        };
        if self.sub > 0 {
            next.revision += 1;
            self.sub = 0;
        }
        if id >= FIRST_OP {
            let applied = Applied { revision: next.revision, term: entry.term, result };
            let before = self.told.insert(id, Told { index: entry.index, applied });
            hold("SIM-ONCE", before.is_none(), || format!("operation {id:x} stands in the log twice"))?;
        }
        Ok(())
    }

    fn run(&mut self, command: &Command, id: u64, next: &mut Position) -> Result<Outcome, ApplyError> {
        match command {
            Command::Put(put) => {
                Self::check_put(next, put)?;
                Ok(Outcome::Op(self.put(next, put)))
            }
            Command::DeleteRange(delete) => Ok(Outcome::Op(self.delete(next, delete))),
            Command::Txn(txn) => self.txn(next, txn),
            Command::Compaction(c) if c.revision <= next.compact => Err(ApplyError::Compacted),
            Command::Compaction(c) if c.revision > next.revision => Err(ApplyError::FutureRevision),
            Command::Compaction(c) => {
                next.compact = c.revision;
                Ok(Outcome::Compaction)
            }
            Command::LeaseGrant(g) if next.leases.contains_key(&g.id) => Err(ApplyError::LeaseExists),
            Command::LeaseGrant(g) => {
                Rc::make_mut(&mut next.leases).insert(g.id, g.ttl);
                self.granted.push(g.id);
                Ok(Outcome::LeaseGrant { id: g.id, ttl: g.ttl })
            }
            Command::LeaseRevoke(r) => {
                Rc::make_mut(&mut next.leases).remove(&r.id).ok_or(ApplyError::LeaseNotFound)?;
                self.revoked.push((r.id, if id >= FIRST_OP { id } else { 0 }));
                let all = KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0]));
                let attached = self.living(&all, i64::MAX).into_iter().filter(|kv| kv.lease == r.id);
                for kv in attached.collect::<Vec<_>>() {
                    self.write(next, &kv.key, None);
                }
                Ok(Outcome::LeaseRevoke)
            }
            Command::LeaseCheckpoint(_) => Ok(Outcome::LeaseCheckpoint),
            Command::MemberAttrSet(request) => {
                Rc::make_mut(&mut next.members).publish(request);
                Ok(Outcome::Done)
            }
            Command::Alarm(_) | Command::ClusterVersionSet(_) | Command::DowngradeInfoSet(_) => Ok(Outcome::Done),
            Command::Auth(command) => {
                let outcome = Rc::make_mut(&mut next.users).run(command);
                Ok(Outcome::Auth(outcome.map_err(ApplyError::Auth)?))
            }
            // no simulated client sends one
            Command::V2(_) => Ok(Outcome::Done),
        }
    }

    fn check_put(next: &Position, put: &PutRequest) -> Result<(), ApplyError> {
        let held = put.lease == 0 || next.leases.contains_key(&put.lease);
        if held { Ok(()) } else { Err(ApplyError::LeaseNotFound) }
    }

    fn put(&mut self, next: &Position, put: &PutRequest) -> OpOutcome {
        let old = self.key_at(&put.key, i64::MAX).cloned();
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: old.as_ref().map_or(next.revision + 1, |old| old.create_revision),
            mod_revision: next.revision + 1,
            version: old.as_ref().map_or(1, |old| old.version + 1),
            value: put.value.clone(),
            lease: put.lease,
        };
        self.write(next, &put.key, Some(kv));
        OpOutcome::Put { prev_kv: old.filter(|_| put.prev_kv).map(|old| old.encode_to_vec().into()) }
    }

    fn delete(&mut self, next: &Position, delete: &DeleteRangeRequest) -> OpOutcome {
        let range = KeyRange::new(delete.key.clone(), delete.range_end.clone());
        let gone = self.living(&range, i64::MAX);
        for kv in &gone {
            self.write(next, &kv.key, None);
        }
        let prev_kvs = gone.iter().filter(|_| delete.prev_kv).map(|kv| kv.encode_to_vec().into()).collect();
        OpOutcome::DeleteRange { deleted: gone.len() as i64, prev_kvs }
    }

    /// One level, keys never written twice: what the simulated clients send.
    fn txn(&mut self, next: &Position, txn: &TxnRequest) -> Result<Outcome, ApplyError> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let ops: Vec<&RequestUnion> = branch.iter().filter_map(|op| op.request.as_ref()).collect();
        for op in &ops {
            if let RequestUnion::Put(put) = op {
                Self::check_put(next, put)?;
            }
        }
        let mut responses = Vec::new();
        for op in ops {
            responses.push(match op {
                RequestUnion::Put(put) => self.put(next, put),
                RequestUnion::DeleteRange(delete) => self.delete(next, delete),
                RequestUnion::Range(range) => OpOutcome::Range(self.range(range)),
                RequestUnion::Txn(_) => unreachable!("clients send no nested transactions"),
            });
        }
        Ok(Outcome::Op(OpOutcome::Txn { succeeded, responses }))
    }

    fn holds(&self, compare: &Compare) -> bool {
        let kv = self.key_at(&compare.key, i64::MAX).cloned().unwrap_or_default();
        let (have, want) = match &compare.target_union {
            Some(TargetUnion::Version(v)) => (kv.version, *v),
            Some(TargetUnion::ModRevision(v)) => (kv.mod_revision, *v),
            _ => (kv.create_revision, 0),
        };
        match CompareResult::try_from(compare.result) {
            Ok(CompareResult::Greater) => have > want,
            Ok(CompareResult::Less) => have < want,
            Ok(CompareResult::NotEqual) => have != want,
            _ => have == want,
        }
    }

    fn write(&mut self, next: &Position, key: &Bytes, kv: Option<KeyValue>) {
        let main = next.revision + 1;
        let prev = self.key_at(key, main - 1).cloned();
        self.changes.push(Change { main, key: key.clone(), kv: kv.clone(), prev });
        self.keys.entry(key.clone()).or_default().push(Version { main, sub: self.sub, kv });
        self.sub += 1;
    }

    fn key_at(&self, key: &[u8], main: i64) -> Option<&KeyValue> {
        self.keys.get(key)?.iter().rev().find(|v| v.main <= main)?.kv.as_ref()
    }

    /// Living keys of a range at a revision, ascending.
    pub fn living(&self, range: &KeyRange, main: i64) -> Vec<KeyValue> {
        let keys = self.keys.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| self.key_at(key, main).cloned()).collect()
    }

    /// A Range request of plain order, at its revision or the newest.
    pub fn range(&self, request: &RangeRequest) -> RangeOutcome {
        let main = if request.revision > 0 { request.revision } else { i64::MAX };
        let mut kvs = self.living(&KeyRange::new(request.key.clone(), request.range_end.clone()), main);
        let count = kvs.len() as i64;
        let more = request.limit > 0 && count > request.limit;
        if more {
            kvs.truncate(request.limit as usize);
        }
        RangeOutcome { kvs: kvs.iter().map(|kv| kv.encode_to_vec().into()).collect(), more, count }
    }

    /// etcd's HashKV of everything up to `revision`, after a compaction at `compact`.
    pub fn hash_kv(&self, revision: i64, compact: i64) -> u32 {
        let mut rows: Vec<(&Bytes, &Version)> = Vec::new();
        let mut lives = false;
        for (key, versions) in &self.keys {
            lives |= self.key_at(key, revision).is_some();
            rows.extend(versions.iter().filter(|v| v.main <= revision).map(|v| (key, v)));
        }
        rows.sort_by_key(|(_, v)| (v.main, v.sub));
        let shown_at = if lives { revision } else { compact };
        let mut hash = crc32c::crc32c(b"key");
        for (key, version) in rows {
            let shown = self.keys[key].iter().rev().find(|v| v.main <= shown_at);
            let shown = shown.is_some_and(|v| (v.main, v.sub) == (version.main, version.sub));
            if version.main <= compact && (version.kv.is_none() || !shown) {
                continue;
            }
            let mut name = [&version.main.to_be_bytes()[..], b"_", &version.sub.to_be_bytes()[..]].concat();
            let bare = KeyValue { key: key.clone(), ..KeyValue::default() };
            if version.kv.is_none() {
                name.push(b't');
            }
            hash = crc32c_append(hash, &name);
            hash = crc32c_append(hash, &version.kv.as_ref().unwrap_or(&bare).encode_to_vec());
        }
        hash
    }

    /// Versions that a compaction at `compact` leaves, tombstones included.
    pub fn kept_versions(&self, compact: i64) -> usize {
        let of_key = |versions: &Vec<Version>| {
            let newest = versions.iter().rposition(|v| v.main <= compact);
            let kept = |(at, v): (usize, &Version)| {
                v.main > compact || (Some(at) == newest && (v.kv.is_some() || v.main == compact))
            };
            versions.iter().enumerate().filter(|pair| kept(*pair)).count()
        };
        self.keys.values().map(of_key).sum()
    }
}
