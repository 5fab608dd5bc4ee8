//! A persistent ordered map: what the deterministic engine keeps per family.
//!
//! Two levels, a spine of shared leaves: a clone is one reference count, a change of a shared map copies the spine and one
//! leaf, so that the read view of every batch may stay alive. Must never be used for real data: the spine is linear in it.

use bytes::Bytes;
use std::sync::Arc;

/// A leaf is halved when it would exceed this many rows.
const LEAF_MAX: usize = 64;

type Leaf = Vec<(Bytes, Bytes)>;

/// Rows in key order. No leaf is ever empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    leaves: Arc<Vec<Arc<Leaf>>>,
    bytes: u64,
}

/// A gap between two rows: behind `slot` rows of leaf number `leaf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    leaf: usize,
    slot: usize,
}

impl Rows {
    /// Key and value bytes of all rows.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let leaf = self.leaves.get(self.leaf_of(key))?;
        leaf.binary_search_by(|row| row.0[..].cmp(key)).ok().map(|slot| &leaf[slot].1)
    }

    pub(super) fn insert(&mut self, key: Bytes, value: Bytes) {
        let at = self.leaf_of(&key);
        self.bytes += (key.len() + value.len()) as u64;
        let leaves = Arc::make_mut(&mut self.leaves);
        let Some(leaf) = leaves.get_mut(at) else {
            leaves.push(Arc::new(vec![(key, value)]));
            return;
        };
        let leaf = Arc::make_mut(leaf);
        match leaf.binary_search_by(|row| row.0.cmp(&key)) {
            Ok(slot) => {
                self.bytes -= (key.len() + leaf[slot].1.len()) as u64;
                leaf[slot].1 = value;
            }
            Err(slot) => leaf.insert(slot, (key, value)),
        }
        if leaf.len() > LEAF_MAX {
            let right = leaf.split_off(LEAF_MAX / 2);
            leaves.insert(at + 1, Arc::new(right));
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let at = self.leaf_of(key);
        let Some(leaf) = self.leaves.get(at) else { return };
        let Ok(slot) = leaf.binary_search_by(|row| row.0[..].cmp(key)) else { return };
        let leaves = Arc::make_mut(&mut self.leaves);
        let leaf = Arc::make_mut(&mut leaves[at]);
        let (key, value) = leaf.remove(slot);
        self.bytes -= (key.len() + value.len()) as u64;
        if leaf.is_empty() {
            leaves.remove(at);
        }
    }

    /// The gap before the first row at or behind `key`.
    pub(super) fn before(&self, key: &[u8]) -> Gap {
        self.gap(key, |row| row < key)
    }

    /// The gap behind the last row at or before `key`.
    pub(super) fn behind(&self, key: &[u8]) -> Gap {
        self.gap(key, |row| row <= key)
    }

    /// The gap behind all rows.
    pub(super) fn end(&self) -> Gap {
        Gap { leaf: self.leaves.len(), slot: 0 }
    }

    /// The row to the right of a gap, and the gap behind it.
    pub(super) fn right(&self, gap: Gap) -> Option<(&[u8], &[u8], Gap)> {
        let Gap { mut leaf, mut slot } = gap;
        if slot == self.leaves.get(leaf)?.len() {
            (leaf, slot) = (leaf + 1, 0);
        }
        let (key, value) = self.leaves.get(leaf)?.get(slot)?;
        Some((key, value, Gap { leaf, slot: slot + 1 }))
    }

    /// The row to the left of a gap, and the gap before it.
    pub(super) fn left(&self, gap: Gap) -> Option<(&[u8], &[u8], Gap)> {
        let Gap { mut leaf, mut slot } = gap;
        if slot == 0 {
            leaf = leaf.checked_sub(1)?;
            slot = self.leaves[leaf].len();
        }
        let (key, value) = &self.leaves[leaf][slot - 1];
        Some((key, value, Gap { leaf, slot: slot - 1 }))
    }

    /// Number of the leaf that holds `key` or would.
    fn leaf_of(&self, key: &[u8]) -> usize {
        self.leaves.partition_point(|leaf| leaf[0].0[..] <= *key).saturating_sub(1)
    }

    fn gap(&self, key: &[u8], left_of: impl Fn(&[u8]) -> bool) -> Gap {
        let leaf = self.leaf_of(key);
        let slot = self.leaves.get(leaf).map_or(0, |rows| rows.partition_point(|row| left_of(&row.0)));
        Gap { leaf, slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_btree_and_clones_stay(ops in proptest::collection::vec((0u16..400, any::<bool>()), 0..900)) {
            let (mut rows, mut model, mut kept) = (Rows::default(), BTreeMap::new(), Vec::new());
            for (n, (key, put)) in ops.into_iter().enumerate() {
                let key = Bytes::copy_from_slice(&key.to_be_bytes());
                if put {
                    let value = Bytes::from(n.to_string());
                    rows.insert(key.clone(), value.clone());
                    model.insert(key, value);
                } else {
                    rows.remove(&key);
                    model.remove(&key);
                }
                if n % 100 == 0 {
                    kept.push((rows.clone(), model.clone()));
                }
            }
            kept.push((rows, model));
            for (rows, model) in kept {
                let (mut gap, mut seen) = (rows.before(b""), Vec::new());
                while let Some((key, value, next)) = rows.right(gap) {
                    seen.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                    gap = next;
                }
                prop_assert_eq!(&seen, &model.clone().into_iter().collect::<Vec<_>>());
                let mut back = Vec::new();
                let mut gap = rows.end();
                while let Some((key, value, next)) = rows.left(gap) {
                    back.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                    gap = next;
                }
                back.reverse();
                prop_assert_eq!(&seen, &back);
                let bytes: usize = model.iter().map(|(k, v)| k.len() + v.len()).sum();
                prop_assert_eq!(rows.bytes(), bytes as u64);
                prop_assert!(model.iter().all(|(k, v)| rows.get(k) == Some(v)));
            }
        }
    }
}
