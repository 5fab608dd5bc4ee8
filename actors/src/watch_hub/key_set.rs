//! The keys that a shared scan of the log is about: a union of ranges that answers "is this key wanted" by binary search.
//!
//! Must never grow with overlap: what touches is merged.

use bytes::Bytes;
use model::KeyRange;

/// A set of keys made of ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<(Bytes, Option<Bytes>)>);

impl KeySet {
    /// Every key.
    pub fn all() -> Self {
        Self(vec![(Bytes::new(), None)])
    }

    /// The union of ranges.
    pub fn of<'a>(ranges: impl Iterator<Item = &'a KeyRange>) -> Self {
        let mut spans: Vec<_> = ranges.map(|r| (r.key.clone(), r.upper())).collect();
        spans.sort_unstable();
        let mut merged: Vec<(Bytes, Option<Bytes>)> = Vec::new();
        for (lower, upper) in spans {
            match merged.last_mut() {
                Some((_, None)) => break,
                Some((_, Some(end))) if lower <= *end => {
                    if upper.as_ref().is_none_or(|upper| upper > end) {
                        merged.last_mut().expect("matched").1 = upper;
                    }
                }
                _ => merged.push((lower, upper)),
            }
        }
        Self(merged)
    }

    /// Whether the key is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        let after = self.0.partition_point(|(lower, _)| lower.as_ref() <= key);
        let Some((_, upper)) = after.checked_sub(1).and_then(|at| self.0.get(at)) else { return false };
        upper.as_ref().is_none_or(|upper| key < upper.as_ref())
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key, when it is the only one: whoever reads can then go through the key's own versions.
    pub fn single(&self) -> Option<&Bytes> {
        match &self.0[..] {
            [(lower, Some(upper))] if upper.strip_suffix(&[0]) == Some(lower) => Some(lower),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(key.into(), end.into())
    }

    #[test]
    fn overlapping_ranges_merge_and_gaps_stay() {
        let set = KeySet::of([range("c", "e"), range("a", "b"), range("d", "f"), range("x", "")].iter());
        assert_eq!(set.0.len(), 3);
        for (key, wanted) in
            [("a", true), ("b", false), ("c", true), ("ez", true), ("f", false), ("x", true), ("xa", false)]
        {
            assert_eq!(set.contains(key.as_bytes()), wanted, "{key}");
        }
        assert!(KeySet::of([range("b", "\0"), range("a", "")].iter()).contains(b"zz"));
        assert!(KeySet::all().contains(b"\0") && !KeySet::default().contains(b"a"));
    }

    #[test]
    fn a_lone_key_is_known_as_one() {
        assert_eq!(KeySet::of([range("x", ""), range("x", "")].iter()).single(), Some(&Bytes::from_static(b"x")));
        assert_eq!(KeySet::of([range("x", "z")].iter()).single(), None);
        assert_eq!(KeySet::all().single(), None);
    }
}
