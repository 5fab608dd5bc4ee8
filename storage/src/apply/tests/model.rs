//! A naive store: maps and loops, written from etcd's rules and not from the code under test.
//!
//! Slow on purpose: every question walks everything.

use ::model::request::*;
use ::model::{AlarmMember, ApplyError, Command, KeyValue, OpOutcome, Outcome, RangeOutcome};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

type Key = Vec<u8>;

/// One version of a key; `None` is a tombstone.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) main: i64,
    pub(super) sub: i64,
    pub(super) kv: Option<KeyValue>,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) keys: BTreeMap<Key, Vec<Version>>,
    pub(super) revision: i64,
    pub(super) compact: i64,
    pub(super) leases: BTreeMap<i64, (i64, i64)>,
    pub(super) alarms: BTreeSet<AlarmMember>,
    sub: i64,
}

fn in_range(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    if end.is_empty() {
        return key == start;
    }
    key >= start && (end == [0] || key < end)
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            revision: 1,
            compact: -1,
            leases: BTreeMap::new(),
            alarms: BTreeSet::new(),
            sub: 0,
        }
    }

    /// The key as it was at the end of a main revision.
    pub(super) fn at(&self, key: &[u8], main: i64) -> Option<&KeyValue> {
        self.keys.get(key)?.iter().rev().find(|v| v.main <= main)?.kv.as_ref()
    }

    pub(super) fn now(&self, key: &[u8]) -> Option<&KeyValue> {
        self.at(key, i64::MAX)
    }

    pub(super) fn living(&self, start: &[u8], end: &[u8], main: i64) -> Vec<KeyValue> {
        let keys = self.keys.keys().filter(|key| in_range(key, start, end));
        keys.filter_map(|key| self.at(key, main).cloned()).collect()
    }

    pub(super) fn attached(&self, lease: i64) -> Vec<Key> {
        self.keys.keys().filter(|key| self.now(key).is_some_and(|kv| kv.lease == lease)).cloned().collect()
    }

    fn write(&mut self, key: &[u8], kv: Option<KeyValue>) {
        let version = Version { main: self.revision + 1, sub: self.sub, kv };
        self.sub += 1;
        self.keys.entry(key.to_vec()).or_default().push(version);
    }

    pub(super) fn apply(&mut self, command: &Command) -> Result<Outcome, ApplyError> {
        let stands = |kind| self.alarms.iter().any(|a| a.alarm == kind);
        let data = matches!(command, Command::Put(_) | Command::Txn(_) | Command::LeaseGrant(_));
        let puts = match command {
            Command::Txn(txn) => format!("{txn:?}").contains("PutRequest"),
            _ => true,
        };
        let exempt = matches!(command, Command::Alarm(_) | Command::LeaseCheckpoint(_));
        if stands(AlarmType::Corrupt) && !exempt {
            return Err(ApplyError::Corrupt);
        }
        if stands(AlarmType::Nospace) && data && puts {
            return Err(ApplyError::NoSpace);
        }
        let result = self.run(command);
        if self.sub > 0 {
            assert!(result.is_ok(), "the model wrote something and then refused");
            self.revision += 1;
            self.sub = 0;
        }
        result
    }

    fn run(&mut self, command: &Command) -> Result<Outcome, ApplyError> {
        match command {
            Command::Put(put) => {
                self.check_put(put)?;
                Ok(Outcome::Op(self.put(put)))
            }
            Command::DeleteRange(delete) => Ok(Outcome::Op(self.delete(delete))),
            Command::Txn(txn) => {
                let before = self.clone();
                let mut gone = BTreeSet::new();
                self.check_txn(&before, txn, &mut gone)?;
                Ok(Outcome::Op(self.txn(&before, txn)))
            }
            Command::Compaction(c) if c.revision <= self.compact => Err(ApplyError::Compacted),
            Command::Compaction(c) if c.revision > self.revision => Err(ApplyError::FutureRevision),
            Command::Compaction(c) => {
                self.compact = c.revision;
                Ok(Outcome::Compaction)
            }
            Command::LeaseGrant(g) if self.leases.contains_key(&g.id) => Err(ApplyError::LeaseExists),
            Command::LeaseGrant(g) => {
                self.leases.insert(g.id, (g.ttl, 0));
                Ok(Outcome::LeaseGrant { id: g.id, ttl: g.ttl })
            }
            Command::LeaseRevoke(r) => {
                self.leases.remove(&r.id).ok_or(ApplyError::LeaseNotFound)?;
                for key in self.attached(r.id) {
                    self.write(&key, None);
                }
                Ok(Outcome::LeaseRevoke)
            }
            Command::LeaseCheckpoint(c) => {
                for c in &c.checkpoints {
                    self.leases.entry(c.id).and_modify(|lease| lease.1 = c.remaining_ttl);
                }
                Ok(Outcome::LeaseCheckpoint)
            }
            Command::Alarm(request) => Ok(self.alarm(request)),
            Command::ClusterVersionSet(_) | Command::MemberAttrSet(_) | Command::DowngradeInfoSet(_) => {
                Ok(Outcome::Done)
            }
            Command::Auth(_) | Command::V2(_) => panic!("users and the v2 tree have tests of their own"),
        }
    }

    fn alarm(&mut self, request: &AlarmRequest) -> Outcome {
        let alarm = AlarmType::try_from(request.alarm).unwrap();
        let member = AlarmMember { member_id: request.member_id, alarm };
        let hit = match AlarmAction::try_from(request.action).unwrap() {
            AlarmAction::Get => {
                let all = self.alarms.iter().filter(|a| alarm == AlarmType::None || a.alarm == alarm);
                return Outcome::Alarm(all.copied().collect());
            }
            AlarmAction::Activate if alarm == AlarmType::None => false,
            AlarmAction::Activate => {
                self.alarms.insert(member);
                true
            }
            AlarmAction::Deactivate => self.alarms.remove(&member),
        };
        Outcome::Alarm(if hit { vec![member] } else { vec![] })
    }

    fn check_put(&self, put: &PutRequest) -> Result<(), ApplyError> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(ApplyError::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && self.now(&put.key).is_none() {
            return Err(ApplyError::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, put: &PutRequest) -> OpOutcome {
        let old = self.now(&put.key).cloned();
        let kept = old.clone().unwrap_or_default();
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: old.as_ref().map_or(self.revision + 1, |old| old.create_revision),
            mod_revision: self.revision + 1,
            version: kept.version + 1,
            value: if put.ignore_value { kept.value } else { put.value.clone() },
            lease: if put.ignore_lease { kept.lease } else { put.lease },
        };
        self.write(&put.key, Some(kv));
        OpOutcome::Put { prev_kv: old.filter(|_| put.prev_kv).map(|old| old.encode_to_vec().into()) }
    }

    fn delete(&mut self, delete: &DeleteRangeRequest) -> OpOutcome {
        let gone = self.living(&delete.key, &delete.range_end, i64::MAX);
        for kv in &gone {
            self.write(&kv.key, None);
        }
        let prev_kvs = gone.iter().filter(|_| delete.prev_kv).map(|kv| kv.encode_to_vec().into()).collect();
        OpOutcome::DeleteRange { deleted: gone.len() as i64, prev_kvs }
    }

    /// `gone`: keys that operations before have deleted.
    fn check_txn(&self, before: &Self, txn: &TxnRequest, gone: &mut BTreeSet<Key>) -> Result<(), ApplyError> {
        for op in if before.compares(txn) { &txn.success } else { &txn.failure } {
            match op.request.as_ref().expect("generated transactions have no empty operations") {
                RequestUnion::Range(r) if r.revision == 0 => {}
                RequestUnion::Range(r) if r.revision > before.revision => return Err(ApplyError::FutureRevision),
                RequestUnion::Range(r) if r.revision < before.compact => return Err(ApplyError::Compacted),
                RequestUnion::Range(_) => {}
                RequestUnion::Put(put) => {
                    before.check_put(put)?;
                    if (put.ignore_value || put.ignore_lease) && gone.contains(put.key.as_ref()) {
                        return Err(ApplyError::KeyNotFound);
                    }
                    gone.remove(put.key.as_ref());
                }
                RequestUnion::DeleteRange(d) => {
                    let keys = before.keys.keys().filter(|key| in_range(key, &d.key, &d.range_end));
                    gone.extend(keys.cloned());
                }
                RequestUnion::Txn(nested) => self.check_txn(before, nested, gone)?,
            }
        }
        Ok(())
    }

    fn txn(&mut self, before: &Self, txn: &TxnRequest) -> OpOutcome {
        let succeeded = before.compares(txn);
        let mut responses = Vec::new();
        for op in if succeeded { &txn.success } else { &txn.failure } {
            responses.push(match op.request.as_ref().unwrap() {
                RequestUnion::Range(range) => OpOutcome::Range(self.range(range)),
                RequestUnion::Put(put) => self.put(put),
                RequestUnion::DeleteRange(delete) => self.delete(delete),
                RequestUnion::Txn(nested) => self.txn(before, nested),
            });
        }
        OpOutcome::Txn { succeeded, responses }
    }

    fn compares(&self, txn: &TxnRequest) -> bool {
        txn.compare.iter().all(|c| {
            let found = self.living(&c.key, &c.range_end, i64::MAX);
            if found.is_empty() {
                return c.target != CompareTarget::Value as i32 && compare(c, &KeyValue::default());
            }
            found.iter().all(|kv| compare(c, kv))
        })
    }

    fn range(&self, r: &RangeRequest) -> RangeOutcome {
        let main = if r.revision <= 0 { i64::MAX } else { r.revision };
        let mut kvs = self.living(&r.key, &r.range_end, main);
        let count = kvs.len() as i64;
        if r.count_only {
            return RangeOutcome { kvs: vec![], more: false, count };
        }
        let filters =
            [r.min_mod_revision, r.max_mod_revision, r.min_create_revision, r.max_create_revision] != [0, 0, 0, 0];
        let natural = r.sort_order == SortOrder::None as i32
            || (r.sort_order == SortOrder::Ascend as i32 && r.sort_target == SortTarget::Key as i32);
        if natural && !filters && r.limit > 0 {
            kvs.truncate(r.limit as usize + 1);
        }
        let upper = |max: i64, v: i64| max == 0 || v <= max;
        kvs.retain(|kv| {
            upper(r.max_mod_revision, kv.mod_revision)
                && upper(r.max_create_revision, kv.create_revision)
                && kv.mod_revision >= r.min_mod_revision
                && kv.create_revision >= r.min_create_revision
        });
        let target = SortTarget::try_from(r.sort_target).unwrap();
        let rank = |kv: &KeyValue| match target {
            SortTarget::Key => (0, kv.key.clone()),
            SortTarget::Version => (kv.version, Bytes::new()),
            SortTarget::Create => (kv.create_revision, Bytes::new()),
            SortTarget::Mod => (kv.mod_revision, Bytes::new()),
            SortTarget::Value => (0, kv.value.clone()),
        };
        match r.sort_order == SortOrder::Descend as i32 {
            true => kvs.sort_by_key(|kv| std::cmp::Reverse(rank(kv))),
            false => kvs.sort_by_key(rank),
        }
        let more = r.limit > 0 && kvs.len() > r.limit as usize;
        if more {
            kvs.truncate(r.limit as usize);
        }
        if r.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                kv.lease = if target == SortTarget::Value { kv.lease } else { 0 };
            }
        }
        RangeOutcome { kvs: kvs.iter().map(|kv| kv.encode_to_vec().into()).collect(), more, count }
    }
}

fn compare(c: &Compare, kv: &KeyValue) -> bool {
    let other = match (&c.target_union, CompareTarget::try_from(c.target).unwrap()) {
        (Some(TargetUnion::Value(v)), CompareTarget::Value) => return decide(c, kv.value.cmp(v)),
        (_, CompareTarget::Value) => return decide(c, kv.value.as_ref().cmp(&[])),
        (Some(TargetUnion::Version(v)), CompareTarget::Version) => (kv.version, *v),
        (Some(TargetUnion::CreateRevision(v)), CompareTarget::Create) => (kv.create_revision, *v),
        (Some(TargetUnion::ModRevision(v)), CompareTarget::Mod) => (kv.mod_revision, *v),
        (Some(TargetUnion::Lease(v)), CompareTarget::Lease) => (kv.lease, *v),
        (_, CompareTarget::Version) => (kv.version, 0),
        (_, CompareTarget::Create) => (kv.create_revision, 0),
        (_, CompareTarget::Mod) => (kv.mod_revision, 0),
        (_, CompareTarget::Lease) => (kv.lease, 0),
    };
    decide(c, other.0.cmp(&other.1))
}

fn decide(c: &Compare, ordering: std::cmp::Ordering) -> bool {
    match CompareResult::try_from(c.result).unwrap() {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::NotEqual => ordering.is_ne(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
    }
}
