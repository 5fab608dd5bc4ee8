//! Applier → watch hub.

use bytes::Bytes;
use std::sync::Arc;

/// One event as the applier produced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// True for a delete.
    pub delete: bool,
    /// True for the first version of a key.
    pub create: bool,
    /// The key.
    pub key: Bytes,
    /// Encoded key-value as stored in `log` (a tombstone's has key and mod_revision).
    pub kv: Bytes,
    /// The version it superseded, (main, sub); (0, 0) for none.
    pub superseded: (i64, i64),
}

/// All events of one main revision, in sub order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRevision {
    /// The main revision.
    pub revision: i64,
    /// Its events.
    pub events: Vec<WatchEvent>,
}

/// Bytes that an event of a list occupies besides its key-value: the struct itself.
pub const EVENT_OVERHEAD: usize = 96;
const _: () = assert!(EVENT_OVERHEAD >= size_of::<WatchEvent>());

impl WatchRevision {
    /// Bytes that the events occupy while they are on their way to the hub, or wait there.
    pub fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.kv.len() + EVENT_OVERHEAD).sum()
    }
}

/// Applier → hub: the store reached `revision`. `events` are the revisions since the last message; left out when the hub is
/// behind by more than the ring holds (it then reads the store).
#[derive(Clone, Debug)]
pub struct Advanced {
    /// Current revision of the published view.
    pub revision: i64,
    /// Compact revision of the published view.
    pub compact_revision: i64,
    /// New revisions, ascending; `None` means: read the store.
    pub events: Option<Arc<[WatchRevision]>>,
    /// A snapshot replaced the store.
    pub restored: bool,
}

impl actix::Message for Advanced {
    type Result = ();
}
