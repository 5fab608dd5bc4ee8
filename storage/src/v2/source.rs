//! Rows of `meta` as the tree reads them: those of a snapshot, and over them what was written since it was taken.
//!
//! Must never write to the engine.

use crate::auth::rows::ReadRowsError;
use crate::engine::{Direction, Family, Scan, Snapshot};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What has been written since the snapshot was taken; `None` for a removed row.
pub(super) type Written = BTreeMap<Bytes, Option<Bytes>>;

/// Looks at a row's key and value; false when it has seen enough.
pub(super) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<bool, ReadRowsError> + 'v;

/// A snapshot under what was written since.
pub(super) struct Source<'s, S> {
    snapshot: &'s S,
    written: Option<&'s Written>,
}

impl<S> Clone for Source<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Source<'_, S> {}

impl<'s, S: Snapshot> Source<'s, S> {
    pub(super) fn new(snapshot: &'s S, written: Option<&'s Written>) -> Self {
        Self { snapshot, written }
    }

    /// One row.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadRowsError> {
        if let Some(row) = self.written.and_then(|written| written.get(key)) {
            return Ok(row.clone());
        }
        Ok(self.snapshot.get(Family::Meta, key)?)
    }

    /// Visits rows with `lower <= key < upper` in key order, until `visit` says that it has enough.
    pub(super) fn walk(&self, lower: &[u8], upper: &[u8], visit: &mut Visit<'_>) -> Result<(), ReadRowsError> {
        let nothing = Written::new();
        let bounds = (Bound::Included(lower), Bound::Excluded(upper.max(lower)));
        let mut written = self.written.unwrap_or(&nothing).range::<[u8], _>(bounds).peekable();
        let mut scan = self.snapshot.scan(Family::Meta, lower, Some(upper), Direction::Forward);
        while let Some((key, value)) = scan.next()? {
            while let Some((newer, row)) = written.next_if(|(newer, _)| newer[..] < *key) {
                if let Some(row) = row
                    && !visit(newer, row)?
                {
                    return Ok(());
                }
            }
            let replaced = written.next_if(|(newer, _)| newer[..] == *key);
            let row = match replaced {
                Some((_, row)) => row.as_deref(),
                None => Some(value),
            };
            if let Some(row) = row
                && !visit(key, row)?
            {
                return Ok(());
            }
        }
        for (newer, row) in written {
            if let Some(row) = row
                && !visit(newer, row)?
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim::SimEngine;
    use crate::engine::{Engine, Op};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_walk_sees_what_was_written_in_its_place(
            below in proptest::collection::btree_map(0u8..40, any::<u8>(), 0..30),
            above in proptest::collection::btree_map(0u8..40, any::<Option<u8>>(), 0..30),
            lower in 0u8..40, upper in 0u8..40, most in 1usize..50,
        ) {
            let engine = SimEngine::new();
            let row = |n: &u8| Bytes::copy_from_slice(&[*n]);
            let puts = below.iter().map(|(k, v)| Op::Put { family: Family::Meta, key: row(k), value: row(v) });
            engine.write(puts.collect()).unwrap();
            let written: Written = above.iter().map(|(k, v)| (row(k), v.as_ref().map(row))).collect();
            let snapshot = engine.snapshot();
            let source = Source::new(&snapshot, Some(&written));
            let mut seen = Vec::new();
            source.walk(&[lower], &[upper], &mut |k, v| {
                seen.push((k[0], v[0]));
                Ok(seen.len() < most)
            }).unwrap();
            let mut both = below.clone();
            for (k, v) in &above {
                match v {
                    Some(v) => both.insert(*k, *v),
                    None => both.remove(k),
                };
            }
            let inside = both.iter().filter(|(k, _)| (lower..upper).contains(k)).map(|(k, v)| (*k, *v));
            prop_assert_eq!(seen, inside.take(most).collect::<Vec<_>>());
            for key in 0..40 {
                prop_assert_eq!(source.get(&[key]).unwrap(), both.get(&key).map(row));
            }
        }
    }
}
