//! A naive store: the list of all versions, and etcd's rules as loops over it.
//!
//! Must never use code under test.

use crate::schema::Kind;
use ::model::request::{RangeRequest, SortOrder, SortTarget};
use ::model::{KeyRange, KeyValue, RangeOutcome, ReadError, Revision};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// One version; `kv` has key and mod_revision only when `kind` is `Delete`.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) revision: Revision,
    pub(super) kind: Kind,
    pub(super) kv: KeyValue,
}

#[derive(Clone, Debug)]
pub(super) struct Naive {
    /// Ascending by revision.
    pub(super) versions: Vec<Version>,
    pub(super) revision: i64,
    pub(super) compact: i64,
}

impl Naive {
    pub(super) fn new() -> Self {
        Self { versions: Vec::new(), revision: 1, compact: -1 }
    }

    pub(super) fn note(&mut self, revision: Revision, kind: Kind, kv: &Bytes) {
        let kv = KeyValue::decode(kv.clone()).expect("stored key-values decode");
        self.versions.push(Version { revision, kind, kv });
    }

    /// The newest version of each key at or before a main revision, tombstones included.
    pub(super) fn newest(&self, at: i64) -> BTreeMap<Bytes, &Version> {
        let old_enough = self.versions.iter().filter(|v| v.revision.main <= at);
        old_enough.map(|v| (v.kv.key.clone(), v)).collect()
    }

    /// Living keys of a range.
    pub(super) fn living(&self, range: &KeyRange, at: i64) -> Vec<KeyValue> {
        let newest = self.newest(at).into_iter();
        let alive = newest.filter(|(key, v)| v.kind != Kind::Delete && range.contains(key));
        alive.map(|(_, v)| v.kv.clone()).collect()
    }

    pub(super) fn resolve(&self, requested: i64) -> Result<i64, ReadError> {
        match requested {
            r if r > self.revision => Err(ReadError::FutureRevision),
            r if r <= 0 => Ok(self.revision),
            r if r < self.compact => Err(ReadError::Compacted),
            r => Ok(r),
        }
    }

    /// etcd's Range, step by step.
    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeOutcome, ReadError> {
        let at = self.resolve(request.revision)?;
        let range = KeyRange::new(request.key.clone(), request.range_end.clone());
        let mut kvs = self.living(&range, at);
        let count = kvs.len() as i64;
        if request.count_only {
            return Ok(RangeOutcome { kvs: Vec::new(), more: false, count });
        }
        let (target, order) = (request.sort_target(), request.sort_order());
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        let usual = order == SortOrder::None || (target == SortTarget::Key && order == SortOrder::Ascend);
        if usual && filters == [0; 4] && request.limit > 0 {
            kvs.truncate(request.limit as usize + 1);
        }
        kvs.retain(|kv| filters[0] == 0 || kv.mod_revision >= filters[0]);
        kvs.retain(|kv| filters[1] == 0 || kv.mod_revision <= filters[1]);
        kvs.retain(|kv| filters[2] == 0 || kv.create_revision >= filters[2]);
        kvs.retain(|kv| filters[3] == 0 || kv.create_revision <= filters[3]);
        let compare = |a: &KeyValue, b: &KeyValue| match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        match order {
            SortOrder::Descend => kvs.sort_by(|a, b| compare(b, a)),
            SortOrder::None | SortOrder::Ascend => kvs.sort_by(compare),
        }
        let more = request.limit > 0 && kvs.len() > request.limit as usize;
        if more {
            kvs.truncate(request.limit as usize);
        }
        if request.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                if target != SortTarget::Value {
                    kv.lease = 0;
                }
            }
        }
        let kvs = kvs.iter().map(|kv| kv.encode_to_vec().into()).collect();
        Ok(RangeOutcome { kvs, more, count })
    }

    /// Versions that stand in the store once the deletion behind the compaction is finished.
    pub(super) fn kept(&self) -> BTreeSet<Revision> {
        let newest: BTreeSet<Revision> = self.newest(self.compact).values().map(|v| v.revision).collect();
        let kept = |v: &&Version| match v.kind {
            _ if v.revision.main > self.compact => true,
            Kind::Delete => v.revision.main == self.compact,
            Kind::Create | Kind::Update => newest.contains(&v.revision),
        };
        self.versions.iter().filter(kept).map(|v| v.revision).collect()
    }

    /// etcd's HashKV over the rows that are left.
    pub(super) fn hash(&self, requested: i64) -> u32 {
        let at = if requested == 0 { self.revision } else { requested };
        let shown = self.newest(at).into_values().filter(|v| v.kind != Kind::Delete);
        self.hash_of(at, &shown.map(|v| v.revision).collect())
    }

    /// The hash that etcd keeps of a compaction, taken while it deletes: a tombstone that it leaves counts as one that lives.
    pub(super) fn hash_of_compaction(&self, target: i64) -> u32 {
        let left = self.newest(target).into_values();
        let left = left.filter(|v| v.kind != Kind::Delete || v.revision.main == target);
        self.hash_of(target, &left.map(|v| v.revision).collect())
    }

    fn hash_of(&self, at: i64, keep: &BTreeSet<Revision>) -> u32 {
        let left = self.kept();
        let mut bytes = b"key".to_vec();
        for v in self.versions.iter().filter(|v| left.contains(&v.revision) && v.revision.main <= at) {
            let (main, dead) = (v.revision.main, v.kind == Kind::Delete);
            if main <= self.compact && !keep.is_empty() && !keep.contains(&v.revision) {
                continue;
            }
            if main == self.compact && dead {
                continue;
            }
            bytes.extend(main.to_be_bytes());
            bytes.push(b'_');
            bytes.extend(v.revision.sub.to_be_bytes());
            if dead {
                bytes.push(b't');
                bytes.extend(KeyValue { key: v.kv.key.clone(), ..Default::default() }.encode_to_vec());
            } else {
                bytes.extend(v.kv.encode_to_vec());
            }
        }
        crc32c::crc32c(&bytes)
    }
}
