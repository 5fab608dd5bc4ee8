//! The writes of one transaction in key order, for the ranges it reads after them.
//!
//! Must never outlive its entry: the next one starts from the engine's rows.

use super::slot::Slot;
use crate::read::overlay::Touched;
use crate::read::{Overlay, Pending};
use bytes::Bytes;
use model::KeyRange;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

/// The newest state of a key that the transaction wrote.
#[derive(Debug)]
pub(super) struct WrittenKey {
    /// `None` when it is deleted. A living one always has its key-value at hand.
    pub(super) slot: Option<Slot>,
    /// The key lives in the snapshot.
    existed: bool,
}

/// All keys that the transaction wrote since the snapshot was taken.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<Bytes, WrittenKey>);

impl Written {
    /// Notes a write. `existed`: the key lived just before it.
    pub(super) fn note(&mut self, key: &Bytes, existed: bool, slot: Option<Slot>) {
        match self.0.get_mut(key) {
            Some(known) => known.slot = slot,
            None => {
                self.0.insert(key.clone(), WrittenKey { slot, existed });
            }
        }
    }

    /// The newest state of a key, if it was written.
    pub(super) fn slot(&self, key: &[u8]) -> Option<Option<&Slot>> {
        self.0.get(key).map(|written| written.slot.as_ref())
    }

    /// Notes that the written keys of a range are deleted.
    pub(super) fn delete(&mut self, range: &KeyRange) {
        let upper = range.upper();
        let keys = self.0.range_mut::<[u8], _>(bounds(range.lower(), upper.as_deref()));
        keys.for_each(|(_, written)| written.slot = None);
    }

    /// Forgets everything: the snapshot shows it now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Keys from `lower` on, below `upper`, ascending.
    pub(super) fn from(&self, lower: &[u8], upper: Option<&[u8]>) -> Range<'_, Bytes, WrittenKey> {
        self.0.range::<[u8], _>(bounds(lower, upper))
    }
}

/// Keys from `lower` on, below `upper`; a range that ends before it starts is empty.
fn bounds<'k>(lower: &'k [u8], upper: Option<&'k [u8]>) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    let end = match upper {
        Some(upper) => Bound::Excluded(upper.max(lower)),
        None => Bound::Unbounded,
    };
    (Bound::Included(lower), end)
}

impl WrittenKey {
    fn pending(&self) -> Pending<'_> {
        static NOTHING: Bytes = Bytes::new();
        let kv = self.slot.as_ref().and_then(|slot| slot.kv.as_ref()).unwrap_or(&NOTHING);
        Pending { head: self.slot.as_ref().map(|slot| slot.head), kv, existed: self.existed }
    }
}

impl Overlay for Written {
    fn get(&self, key: &[u8]) -> Option<Pending<'_>> {
        self.0.get(key).map(WrittenKey::pending)
    }

    fn touched<'a>(&'a self, lower: &[u8], upper: Option<&[u8]>) -> Touched<'a> {
        Box::new(self.from(lower, upper).map(|(key, written)| (key.as_ref(), written.pending())))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
