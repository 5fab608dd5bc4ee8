//! Events of the v2 API: what was done to which node, and what was there before.

use bytes::Bytes;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Action {
    /// Read.
    Get = 0,
    /// Created.
    Create = 1,
    /// Created or replaced.
    Set = 2,
    /// Changed.
    Update = 3,
    /// Deleted.
    Delete = 4,
    /// Changed after a comparison.
    CompareAndSwap = 5,
    /// Deleted after a comparison.
    CompareAndDelete = 6,
    /// Removed because its time was over.
    Expire = 7,
}

impl Action {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Set => "set",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::CompareAndSwap => "compareAndSwap",
            Self::CompareAndDelete => "compareAndDelete",
            Self::Expire => "expire",
        }
    }
}

/// A node as an event or a listing shows it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Node {
    /// Its path.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Value of a file; `None` for a directory, and where the event has none.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
    /// It is a directory.
    #[prost(bool, tag = "3")]
    pub dir: bool,
    /// When it ends, nanoseconds since 1970; `None` for never.
    #[prost(int64, optional, tag = "4")]
    pub expiration: Option<i64>,
    /// Seconds that were left.
    #[prost(int64, tag = "5")]
    pub ttl: i64,
    /// Index of its last change.
    #[prost(uint64, tag = "6")]
    pub modified: u64,
    /// Index of its creation.
    #[prost(uint64, tag = "7")]
    pub created: u64,
}

/// Something that happened to a node.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// What; see [`Self::action`].
    #[prost(enumeration = "Action", tag = "1")]
    pub action: i32,
    /// The node afterwards.
    #[prost(message, required, tag = "2")]
    pub node: Node,
    /// The node before.
    #[prost(message, optional, tag = "3")]
    pub prev_node: Option<Node>,
    /// Only the TTL was changed: watchers do not hear of it.
    #[prost(bool, tag = "4")]
    pub refresh: bool,
    /// Paths that were removed, hashed by [`Self::path_hash`], ascending: whoever watches one of them hears of it.
    #[prost(fixed64, repeated, tag = "5")]
    pub removed: Vec<u64>,
}

impl Event {
    /// Of this action, on this node.
    pub fn of(action: Action, node: Node) -> Self {
        Self { action: action as i32, node, ..Self::default() }
    }

    /// Index of the event: that of its node's last change.
    pub fn index(&self) -> u64 {
        self.node.modified
    }

    /// Whether the node did not exist before: answered with 201.
    pub fn is_created(&self) -> bool {
        self.action == Action::Create as i32 || self.action == Action::Set as i32 && self.prev_node.is_none()
    }

    /// Hash of a path in [`Self::removed`] (FNV-1a).
    pub fn path_hash(path: &[u8]) -> u64 {
        path.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// Whether a node at this path went with the event.
    pub fn removes(&self, path: &[u8]) -> bool {
        !self.removed.is_empty() && self.removed.binary_search(&Self::path_hash(path)).is_ok()
    }
}

/// Seconds that are left at `now`, rounded up; both are nanoseconds since 1970.
pub fn remaining_seconds(expiration: i64, now: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let left = expiration.saturating_sub(now);
    left / SECOND + i64::from(left % SECOND > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_what_is_over_is_zero() {
        let left = |nanos| remaining_seconds(nanos, 0);
        assert_eq!([left(1), left(1_000_000_000), left(1_000_000_001), left(0), left(-5)], [1, 1, 2, 0, 0]);
        assert_eq!(left(-2_500_000_000), -2, "as in etcd, a division of integers");
    }

    #[test]
    fn an_event_names_the_paths_that_went() {
        let mut removed = vec![Event::path_hash(b"/1/a"), Event::path_hash(b"/1/a/b")];
        removed.sort_unstable();
        let event = Event { removed, ..Event::default() };
        assert!(event.removes(b"/1/a/b") && !event.removes(b"/1/a/c"));
    }
}
