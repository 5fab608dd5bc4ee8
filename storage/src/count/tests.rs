//! Counting by blocks against counting by hand, over random histories.

use super::rows::{BLOCK_KEYS, GROUP_BLOCKS, read_block, read_group};
use super::{AroundScan, Counts, KeyBounds, KeyChanges, Rebuild, count_present};
use crate::engine::sim::{SimEngine, SimSnapshot};
use crate::engine::{Direction, EmptyStretch, Engine, Family, Op, Scan, Snapshot};
use bytes::Bytes;
use model::KeyRange;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A store of keys alone, written as the applier does it.
struct Store {
    engine: SimEngine,
    counts: Counts,
    keys: BTreeSet<Bytes>,
    revision: i64,
}

impl Store {
    fn new(memo: usize) -> Self {
        let engine = SimEngine::new();
        let counts = Counts::with_memo(&engine.snapshot(), memo).unwrap();
        Self { engine, counts, keys: BTreeSet::new(), revision: 1 }
    }

    fn batch(&mut self, create: &[Bytes], delete: &[Bytes]) {
        let (mut ops, mut created, mut deleted) = (vec![], vec![], vec![]);
        for key in create {
            if self.keys.insert(key.clone()) {
                ops.push(Op::Put { family: Family::Cur, key: key.clone(), value: Bytes::new() });
                created.push(key.clone());
            }
        }
        for key in delete {
            if self.keys.remove(key) {
                ops.push(Op::Delete { family: Family::Cur, key: key.clone() });
                deleted.push(key.clone());
            }
        }
        self.revision += 1;
        let changes = KeyChanges { revision: self.revision, created: &created, deleted: &deleted };
        self.counts.note(&self.engine.snapshot(), changes, &mut ops).unwrap();
        self.engine.write(ops).unwrap();
        assert_eq!(self.counts.total(), self.keys.len() as i64);
    }

    /// The newest state, as readers get it.
    fn snapshot(&mut self) -> SimSnapshot {
        self.engine.snapshot().with_empty_stretches(self.counts.empty_stretches())
    }

    fn check(&mut self, range: &KeyRange) {
        let expected = self.keys.iter().filter(|key| range.contains(key)).count() as i64;
        assert_eq!(count_present(&self.snapshot(), range).unwrap(), expected, "{range:?}");
        assert_eq!(count_present(&self.engine.snapshot(), range).unwrap(), expected, "{range:?}, nothing known");
        self.check_scans(range);
    }

    /// A scan around deleted keys finds every living one, from both ends.
    fn check_scans(&mut self, range: &KeyRange) {
        let snapshot = self.snapshot();
        let upper = range.upper();
        let mut living: Vec<_> = self.keys.iter().filter(|key| range.contains(key)).cloned().collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let bounds = KeyBounds { lower: range.lower(), upper: upper.as_deref(), direction };
            let mut found = vec![];
            let mut scan = AroundScan::living(&snapshot, bounds);
            while !bounds.is_empty()
                && let Some((key, _)) = scan.next().unwrap()
            {
                found.push(Bytes::copy_from_slice(key));
            }
            assert_eq!(found, living, "{range:?} {direction:?}");
            living.reverse();
        }
    }

    /// Every block counts the keys between its start and the next; every group the blocks that start in it.
    fn check_rows(&mut self) {
        let snapshot = self.snapshot();
        let blocks = rows(&snapshot, super::rows::BLOCK);
        let groups = rows(&snapshot, super::rows::GROUP);
        let mut total = 0;
        for (n, row) in groups.iter().enumerate() {
            let (start, group) = read_group((&row.0, &row.1)).unwrap();
            let next = groups.get(n + 1).map(|row| &row.0[1..]);
            let inside: Vec<u64> = blocks
                .iter()
                .filter(|row| &row.0[1..] >= start && next.is_none_or(|next| &row.0[1..] < next))
                .map(|row| read_block((&row.0, &row.1)).unwrap().1.keys)
                .collect();
            assert_eq!((group.keys, group.blocks), (inside.iter().sum(), inside.len() as u32));
            assert!(n == 0 || group.blocks > 0, "an empty group stays");
            total += group.keys;
        }
        assert_eq!(total, self.keys.len() as u64);
        for (n, row) in blocks.iter().enumerate() {
            let (start, block) = read_block((&row.0, &row.1)).unwrap();
            let next = blocks.get(n + 1).map(|row| Bytes::copy_from_slice(&row.0[1..]));
            let owned =
                self.keys.iter().filter(|key| &key[..] >= start && next.as_ref().is_none_or(|next| *key < next));
            assert_eq!(owned.count() as u64, block.keys);
            assert!(n == 0 || (block.keys == 0) == (block.died != 0), "{block:?}");
            let known = snapshot.empty_stretches().holding(start);
            assert_eq!(known.is_some(), block.keys == 0, "{start:?} {block:?}");
            assert!(known.is_none_or(|known| known.since >= block.died && reaches(known, next.as_deref())));
        }
        let mut wrong = vec![];
        super::verify(&self.engine.snapshot(), -1, |what| wrong.push(what)).unwrap();
        assert_eq!(wrong, [""; 0]);
    }
}

fn reaches(stretch: &EmptyStretch, end: Option<&[u8]>) -> bool {
    stretch.end.as_deref().is_none_or(|own| end.is_some_and(|end| own >= end))
}

fn rows(snapshot: &SimSnapshot, kind: u8) -> Vec<(Bytes, Bytes)> {
    let mut found = vec![];
    let mut scan = snapshot.scan(Family::Cnt, &[kind], Some(&[kind + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next().unwrap() {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    }
    found
}

/// Keys of one to three bytes, so that prefixes of each other and the empty end occur.
fn key() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(0u8..12, 1..4).prop_map(Bytes::from)
}

fn keys(most: usize) -> impl Strategy<Value = Vec<Bytes>> {
    proptest::collection::vec(key(), 0..most)
}

fn range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![key(), Just(Bytes::from_static(&[0])), Just(Bytes::new())];
    let start = prop_oneof![4 => key(), 1 => Just(Bytes::from_static(&[0])), 1 => Just(Bytes::new())];
    (start, end).prop_map(|(key, end)| KeyRange::new(key, end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn counts_as_by_hand(
        memo in prop_oneof![Just(0usize), Just(4_000), Just(1 << 20)],
        batches in proptest::collection::vec((keys(120), keys(60), any::<bool>(), any::<bool>()), 1..40),
        ranges in proptest::collection::vec(range(), 12),
    ) {
        let mut store = Store::new(memo);
        for (create, delete, sweep, restart) in batches {
            // Now and then a whole stretch goes, so that blocks and groups empty.
            let swept: Vec<_> = store.keys.iter().filter(|key| sweep && key[0] > 3 && key[0] < 10).cloned().collect();
            store.batch(&create, &delete);
            store.batch(&[], &swept);
            if restart {
                store.counts = Counts::with_memo(&store.engine.snapshot(), memo).unwrap();
            }
            store.check_rows();
            ranges.iter().for_each(|range| store.check(range));
        }
    }

    #[test]
    fn rebuilt_rows_count_and_go_on_counting(first in keys(900), then in keys(300), gone in keys(900), ranges in proptest::collection::vec(range(), 12)) {
        let keys: BTreeSet<_> = first.into_iter().collect();
        let engine = SimEngine::new();
        let (mut rebuild, mut ops) = (Rebuild::new(), vec![]);
        for key in &keys {
            rebuild.key(key, &mut ops);
            ops.push(Op::Put { family: Family::Cur, key: key.clone(), value: Bytes::new() });
        }
        rebuild.finish(&mut ops);
        engine.write(ops).unwrap();
        let counts = Counts::new(&engine.snapshot()).unwrap();
        let mut store = Store { engine, counts, keys, revision: 1 };
        store.check_rows();
        store.batch(&then, &gone);
        store.check_rows();
        ranges.iter().for_each(|range| store.check(range));
    }
}

#[test]
fn blocks_and_groups_stay_near_their_sizes_under_appends() {
    let mut store = Store::new(4_000);
    for n in 0u32..2_000 {
        store.batch(&[Bytes::copy_from_slice(&n.to_be_bytes())], &[]);
    }
    store.check_rows();
    let snapshot = store.engine.snapshot();
    let blocks = rows(&snapshot, super::rows::BLOCK);
    assert!(blocks.iter().all(|row| read_block((&row.0, &row.1)).unwrap().1.keys <= 2 * BLOCK_KEYS + 1));
    assert!(blocks.len() <= 2 + 2_000 / BLOCK_KEYS as usize, "{}", blocks.len());
    let groups = rows(&snapshot, super::rows::GROUP);
    assert!(groups.iter().all(|row| read_group((&row.0, &row.1)).unwrap().1.blocks <= 2 * GROUP_BLOCKS + 1));
}

#[test]
fn one_huge_batch_is_cut_in_the_batches_that_follow() {
    let mut store = Store::new(1 << 20);
    let many: Vec<_> = (0u32..3_000).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
    store.batch(&many, &[]);
    for n in 0u32..100 {
        let key = Bytes::copy_from_slice(&(n | 0x100_0000).to_be_bytes());
        store.batch(std::slice::from_ref(&key), &[]);
    }
    store.check_rows();
    let blocks = rows(&store.engine.snapshot(), super::rows::BLOCK);
    assert!(blocks.iter().all(|row| read_block((&row.0, &row.1)).unwrap().1.keys <= 2 * BLOCK_KEYS + 1));
}

#[test]
fn a_key_created_and_deleted_in_one_batch_counts_nothing() {
    let mut store = Store::new(0);
    store.batch(&["a".into(), "b".into()], &["a".into()]);
    assert_eq!(store.counts.total(), 1);
    store.check_rows();
}

#[test]
fn deleting_what_was_never_counted_is_told_as_damage() {
    let engine = SimEngine::new();
    let mut counts = Counts::new(&engine.snapshot()).unwrap();
    let changes = KeyChanges { revision: 2, created: &[], deleted: &["a".into()] };
    assert!(counts.note(&engine.snapshot(), changes, &mut vec![]).is_err());
}

#[test]
fn verifying_names_the_block_and_the_group_that_count_wrong() {
    let mut store = Store::new(4_000);
    let many: Vec<_> = (0u32..200).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
    store.batch(&many, &[]);
    let extra = Op::Put { family: Family::Cur, key: Bytes::from_static(b"\xff"), value: Bytes::new() };
    store.engine.write(vec![extra]).unwrap();
    let mut wrong = vec![];
    super::verify(&store.engine.snapshot(), -1, |what| wrong.push(what)).unwrap();
    assert!(wrong.len() == 1 && wrong[0].starts_with("the block from"), "{wrong:?}");
    let group = super::rows::put_group(&[], super::rows::Group { keys: 1, blocks: 1 });
    store.engine.write(vec![group]).unwrap();
    super::verify(&store.engine.snapshot(), -1, |what| wrong.push(what)).unwrap();
    assert!(wrong.iter().any(|what| what.starts_with("the group from")), "{wrong:?}");
}
