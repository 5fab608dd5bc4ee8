//! Every version of every key, in the order in which they were written.
//!
//! Must never drop a version: what a compaction hides is decided where it is read.

use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// One write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What a put wrote; of a delete only key and revision.
    pub kv: KeyValue,
    /// True for a delete.
    pub deleted: bool,
}

/// The list of versions, and the two revisions that bound what can be read.
#[derive(Clone, Debug)]
pub struct History {
    /// Oldest first. A write transaction that is not ended yet has its versions at the end, with `revision + 1`.
    pub versions: Vec<Version>,
    /// Positions in `versions` of each key.
    by_key: BTreeMap<Bytes, Vec<usize>>,
    /// Revision of the last write transaction.
    pub revision: i64,
    /// Revision of the last compaction, -1 before the first one.
    pub compacted: i64,
    /// True inside a write transaction that has changed something.
    changing: bool,
    /// Revisions in which a key was deleted and then put again. See [`Self::is_fragile`].
    fragile: BTreeSet<i64>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// The history of a new member.
    pub fn new() -> Self {
        Self::at(1, -1)
    }

    /// A history whose past is unknown: `compacted` hides it.
    pub fn at(revision: i64, compacted: i64) -> Self {
        let (versions, by_key, fragile) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { versions, by_key, revision, compacted, changing: false, fragile }
    }

    /// The revision a read sees: inside a write transaction its own one, as soon as it has changed something.
    pub fn now(&self) -> i64 {
        self.revision + i64::from(self.changing)
    }

    /// What a key was at a revision.
    pub fn get(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let positions = self.by_key.get(key)?;
        let newer = positions.partition_point(|at| self.versions[*at].kv.mod_revision <= revision);
        let last = &self.versions[positions[newer.checked_sub(1)?]];
        (!last.deleted).then_some(&last.kv)
    }

    /// Every key of a range that was there at a revision, in order.
    pub fn range(&self, key: &[u8], range_end: &[u8], revision: i64) -> Vec<&KeyValue> {
        let keys = self.by_key.keys().filter(|k| holds(key, range_end, k));
        keys.filter_map(|k| self.get(k, revision)).collect()
    }

    /// Keys that are tied to a lease now, in order.
    pub fn keys_of_lease(&self, lease: i64) -> Vec<Bytes> {
        let all = self.range(&[0], &[0], self.now());
        all.into_iter().filter(|kv| kv.lease == lease).map(|kv| kv.key.clone()).collect()
    }

    /// Writes a key in the open transaction.
    pub fn put(&mut self, key: &Bytes, value: Bytes, lease: i64) {
        let mod_revision = self.revision + 1;
        let before = self.get(key, mod_revision);
        let (create_revision, version) = before.map_or((mod_revision, 1), |kv| (kv.create_revision, kv.version + 1));
        let deleted_before = self.by_key.get(key).and_then(|list| list.last()).map(|at| &self.versions[*at]);
        if deleted_before.is_some_and(|v| v.deleted && v.kv.mod_revision == mod_revision) {
            self.fragile.insert(mod_revision);
        }
        let kv = KeyValue { key: key.clone(), create_revision, mod_revision, version, value, lease };
        self.push(Version { kv, deleted: false });
    }

    /// Deletes a key that is there, in the open transaction.
    pub fn delete(&mut self, key: &Bytes) {
        let kv = KeyValue { key: key.clone(), mod_revision: self.revision + 1, ..KeyValue::default() };
        self.push(Version { kv, deleted: true });
    }

    fn push(&mut self, version: Version) {
        self.by_key.entry(version.kv.key.clone()).or_default().push(self.versions.len());
        self.versions.push(version);
        self.changing = true;
    }

    /// Ends the open transaction: the revision moves when something was changed. True then.
    pub fn end(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changing);
        self.revision += i64::from(changed);
        changed
    }

    /// True when a later version of the same revision hides this one: a compaction may remove it early.
    pub fn is_hidden(&self, at: usize) -> bool {
        let kv = &self.versions[at].kv;
        let positions = &self.by_key[&kv.key];
        let next = positions.iter().copied().find(|other| *other > at);
        next.is_some_and(|next| self.versions[next].kv.mod_revision == kv.mod_revision)
    }

    /// True when a key was deleted and put again in this revision, which needs a delete with an open end in one transaction with a
    /// put. etcd 3.7.1 loses such a put when it compacts at exactly this revision, and ends itself when it is read.
    pub fn is_fragile(&self, revision: i64) -> bool {
        self.fragile.contains(&revision)
    }
}

/// True when a range holds a key. No end means one key; the end `\0` means every key from `key` on.
pub fn holds(key: &[u8], range_end: &[u8], candidate: &[u8]) -> bool {
    match range_end {
        [] => candidate == key,
        [0] => candidate >= key,
        end => candidate >= key && candidate < end,
    }
}
