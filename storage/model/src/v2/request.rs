//! A request of the v2 API, as it stands in the log: etcd's `etcdserverpb.Request`, field for field.

use bytes::Bytes;

/// Methods that a request in the log can have.
pub mod method {
    /// Set, create, update or compare-and-swap.
    pub const PUT: &str = "PUT";
    /// Create a key with a name of the server's.
    pub const POST: &str = "POST";
    /// Delete or compare-and-delete.
    pub const DELETE: &str = "DELETE";
    /// Remove what has expired by the time that the request names.
    pub const SYNC: &str = "SYNC";
}

/// `etcdserverpb.Request`. Paths and values are bytes: clients may send what is no text.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Request {
    /// Request id; not in use.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// One of [`method`].
    #[prost(string, tag = "2")]
    pub method: String,
    /// Path in the tree, with the prefix of its part ([`KEYS`](super::KEYS)).
    #[prost(bytes = "bytes", tag = "3")]
    pub path: Bytes,
    /// New value.
    #[prost(bytes = "bytes", tag = "4")]
    pub val: Bytes,
    /// The node is, or becomes, a directory.
    #[prost(bool, tag = "5")]
    pub dir: bool,
    /// Value to compare with; empty for none.
    #[prost(bytes = "bytes", tag = "6")]
    pub prev_value: Bytes,
    /// Index to compare with; zero for none.
    #[prost(uint64, tag = "7")]
    pub prev_index: u64,
    /// Whether the node has to exist; `None` when that does not matter.
    #[prost(bool, optional, tag = "8")]
    pub prev_exist: Option<bool>,
    /// When the node ends, nanoseconds since 1970; zero for never.
    #[prost(int64, tag = "9")]
    pub expiration: i64,
    /// Delete a directory with all that is in it.
    #[prost(bool, tag = "12")]
    pub recursive: bool,
    /// The proposer's clock, nanoseconds since 1970: what TTLs in events are computed from, so that members agree.
    #[prost(int64, tag = "15")]
    pub time: i64,
    /// Change the TTL and leave the value, without an event for watchers.
    #[prost(bool, optional, tag = "17")]
    pub refresh: Option<bool>,
}

/// What a request in the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Create or replace.
    Set,
    /// Create what must not exist; `unique` under a name of the server's.
    Create {
        /// The server names the key.
        unique: bool,
    },
    /// Change what exists.
    Update,
    /// Change what has a value or an index.
    CompareAndSwap,
    /// Delete.
    Delete,
    /// Delete what has a value or an index.
    CompareAndDelete,
    /// Remove what has expired.
    Sync,
}

impl Request {
    /// What the request does; `None` for a method that no request in the log has.
    pub fn operation(&self) -> Option<Operation> {
        let compares = self.prev_index > 0 || !self.prev_value.is_empty();
        Some(match (self.method.as_str(), self.prev_exist) {
            (method::PUT, Some(false)) => Operation::Create { unique: false },
            (method::PUT, Some(true)) if !compares => Operation::Update,
            (method::PUT, _) if compares => Operation::CompareAndSwap,
            (method::PUT, _) => Operation::Set,
            (method::POST, _) => Operation::Create { unique: true },
            (method::DELETE, _) if compares => Operation::CompareAndDelete,
            (method::DELETE, _) => Operation::Delete,
            (method::SYNC, _) => Operation::Sync,
            _ => return None,
        })
    }

    /// True for one that keeps its node's value.
    pub fn is_refresh(&self) -> bool {
        self.refresh == Some(true)
    }

    /// Bytes that the request can add to the store: what the quota takes it for.
    pub fn cost(&self) -> i64 {
        match self.method.as_str() {
            method::PUT | method::POST => {
                let parts = self.path.iter().filter(|byte| **byte == b'/').count();
                (parts * (self.path.len() + 64) + 2 * (self.path.len() + self.val.len() + 64)) as i64
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_what_its_conditions_make_of_it() {
        let put = |prev_exist, prev_index, prev_value: &'static str| {
            let prev_value = Bytes::from_static(prev_value.as_bytes());
            Request { method: method::PUT.into(), prev_exist, prev_index, prev_value, ..Request::default() }.operation()
        };
        assert_eq!(put(None, 0, ""), Some(Operation::Set));
        assert_eq!(put(Some(true), 0, ""), Some(Operation::Update));
        assert_eq!(put(Some(true), 3, ""), Some(Operation::CompareAndSwap));
        assert_eq!(put(None, 0, "v"), Some(Operation::CompareAndSwap));
        assert_eq!(put(Some(false), 3, "v"), Some(Operation::Create { unique: false }), "the conditions are ignored");
        assert_eq!(Request::default().operation(), None);
    }
}
