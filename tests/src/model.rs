//! A key space kept by replaying events: what a store must hold after them.
//!
//! Must never be told anything but events: it is the second opinion.

use api::mvccpb::{Event, KeyValue};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Present keys, built from events alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    keys: BTreeMap<Bytes, KeyValue>,
    /// Revision of the last event.
    pub revision: i64,
}

impl Present {
    /// Takes one event.
    ///
    /// # Panics
    /// When the event contradicts what came before: a version that does not follow, a delete of nothing, a step back.
    pub fn take(&mut self, event: &Event) {
        let kv = event.kv.clone().expect("an event names its key");
        assert!(kv.mod_revision >= self.revision, "revision goes back from {} to {kv:?}", self.revision);
        self.revision = kv.mod_revision;
        if event.r#type != 0 {
            assert!(self.keys.remove(&kv.key).is_some(), "deleted what was not there: {kv:?}");
            return;
        }
        let before = self.keys.get(&kv.key).map_or(0, |kv| kv.version);
        assert_eq!(kv.version, before + 1, "version does not follow: {kv:?}");
        self.keys.insert(kv.key.clone(), kv);
    }

    /// Present key-values in order.
    pub fn kvs(&self) -> Vec<KeyValue> {
        self.keys.values().cloned().collect()
    }
}
