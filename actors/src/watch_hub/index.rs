//! Who watches a key: hash maps for single keys and prefixes, so that an event costs one look-up per prefix length in use.
//!
//! Other ranges hang below the longest prefix that all their keys share. Must never hold more than one entry per watcher.

use bytes::Bytes;
use model::KeyRange;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Watchers (or other numbers) by the ranges that they watch.
#[derive(Debug)]
pub(super) struct Index<W> {
    singles: HashMap<Bytes, Bucket<W>>,
    prefixes: HashMap<Bytes, Bucket<W>>,
    /// Ranges that are no prefix, below the prefix their keys share.
    bounded: HashMap<Bytes, BTreeMap<W, KeyRange>>,
    /// How many watchers hang below a prefix of this length.
    lengths: BTreeMap<usize, usize>,
}

impl<W> Default for Index<W> {
    fn default() -> Self {
        Self { singles: HashMap::new(), prefixes: HashMap::new(), bounded: HashMap::new(), lengths: BTreeMap::new() }
    }
}

/// Most keys have one watcher.
#[derive(Debug)]
enum Bucket<W> {
    One(W),
    Many(BTreeSet<W>),
}

impl<W: Copy + Ord> Bucket<W> {
    fn insert(&mut self, watcher: W) {
        match self {
            Self::One(first) => *self = Self::Many([*first, watcher].into()),
            Self::Many(all) => {
                all.insert(watcher);
            }
        }
    }

    /// True when it is empty now.
    fn remove(&mut self, watcher: W) -> bool {
        match self {
            Self::One(only) => *only == watcher,
            Self::Many(all) => {
                all.remove(&watcher);
                all.is_empty()
            }
        }
    }

    fn append_to(&self, out: &mut Vec<W>) {
        match self {
            Self::One(only) => out.push(*only),
            Self::Many(all) => out.extend(all),
        }
    }
}

/// How a range is filed.
enum Shelf {
    Single,
    /// Exactly the keys with this prefix.
    Prefix(Bytes),
    /// Some of the keys with this prefix.
    Bounded(Bytes),
}

fn shelf(range: &KeyRange) -> Shelf {
    if range.is_single() {
        return Shelf::Single;
    }
    if range.is_open() {
        // no key is empty, so what starts at the zero byte is everything
        let all = range.key.as_ref() <= &[0][..];
        return if all { Shelf::Prefix(Bytes::new()) } else { Shelf::Bounded(Bytes::new()) };
    }
    let shared = range.key.iter().zip(&range.end).take_while(|(a, b)| a == b).count();
    if is_prefix(range, shared) { Shelf::Prefix(range.key.clone()) } else { Shelf::Bounded(range.key.slice(..shared)) }
}

/// True for [p, p + 1): the end is p with its last byte (after cutting 0xff) one higher.
fn is_prefix(range: &KeyRange, shared: usize) -> bool {
    range.end.len() == shared + 1
        && range.key.len() > shared
        && range.key[shared].checked_add(1) == Some(range.end[shared])
        && range.key[shared + 1..].iter().all(|byte| *byte == 0xff)
}

impl<W: Copy + Ord> Index<W> {
    pub(super) fn insert(&mut self, range: &KeyRange, watcher: W) {
        let add = |map: &mut HashMap<Bytes, Bucket<W>>, key: Bytes| {
            map.entry(key).and_modify(|bucket| bucket.insert(watcher)).or_insert(Bucket::One(watcher));
        };
        let length = match shelf(range) {
            Shelf::Single => return add(&mut self.singles, range.key.clone()),
            Shelf::Prefix(prefix) => {
                let length = prefix.len();
                add(&mut self.prefixes, prefix);
                length
            }
            Shelf::Bounded(prefix) => {
                let length = prefix.len();
                self.bounded.entry(prefix).or_default().insert(watcher, range.clone());
                length
            }
        };
        *self.lengths.entry(length).or_default() += 1;
    }

    pub(super) fn remove(&mut self, range: &KeyRange, watcher: W) {
        let cut = |map: &mut HashMap<Bytes, Bucket<W>>, key: &[u8]| {
            if map.get_mut(key).is_some_and(|bucket| bucket.remove(watcher)) {
                map.remove(key);
            }
        };
        let length = match shelf(range) {
            Shelf::Single => return cut(&mut self.singles, &range.key),
            Shelf::Prefix(prefix) => {
                cut(&mut self.prefixes, &prefix);
                prefix.len()
            }
            Shelf::Bounded(prefix) => {
                let ranges = self.bounded.get_mut(&prefix).expect("filed there when it was inserted");
                ranges.remove(&watcher);
                if ranges.is_empty() {
                    self.bounded.remove(&prefix);
                }
                prefix.len()
            }
        };
        let count = self.lengths.get_mut(&length).expect("counted when it was inserted");
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&length);
        }
    }

    /// Appends who watches the key.
    pub(super) fn find(&self, key: &[u8], out: &mut Vec<W>) {
        if let Some(bucket) = self.singles.get(key) {
            bucket.append_to(out);
        }
        for length in self.lengths.keys() {
            let Some(prefix) = key.get(..*length) else { break };
            if let Some(bucket) = self.prefixes.get(prefix) {
                bucket.append_to(out);
            }
            if let Some(ranges) = self.bounded.get(prefix) {
                out.extend(ranges.iter().filter(|(_, range)| range.contains(key)).map(|(watcher, _)| watcher));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(0xfe), Just(0xff)], 1..4)
            .prop_map(Bytes::from)
    }

    fn prefix_end(key: &Bytes) -> Bytes {
        let mut end = key.to_vec();
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                return end.into();
            }
        }
        Bytes::from_static(&[0])
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        (part(), part(), 0..4).prop_map(|(key, end, kind)| match kind {
            0 => KeyRange::new(key, Bytes::new()),
            1 => KeyRange::new(key.clone(), prefix_end(&key)),
            2 => KeyRange::new(key, Bytes::from_static(&[0])),
            _ => KeyRange::new(key, end),
        })
    }

    proptest! {
        #[test]
        fn finds_exactly_the_ranges_that_contain_the_key(
            ranges in proptest::collection::vec(range(), 0..20), keys in proptest::collection::vec(part(), 1..20), cut in 0usize..20
        ) {
            let ranges: Vec<_> = ranges.into_iter().filter(|r| !r.is_empty()).collect();
            let mut index = Index::<u32>::default();
            ranges.iter().enumerate().for_each(|(n, r)| index.insert(r, n as u32));
            let cut = cut.min(ranges.len());
            ranges.iter().enumerate().take(cut).for_each(|(n, r)| index.remove(r, n as u32));
            for key in keys {
                let mut found = Vec::new();
                index.find(&key, &mut found);
                found.sort_unstable();
                let wanted: Vec<u32> = (cut..ranges.len()).filter(|n| ranges[*n].contains(&key)).map(|n| n as u32).collect();
                prop_assert_eq!(found, wanted);
            }
            ranges.iter().enumerate().skip(cut).for_each(|(n, r)| index.remove(r, n as u32));
            prop_assert!(index.singles.is_empty() && index.prefixes.is_empty() && index.bounded.is_empty() && index.lengths.is_empty());
        }
    }
}
