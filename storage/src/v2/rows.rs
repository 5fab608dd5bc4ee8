//! Rows of the v2 tree in `meta`, byte for byte: the head, nodes, TTLs and events.
//!
//! A node's key begins with the depth of its path, so that the children of a directory stand side by side whatever lies below
//! them. Readers return [`Damaged`], they never panic.

use crate::schema::{Damaged, meta};
use bytes::{BufMut, Bytes};
use model::v2::{Event, Node, remaining_seconds};
use prost::Message;

use super::path;

/// Most parts of a path. A request may make as many directories, each with its whole path in its key: what one request can add stays
/// a small multiple of what it says.
pub const MAX_DEPTH: usize = 256;

fn damaged(why: &'static str) -> Damaged {
    Damaged { family: "meta", why }
}

/// The row `meta::V2`: the numbers of the tree.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Head {
    /// Index of the last event.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Index of the oldest event that is kept; zero before the first one.
    #[prost(uint64, tag = "2")]
    pub first_event: u64,
    /// Nodes.
    #[prost(uint64, tag = "3")]
    pub nodes: u64,
    /// Nodes with a TTL.
    #[prost(uint64, tag = "4")]
    pub expiring: u64,
    /// Bytes of all rows of nodes and events, for the quota.
    #[prost(int64, tag = "5")]
    pub bytes: i64,
}

impl Head {
    /// The row's value.
    pub fn encode_row(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode_row(row: &[u8]) -> Result<Self, Damaged> {
        Self::decode(row).map_err(|_| damaged("bad head of the v2 tree"))
    }
}

/// A node as stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeRow {
    /// Index of its creation.
    #[prost(uint64, tag = "1")]
    pub created: u64,
    /// Index of its last change.
    #[prost(uint64, tag = "2")]
    pub modified: u64,
    /// When it ends, nanoseconds since 1970; `None` for never.
    #[prost(int64, optional, tag = "3")]
    pub expiration: Option<i64>,
    /// It is a directory.
    #[prost(bool, tag = "4")]
    pub dir: bool,
    /// Value of a file.
    #[prost(bytes = "bytes", tag = "5")]
    pub value: Bytes,
}

impl NodeRow {
    /// Reads one.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode_row(row: Bytes) -> Result<Self, Damaged> {
        Self::decode(row).map_err(|_| damaged("bad node of the v2 tree"))
    }

    /// How a listing shows it at `now`.
    pub fn shown(&self, path: &[u8], now: i64) -> Node {
        Node {
            key: Bytes::copy_from_slice(path),
            value: (!self.dir).then(|| self.value.clone()),
            dir: self.dir,
            expiration: self.expiration,
            ttl: self.expiration.map_or(0, |expiration| remaining_seconds(expiration, now)),
            modified: self.modified,
            created: self.created,
        }
    }
}

/// Key of a node's row.
pub fn node_key(path: &[u8]) -> Vec<u8> {
    at_depth(path::depth(path), path)
}

/// Lower bound of the rows at `depth` whose path begins with `prefix`.
pub fn at_depth(depth: usize, prefix: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + prefix.len());
    out.put_u8(meta::V2_NODE);
    out.put_u16(depth.min(usize::from(u16::MAX)) as u16);
    out.put_slice(prefix);
    out
}

/// Path of a node's row key.
///
/// # Errors
/// [`Damaged`].
pub fn path_of(row_key: &[u8]) -> Result<&[u8], Damaged> {
    let path = row_key.get(3..).filter(|path| path.first() == Some(&b'/'));
    path.ok_or_else(|| damaged("bad key of a node of the v2 tree"))
}

/// Key of the row that finds a node by the end of its life.
pub fn ttl_key(expiration: i64, path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(9 + path.len());
    out.put_u8(meta::V2_TTL);
    out.put_u64(expiration as u64 ^ 1 << 63);
    out.put_slice(path);
    out
}

/// Reverse of [`ttl_key`].
///
/// # Errors
/// [`Damaged`].
pub fn split_ttl_key(row_key: &[u8]) -> Result<(i64, &[u8]), Damaged> {
    let bad = || damaged("bad key of a TTL of the v2 tree");
    let (head, path) = row_key.split_at_checked(9).ok_or_else(bad)?;
    let time = u64::from_be_bytes(head[1..].try_into().map_err(|_| bad())?);
    Ok(((time ^ 1 << 63) as i64, path))
}

/// Key of an event's row.
pub fn event_key(index: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(9);
    out.put_u8(meta::V2_EVENT);
    out.put_u64(index);
    out
}

/// Reads an event's row.
///
/// # Errors
/// [`Damaged`].
pub fn decode_event(row: Bytes) -> Result<Event, Damaged> {
    Event::decode(row).map_err(|_| damaged("bad event of the v2 tree"))
}

/// First key behind all that begin with `prefix`, which is not all `ff`.
pub fn behind(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.last() == Some(&0xff) {
        prefix.pop();
    }
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn children_stand_side_by_side_before_what_lies_deeper() {
        let mut keys: Vec<_> = ["/a/b/x", "/a/c", "/a", "/a/b", "/a!"].map(|path| node_key(path.as_bytes())).to_vec();
        keys.sort();
        let paths: Vec<_> = keys.iter().map(|key| path_of(key).unwrap()).collect();
        assert_eq!(paths, [&b"/a"[..], b"/a!", b"/a/b", b"/a/c", b"/a/b/x"]);
    }

    proptest! {
        #[test]
        fn ends_of_lives_order_as_numbers(a: i64, b: i64, path: Vec<u8>) {
            prop_assert_eq!(ttl_key(a, b"/").cmp(&ttl_key(b, b"/")), a.cmp(&b));
            let key = ttl_key(a, &path);
            prop_assert_eq!(split_ttl_key(&key), Ok((a, &path[..])));
        }

        #[test]
        fn damaged_rows_never_panic(row: Vec<u8>) {
            let bytes = Bytes::from(row.clone());
            let _ = (Head::decode_row(&row), NodeRow::decode_row(bytes.clone()), decode_event(bytes));
            let _ = (path_of(&row).is_ok(), split_ttl_key(&row).is_ok());
        }
    }
}
