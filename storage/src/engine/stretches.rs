//! Stretches of keys in which nothing lives: what a writer knows about a snapshot, handed on with it.
//!
//! A hint for scans, never a source of truth: a stretch may be missing, but one that is there must hold for the snapshot it comes with.

use bytes::Bytes;

/// Keys `start <= key < end`, none of which lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyStretch {
    /// First key.
    pub start: Bytes,
    /// First key behind; `None` is no bound.
    pub end: Option<Bytes>,
    /// Main revision since which it is empty; [`i64::MAX`] when that is not known.
    pub since: i64,
}

/// Stretches that do not overlap, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmptyStretches(Vec<EmptyStretch>);

impl EmptyStretches {
    /// None.
    pub fn none() -> &'static Self {
        static NONE: EmptyStretches = EmptyStretches(Vec::new());
        &NONE
    }

    /// The stretch that holds `key`.
    pub fn holding(&self, key: &[u8]) -> Option<&EmptyStretch> {
        let found = self.0[..self.0.partition_point(|stretch| stretch.start <= key)].last()?;
        found.end.as_ref().is_none_or(|end| key < end).then_some(found)
    }

    /// The stretch that holds the last keys below `end`; those of all keys when there is no end.
    pub fn below(&self, end: Option<&[u8]>) -> Option<&EmptyStretch> {
        let Some(end) = end else { return self.0.last().filter(|stretch| stretch.end.is_none()) };
        let found = self.0[..self.0.partition_point(|stretch| &stretch.start[..] < end)].last()?;
        found.end.as_ref().is_none_or(|own| end <= own).then_some(found)
    }
}

impl FromIterator<EmptyStretch> for EmptyStretches {
    /// They must come ascending and must not overlap.
    fn from_iter<I: IntoIterator<Item = EmptyStretch>>(stretches: I) -> Self {
        Self(stretches.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_found_by_the_keys_in_it_and_by_the_end_of_a_range() {
        let stretch = |start: &'static str, end: Option<&'static str>| EmptyStretch {
            start: start.into(),
            end: end.map(Into::into),
            since: 1,
        };
        let stretches: EmptyStretches = [stretch("b", Some("d")), stretch("f", None)].into_iter().collect();
        let holding = |key: &str| stretches.holding(key.as_bytes()).map(|s| s.start.clone());
        assert_eq!(holding("a"), None);
        assert_eq!((holding("b"), holding("c")), (Some("b".into()), Some("b".into())));
        assert_eq!((holding("d"), holding("e")), (None, None));
        assert_eq!((holding("f"), holding("z")), (Some("f".into()), Some("f".into())));
        let below = |end: Option<&str>| stretches.below(end.map(str::as_bytes)).map(|s| s.start.clone());
        assert_eq!((below(Some("a")), below(Some("b")), below(Some("e"))), (None, None, None));
        assert_eq!((below(Some("c")), below(Some("d"))), (Some("b".into()), Some("b".into())));
        assert_eq!((below(Some("f")), below(Some("g")), below(None)), (None, Some("f".into()), Some("f".into())));
        assert!(EmptyStretches::none().holding(b"a").is_none() && EmptyStretches::none().below(None).is_none());
    }
}
