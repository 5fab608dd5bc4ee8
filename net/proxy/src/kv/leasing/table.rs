//! Keys that this proxy alone may hand out, and those that it gave up lately. Pure: time is given.
//!
//! Must never keep a key that was given up after its leasing key was taken.

use api::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use api::mvccpb::KeyValue;
use bytes::Bytes;
use lru::LruCache;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// Most keys.
const KEYS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// Most bytes of keys and values.
const BYTES: usize = 32 << 20;
/// Larger ones are read from the cluster.
const LARGEST: usize = 1 << 20;
/// A key that was given up is not taken again before this: others write it. Source: etcd's `leasing`.
const BACK_OFF: Duration = Duration::from_secs(2);
/// Keys given up that are remembered.
const REMEMBERED: usize = 4096;

/// A key that is handed out from memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Revision at which its leasing key was created.
    pub(super) leased: i64,
    pub(super) kv: KeyValue,
    /// Of the answer that it came with.
    pub(super) header: ResponseHeader,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.kv.key.len() + self.kv.value.len()
    }

    /// The answer to a read of the key, in the state of a revision that is not older than the entry.
    pub(super) fn answer(&self, request: &RangeRequest, revision: i64) -> RangeResponse {
        let within = |of: i64, least: i64, most: i64| of >= least && (most == 0 || of <= most);
        let kv = &self.kv;
        let is_shown = !request.count_only
            && within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
            && within(kv.create_revision, request.min_create_revision, request.max_create_revision);
        let shown = is_shown
            .then(|| KeyValue { value: if request.keys_only { Bytes::new() } else { kv.value.clone() }, ..kv.clone() });
        let header = ResponseHeader { revision: revision.max(self.header.revision), ..self.header };
        RangeResponse { header: Some(header), kvs: shown.into_iter().collect(), more: false, count: 1 }
    }
}

/// A leasing key that is to be deleted: whose it is, and when it was created.
pub(super) type Released = (Bytes, i64);

/// What became of a key that was taken.
#[derive(Debug, PartialEq)]
pub(super) enum Kept {
    /// It is handed out from memory now; these had to go for it.
    Yes(Vec<Released>),
    /// It was given up meanwhile, or is too large.
    No,
}

struct GivenUp {
    /// Whatever was leased before this revision must not be kept.
    before: i64,
    at: Instant,
}

/// The keys.
pub(super) struct Table {
    entries: LruCache<Bytes, Entry>,
    bytes: usize,
    given_up: HashMap<Bytes, GivenUp>,
    /// Moves when everything is given up: what was begun before is not kept.
    epoch: u64,
    /// Orders to give a key up are heard.
    hears: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { entries: LruCache::new(KEYS), bytes: 0, given_up: HashMap::new(), epoch: 0, hears: false }
    }

    /// The entry of a key.
    pub(super) fn get(&mut self, key: &Bytes) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether a key may be taken now.
    pub(super) fn may_take(&self, key: &Bytes, now: Instant) -> bool {
        self.hears && self.given_up.get(key).is_none_or(|given_up| now.duration_since(given_up.at) >= BACK_OFF)
    }

    /// Orders to give a key up are heard from now on.
    pub(super) fn begin_to_hear(&mut self) {
        self.hears = true;
    }

    /// Somebody begins to take a key, or to write it: to be given to [`Self::keep`].
    pub(super) fn begin(&self) -> u64 {
        self.epoch
    }

    /// Hands a key out from memory from now on, unless it was given up since `begun`.
    pub(super) fn keep(&mut self, begun: u64, key: Bytes, entry: Entry) -> Kept {
        let given_up = self.given_up.get(&key).is_some_and(|given_up| given_up.before > entry.leased);
        if given_up || begun != self.epoch || !self.hears || entry.bytes() > LARGEST {
            return Kept::No;
        }
        let mut released = Vec::new();
        self.bytes += entry.bytes();
        if let Some((old, before)) = self.entries.push(key.clone(), entry) {
            self.bytes -= before.bytes();
            if old != key {
                released.push((old, before.leased));
            }
        }
        while self.bytes > BYTES
            && let Some((old, before)) = self.entries.pop_lru()
        {
            self.bytes -= before.bytes();
            released.push((old, before.leased));
        }
        Kept::Yes(released)
    }

    /// Takes a key out for a write. Its leasing key stays; the revision at which that was created comes back.
    pub(super) fn take(&mut self, key: &Bytes) -> Option<i64> {
        let entry = self.entries.pop(key)?;
        self.bytes -= entry.bytes();
        Some(entry.leased)
    }

    /// Whatever was leased before a revision is not handed out from memory any more, nor kept by whoever is taking it.
    pub(super) fn give_up(&mut self, key: &Bytes, before: i64, now: Instant) {
        if self.entries.peek(key).is_some_and(|entry| entry.leased < before) {
            self.take(key);
        }
        if self.given_up.len() >= REMEMBERED {
            self.given_up.retain(|_, given_up| now.duration_since(given_up.at) < BACK_OFF);
            if self.given_up.len() >= REMEMBERED {
                self.given_up.clear();
            }
            // whoever is under way may have missed what was forgotten
            self.epoch += 1;
        }
        let known = self.given_up.entry(key.clone()).or_insert(GivenUp { before, at: now });
        *known = GivenUp { before: before.max(known.before), at: now };
    }

    /// Orders are not heard any more, or the lease is gone: nothing is handed out from memory. What was.
    pub(super) fn give_up_all(&mut self) -> Vec<Released> {
        self.epoch += 1;
        self.bytes = 0;
        let mut all = Vec::new();
        while let Some((key, entry)) = self.entries.pop_lru() {
            all.push((key, entry.leased));
        }
        all
    }

    /// Orders are not heard until [`Self::begin_to_hear`].
    pub(super) fn stop_to_hear(&mut self) -> Vec<Released> {
        self.hears = false;
        self.give_up_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(leased: i64, value: usize) -> Entry {
        let kv = KeyValue {
            key: "k".into(),
            value: vec![b'v'; value].into(),
            create_revision: 3,
            mod_revision: 5,
            version: 2,
            lease: 0,
        };
        Entry { leased, kv, header: ResponseHeader { revision: 7, raft_term: 2, ..Default::default() } }
    }

    fn heard() -> Table {
        let mut table = Table::new();
        table.begin_to_hear();
        table
    }

    #[test]
    fn what_is_given_up_while_it_is_taken_is_not_kept() {
        let (mut table, now, key) = (heard(), Instant::now(), Bytes::from("k"));
        let begun = table.begin();
        table.give_up(&key, 9, now);
        assert_eq!(table.keep(begun, key.clone(), entry(8, 1)), Kept::No);
        assert!(!table.may_take(&key, now) && table.may_take(&key, now + BACK_OFF));
        // taken anew, after that order
        assert_eq!(table.keep(begun, key.clone(), entry(10, 1)), Kept::Yes(vec![]));
        assert_eq!(table.get(&key).map(|entry| entry.leased), Some(10));
        table.give_up(&key, 10, now);
        assert!(table.get(&key).is_some(), "an order of before");
        assert_eq!(table.give_up_all(), [(key.clone(), 10)]);
        assert_eq!(table.keep(begun, key.clone(), entry(20, 1)), Kept::No, "begun before everything was given up");
        assert_eq!(table.stop_to_hear(), []);
        assert!(!table.may_take(&key, now + BACK_OFF));
        assert_eq!(table.keep(table.begin(), key, entry(20, 1)), Kept::No);
    }

    #[test]
    fn memory_is_bounded_in_keys_and_bytes_and_whatever_goes_is_released() {
        let mut table = heard();
        let begun = table.begin();
        assert_eq!(table.keep(begun, "k".into(), entry(1, LARGEST)), Kept::No);
        let mut released = 0;
        for n in 0..40 {
            match table.keep(begun, format!("k{n}").into(), entry(n, LARGEST - 1)) {
                Kept::Yes(gone) => released += gone.len(),
                Kept::No => panic!("{n}"),
            }
        }
        assert_eq!(released, 40 - (BYTES / LARGEST));
        assert!(table.bytes <= BYTES);
        let mut gone = 0;
        for n in 0..KEYS.get() + 10 {
            match table.keep(begun, format!("s{n}").into(), entry(1, 1)) {
                Kept::Yes(released) => gone += released.len(),
                Kept::No => panic!("{n}"),
            }
        }
        assert_eq!(gone, 40 - released + 10);
        // one that is written again is no second one
        let last: Bytes = format!("s{}", KEYS.get() + 9).into();
        assert_eq!(table.keep(begun, last.clone(), entry(1, 2)), Kept::Yes(vec![]));
        assert_eq!((table.take(&last), table.take(&last)), (Some(1), None));
        table.give_up_all();
        assert_eq!(table.bytes, 0);
    }

    #[test]
    fn what_is_forgotten_lets_nobody_keep_an_old_value() {
        let (mut table, now) = (heard(), Instant::now());
        let begun = table.begin();
        table.give_up(&"k".into(), 9, now);
        for n in 0..2 * REMEMBERED {
            table.give_up(&format!("o{n}").into(), 9, now);
        }
        assert!(table.given_up.len() <= REMEMBERED);
        assert_eq!(table.keep(begun, "k".into(), entry(8, 1)), Kept::No);
    }

    #[test]
    fn an_answer_from_memory_is_that_of_a_member() {
        let entry = entry(4, 3);
        let answer = |request: RangeRequest| {
            let answer = entry.answer(&request, 12);
            assert_eq!((answer.header.unwrap().revision, answer.count, answer.more), (12, 1, false));
            answer.kvs.first().map(|kv| kv.value.len())
        };
        let all = RangeRequest::default;
        assert_eq!(answer(all()), Some(3));
        assert_eq!(answer(RangeRequest { keys_only: true, ..all() }), Some(0));
        assert_eq!(answer(RangeRequest { count_only: true, ..all() }), None);
        assert_eq!(answer(RangeRequest { min_mod_revision: 6, ..all() }), None);
        assert_eq!(answer(RangeRequest { max_mod_revision: 5, min_mod_revision: 5, ..all() }), Some(3));
        assert_eq!(answer(RangeRequest { max_create_revision: 2, ..all() }), None);
        assert_eq!(entry.answer(&all(), 6).header.unwrap().revision, 7, "never older than the entry");
    }
}
