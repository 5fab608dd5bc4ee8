//! Keys, revisions and key-values, in etcd's `mvccpb` encoding where they are stored or sent.
//!
//! Must never decide anything: what a put does to a key is written in `storage`.

use bytes::Bytes;

/// Name of one version: the main revision of its transaction and its place inside it.
///
/// Ordered by main, then sub. A key can change twice in one main revision, so both parts are needed to name a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Revision of the transaction, starting at 2 for the first write of a new store (1 is the empty store).
    pub main: i64,
    /// Place inside the transaction, starting at 0.
    pub sub: i64,
}

impl Revision {
    /// Length of [`Self::to_bytes`].
    pub const LEN: usize = 16;

    /// A revision from its parts.
    pub const fn new(main: i64, sub: i64) -> Self {
        Self { main, sub }
    }

    /// Big-endian main then sub, so that bytes order as revisions do (both parts are never negative).
    pub fn to_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.main.to_be_bytes());
        out[8..].copy_from_slice(&self.sub.to_be_bytes());
        out
    }

    /// Reverse of [`Self::to_bytes`]; `None` when `bytes` is not 16 long or a part is negative.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (main, sub) = bytes.split_at_checked(8)?;
        let main = i64::from_be_bytes(main.try_into().ok()?);
        let sub = i64::from_be_bytes(sub.try_into().ok()?);
        (main >= 0 && sub >= 0).then_some(Self { main, sub })
    }
}

/// `mvccpb.KeyValue`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct KeyValue {
    /// The key; never empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Main revision of the last creation.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// Main revision of the last change.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// Changes since creation, starting at 1; a delete resets it to zero.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// The value.
    #[prost(bytes = "bytes", tag = "5")]
    pub value: Bytes,
    /// Attached lease, zero for none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// `mvccpb.Event.EventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// The key was created or changed.
    Put = 0,
    /// The key was deleted.
    Delete = 1,
}

/// `mvccpb.Event`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Event {
    /// What happened.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// New key-value; for a delete only key and mod_revision.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
    /// Key-value before the event, where asked for and still kept.
    #[prost(message, optional, tag = "3")]
    pub prev_kv: Option<KeyValue>,
}

/// A range of keys in etcd's encoding of (key, range_end).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// First key.
    pub key: Bytes,
    /// Empty: only `key`. One zero byte: every key from `key` on. Otherwise the first key that is not in the range.
    pub end: Bytes,
}

impl KeyRange {
    /// A range from etcd's two fields.
    pub fn new(key: Bytes, end: Bytes) -> Self {
        Self { key, end }
    }

    /// True when it names one key.
    pub fn is_single(&self) -> bool {
        self.end.is_empty()
    }

    /// True when it runs to the end of the key space.
    pub fn is_open(&self) -> bool {
        self.end.as_ref() == [0]
    }

    /// First key in the range. A lone zero byte as start of a multi-key range means the very first key.
    pub fn lower(&self) -> &[u8] {
        &self.key
    }

    /// First key after the range; `None` when it is open. For a single key this is the key followed by a zero byte.
    pub fn upper(&self) -> Option<Bytes> {
        if self.is_open() {
            return None;
        }
        if self.is_single() {
            let mut next = Vec::with_capacity(self.key.len() + 1);
            next.extend_from_slice(&self.key);
            next.push(0);
            return Some(next.into());
        }
        Some(self.end.clone())
    }

    /// True when `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return self.key == key;
        }
        key >= self.key.as_ref() && (self.is_open() || key < self.end.as_ref())
    }

    /// True when no key can lie in it (`key >= end` of a bounded range).
    pub fn is_empty(&self) -> bool {
        !self.is_single() && !self.is_open() && self.key >= self.end
    }
}
