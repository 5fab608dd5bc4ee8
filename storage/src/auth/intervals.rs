//! A set of keys as a union of intervals: what all permissions of a user cover together.
//!
//! Must never hold two intervals that overlap or touch: then a range lies in the set if and only if one interval holds it.

use bytes::Bytes;
use model::KeyRange;

/// A set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

/// From a key on, up to another one or to the end of all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interval {
    from: Bytes,
    /// The first key behind it; `None` when there is none.
    to: Option<Bytes>,
}

impl Interval {
    /// Whether it reaches `key`, or ends directly before it.
    fn reaches(&self, key: &[u8]) -> bool {
        self.to.as_ref().is_none_or(|to| to >= key)
    }
}

impl Intervals {
    /// The union of ranges. One that holds no key adds nothing.
    pub fn union(ranges: impl IntoIterator<Item = KeyRange>) -> Self {
        let ranges = ranges.into_iter().filter(|range| !range.is_empty());
        let mut all: Vec<_> = ranges.map(|range| Interval { to: range.upper(), from: range.key }).collect();
        all.sort_unstable_by(|a, b| a.from.cmp(&b.from));
        let mut out: Vec<Interval> = Vec::with_capacity(all.len());
        for next in all {
            match out.last_mut().filter(|last| last.reaches(&next.from)) {
                Some(last) if next.to.as_ref().is_some_and(|to| last.reaches(to)) => {}
                Some(last) => last.to = next.to,
                None => out.push(next),
            }
        }
        Self(out)
    }

    /// Whether all of a range lies in it. Of a range that holds no key its first key must, as in etcd.
    pub fn contains(&self, range: &KeyRange) -> bool {
        let behind = self.0.partition_point(|interval| interval.from <= range.key);
        let Some(interval) = behind.checked_sub(1).map(|at| &self.0[at]) else { return false };
        let Some(to) = &interval.to else { return true };
        let ends_inside = || range.upper().is_some_and(|upper| upper <= *to);
        range.key < *to && (range.is_empty() || ends_inside())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(key: &str, end: &str) -> KeyRange {
        KeyRange::new(Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(end.as_bytes()))
    }

    #[test]
    fn neighbours_make_one_interval_and_gaps_do_not() {
        let set = Intervals::union([range("a", "c"), range("c", "e"), range("g", ""), range("g\0", "k")]);
        for (key, end) in [("a", "e"), ("b", "d"), ("g", "k"), ("g", ""), ("h", "k"), ("d", "")] {
            assert!(set.contains(&range(key, end)), "{key}..{end}");
        }
        for (key, end) in [("a", "g"), ("a", "f"), ("e", ""), ("0", "b"), ("d", "\0"), ("k", ""), ("j", "l")] {
            assert!(!set.contains(&range(key, end)), "{key}..{end}");
        }
        assert!(Intervals::union([range("b", "\0")]).contains(&range("x", "\0")));
        assert!(!Intervals::union([range("b", "\0")]).contains(&range("a", "\0")));
        assert!(!Intervals::default().contains(&range("a", "")));
    }

    #[test]
    fn one_key_does_not_open_everything_behind_it() {
        // GHSA-xg4h-6gfc-h4m8
        assert!(!Intervals::union([range("k", "")]).contains(&range("k", "\0")));
    }

    /// Keys of at most two letters out of three, and of one, so that every border can be tried.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(&[0u8, 1, 2][..]), 1..3)
    }

    fn any_range() -> impl Strategy<Value = KeyRange> {
        let end = prop_oneof![Just(Vec::new()), Just(vec![0]), key()];
        (key(), end).prop_map(|(key, end)| KeyRange::new(key.into(), end.into()))
    }

    /// All keys of up to three letters out of 0, 1, 2 and 3: each interval between two borders holds one of them.
    fn all_keys() -> Vec<Vec<u8>> {
        let mut out = vec![vec![]];
        let mut last = out.clone();
        for _ in 0..4 {
            last = last.iter().flat_map(|key| (0..4).map(|letter| [&key[..], &[letter]].concat())).collect();
            out.extend(last.clone());
        }
        out.remove(0);
        out
    }

    proptest! {
        #[test]
        fn a_range_is_contained_if_every_key_of_it_is(
            granted in prop::collection::vec(any_range(), 0..6),
            asked in any_range(),
        ) {
            let set = Intervals::union(granted.clone());
            let allowed = |key: &[u8]| granted.iter().any(|range| range.contains(key));
            let expected = match asked.is_empty() {
                true => allowed(&asked.key),
                false => all_keys().iter().filter(|key| asked.contains(key)).all(|key| allowed(key)),
            };
            prop_assert_eq!(set.contains(&asked), expected, "{:?} in {:?}", asked, granted);
        }

        #[test]
        fn intervals_neither_overlap_nor_touch(granted in prop::collection::vec(any_range(), 0..8)) {
            let Intervals(all) = Intervals::union(granted);
            for pair in all.windows(2) {
                prop_assert!(pair[0].to.as_ref().is_some_and(|to| *to < pair[1].from), "{:?}", pair);
            }
        }
    }
}
