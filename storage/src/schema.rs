//! What the rows of the five families mean: keys and values, byte for byte.
//!
//! The only place that knows the encodings. All integers are big-endian; every reader returns [`Damaged`] instead of
//! panicking, because rows come from a disk.
//!
//! | family | key | value |
//! |---|---|---|
//! | `log`  | [`Revision`] (16) | [`LogRow`]: kind (1), superseded revision (16), length of its `KeyValue` (4), encoded `KeyValue` |
//! | `cur`  | user key | [`Head`] (44), then the encoded `KeyValue` when it has at most [`INLINE_MAX`] bytes |
//! | `hist` | [`hist_key`]: escaped user key, terminator, complement of the revision | [`HistRow`]: kind (1), create, version, lease |
//! | `cnt`  | see `count` | see `count` |
//! | `meta` | first byte [`meta`], then as said there | as said there |
//!
//! A version is written to `log` once. `cur` names the newest version of every living key. `hist` gets a row for a version
//! when it is superseded (its old head) and for every tombstone; a key that was only ever created has none.

use bytes::{BufMut, Bytes};
use model::Revision;

/// A row that does not read back: damage, or a newer version's format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged row in {family}: {why}")]
pub struct Damaged {
    /// The family's name.
    pub family: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Encoded key-values up to this many bytes stand in `cur` as well, so that reads of the present need one look-up.
pub const INLINE_MAX: usize = 512;

/// What a version did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The key did not exist before.
    Create = 0,
    /// The key existed.
    Update = 1,
    /// The key was deleted (tombstone).
    Delete = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|k| *k as u8 == byte)
    }
}

/// Value in `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// What happened.
    pub kind: Kind,
    /// The version this one superseded; zero for a create.
    pub superseded: Revision,
    /// Length of that version's encoded `KeyValue`: what a compaction frees, without a look at it.
    pub superseded_len: u32,
    /// Encoded `KeyValue`; a tombstone's has key and mod_revision only.
    pub kv: Bytes,
}

impl LogRow {
    /// Bytes before the encoded key-value.
    pub const HEAD: usize = 21;

    /// Row bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(Self::HEAD + self.kv.len());
        Self::encode_head(self.kind, self.superseded, self.superseded_len, &mut out);
        out.put_slice(&self.kv);
        out.into()
    }

    /// Appends what stands before the key-value.
    pub fn encode_head(kind: Kind, superseded: Revision, superseded_len: u32, out: &mut impl BufMut) {
        out.put_u8(kind as u8);
        out.put_slice(&superseded.to_bytes());
        out.put_u32(superseded_len);
    }

    /// Key and value bytes of a row with a key-value of `len` bytes.
    pub fn bytes(len: usize) -> i64 {
        (Revision::LEN + Self::HEAD + len) as i64
    }

    /// Reads a row; `kv` shares its buffer.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(row: Bytes) -> Result<Self, Damaged> {
        let (kind, superseded) = Self::decode_head(&row)?;
        Ok(Self { kind, superseded, superseded_len: Self::superseded_len(&row)?, kv: row.slice(Self::HEAD..) })
    }

    /// Reads only what stands before the key-value.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode_head(row: &[u8]) -> Result<(Kind, Revision), Damaged> {
        let damaged = |why| Damaged { family: "log", why };
        let head = row.get(..Self::HEAD).ok_or(damaged("too short"))?;
        let kind = Kind::from_byte(head[0]).ok_or(damaged("unknown kind"))?;
        Ok((kind, Revision::from_bytes(&head[1..17]).ok_or(damaged("bad superseded revision"))?))
    }

    /// Reads only the length of what it superseded.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn superseded_len(row: &[u8]) -> Result<u32, Damaged> {
        let len = row.get(17..Self::HEAD).and_then(|len| len.try_into().ok());
        len.map(u32::from_be_bytes).ok_or(Damaged { family: "log", why: "too short" })
    }
}

/// Head of a living key, first part of its value in `cur`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Main revision of its creation.
    pub create: i64,
    /// Its newest version.
    pub modified: Revision,
    /// Changes since creation, starting at 1.
    pub version: i64,
    /// Attached lease, zero for none.
    pub lease: i64,
    /// Length of the encoded key-value, wherever it stands.
    pub len: u32,
}

impl Head {
    /// Length of an encoded head.
    pub const LEN: usize = 44;

    /// Row bytes: the head, and the key-value when it is small enough to stand here.
    pub fn encode(&self, kv: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(Self::LEN + kv.len().min(INLINE_MAX));
        self.encode_into(kv, &mut out);
        out.into()
    }

    /// As [`Self::encode`], appended to `out`: at most [`Self::LEN`] and [`INLINE_MAX`] bytes.
    pub fn encode_into(&self, kv: &[u8], out: &mut impl BufMut) {
        out.put_i64(self.create);
        out.put_slice(&self.modified.to_bytes());
        out.put_i64(self.version);
        out.put_i64(self.lease);
        out.put_u32(self.len);
        out.put_slice(if kv.len() <= INLINE_MAX { kv } else { &[] });
    }

    /// Reads the head of a row.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(row: &[u8]) -> Result<Self, Damaged> {
        let damaged = |why| Damaged { family: "cur", why };
        let head = row.get(..Self::LEN).ok_or(damaged("too short"))?;
        let int = |at: usize| i64::from_be_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        Ok(Self {
            create: int(0),
            modified: Revision::from_bytes(&head[8..24]).ok_or(damaged("bad revision"))?,
            version: int(24),
            lease: int(32),
            len: u32::from_be_bytes(head[40..44].try_into().expect("four bytes")),
        })
    }

    /// The key-value that stands behind the head, or `None` when it must be read from `log` at `modified`.
    pub fn inline(row: &[u8]) -> Option<&[u8]> {
        row.get(Self::LEN..).filter(|kv| !kv.is_empty())
    }
}

/// Value in `hist`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistRow {
    /// What the version did.
    pub kind: Kind,
    /// Main revision of the key's creation; zero for a tombstone.
    pub create: i64,
    /// Its version; zero for a tombstone.
    pub version: i64,
    /// Its lease.
    pub lease: i64,
}

impl HistRow {
    /// Length of an encoded row.
    pub const LEN: usize = 25;

    /// Row bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(Self::LEN);
        self.encode_into(&mut out);
        out.into()
    }

    /// As [`Self::encode`], appended to `out`: [`Self::LEN`] bytes.
    pub fn encode_into(&self, out: &mut impl BufMut) {
        out.put_u8(self.kind as u8);
        out.put_i64(self.create);
        out.put_i64(self.version);
        out.put_i64(self.lease);
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(row: &[u8]) -> Result<Self, Damaged> {
        let damaged = |why| Damaged { family: "hist", why };
        if row.len() != Self::LEN {
            return Err(damaged("wrong length"));
        }
        let int = |at: usize| i64::from_be_bytes(row[at..at + 8].try_into().expect("eight bytes"));
        let kind = Kind::from_byte(row[0]).ok_or(damaged("unknown kind"))?;
        Ok(Self { kind, create: int(1), version: int(9), lease: int(17) })
    }
}

/// Escapes a user key so that escaped keys order as the keys do and none is a prefix of another:
/// a zero byte becomes `00 ff`, the end is `00 01`.
pub fn escape_key(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 2 + Revision::LEN);
    for &byte in key {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 1]);
    out
}

/// First key in `hist` behind all versions of `key`.
pub(crate) fn behind_versions(key: &[u8]) -> Vec<u8> {
    let mut out = escape_key(key);
    *out.last_mut().expect("the terminator is there") += 1;
    out
}

/// Key in `hist`: newest version first within a key.
pub fn hist_key(key: &[u8], revision: Revision) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 2 + Revision::LEN);
    hist_key_into(key, revision, &mut out);
    out
}

/// As [`hist_key`], appended to `out`: at most twice the key's length, two, and [`Revision::LEN`] bytes.
pub fn hist_key_into(key: &[u8], revision: Revision, out: &mut impl BufMut) {
    let mut parts = key.split(|byte| *byte == 0);
    out.put_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.put_slice(&[0, 0xff]);
        out.put_slice(part);
    }
    out.put_slice(&[0, 1]);
    out.put_slice(&revision.to_bytes().map(|byte| !byte));
}

/// Reverse of [`hist_key`].
///
/// # Errors
/// [`Damaged`].
pub fn split_hist_key(row_key: &[u8]) -> Result<(Vec<u8>, Revision), Damaged> {
    let damaged = |why| Damaged { family: "hist", why };
    let at = row_key.len().checked_sub(Revision::LEN).ok_or(damaged("key too short"))?;
    let (escaped, revision) = row_key.split_at(at);
    let mut inverted = [0; Revision::LEN];
    for (to, from) in inverted.iter_mut().zip(revision) {
        *to = !from;
    }
    let revision = Revision::from_bytes(&inverted).ok_or(damaged("bad revision"))?;
    let escaped = escaped.strip_suffix(&[0, 1]).ok_or(damaged("no terminator"))?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(&byte) = bytes.next() {
        key.push(byte);
        if byte == 0 && bytes.next() != Some(&0xff) {
            return Err(damaged("bad escape"));
        }
    }
    Ok((key, revision))
}

/// Keys in `meta`.
pub mod meta {
    /// Applied index (8), term of that entry (8).
    pub const APPLIED: &[u8] = b"applied";
    /// Membership as of the applied index, `raft::ConfState` in the encoding of `meta_rows`.
    pub const CONF_STATE: &[u8] = b"conf_state";
    /// Current revision (8), compact revision (8, signed; -1 before any compaction), finished compact revision (8); target (8)
    /// and next version (16) of the compaction under way, zero when there is none.
    pub const REVISIONS: &[u8] = b"revisions";
    /// Logical bytes of `log` and `cur` (8 each), living keys (8), leases (8).
    pub const SIZES: &[u8] = b"sizes";
    /// Cursor of a half-applied large effect; absent when there is none.
    pub const CHUNK: &[u8] = b"chunk";
    /// What all entries so far did: version of the algorithm (8), index it is at (8), hash (8). Absent until an entry begins it.
    pub const RUNNING_HASH: &[u8] = b"running_hash";
    /// Format version of the store (4).
    pub const FORMAT: &[u8] = b"format";
    /// Cluster id (8), member id (8).
    pub const IDENTITY: &[u8] = b"identity";
    /// Cluster version, as text.
    pub const CLUSTER_VERSION: &[u8] = b"cluster_version";
    /// Version that the cluster is being downgraded to, as text; absent while it is not.
    pub const DOWNGRADE: &[u8] = b"downgrade";
    /// Prefix: lease id (8, sign bit flipped so that ids order) → granted TTL (8), remaining TTL of the checkpoint (8, zero for none).
    pub const LEASE: u8 = b'l' | 0x80;
    /// Prefix: lease id (as above), user key → empty.
    pub const ATTACHED: u8 = b'k' | 0x80;
    /// Prefix: member id (8) → attributes.
    pub const MEMBER: u8 = b'm' | 0x80;
    /// Prefix: member id (8), alarm type (1) → empty.
    pub const ALARM: u8 = b'a' | 0x80;
    /// Prefix: removed member id (8) → empty.
    pub const REMOVED: u8 = b'r' | 0x80;
    /// Whether users count (1), revision of users and roles (8). Absent until a command about them was applied: no, 1.
    pub const AUTH: &[u8] = b"auth";
    /// Prefix: name of a user → `authpb.User`.
    pub const AUTH_USER: u8 = b'u' | 0x80;
    /// Prefix: name of a role → `authpb.Role`.
    pub const AUTH_ROLE: u8 = b'o' | 0x80;

    /// Numbers of the v2 tree. Absent until a request of the v2 API was applied.
    pub const V2: &[u8] = b"v2";
    /// Prefix: depth of a path (2), path → `v2::rows::NodeRow`.
    pub const V2_NODE: u8 = b'n' | 0x80;
    /// Prefix: end of a node's life (8, sign bit flipped), path → empty.
    pub const V2_TTL: u8 = b't' | 0x80;
    /// Prefix: index (8) → event of the v2 tree.
    pub const V2_EVENT: u8 = b'e' | 0x80;

    /// Row key of a lease.
    pub fn lease(id: i64) -> Vec<u8> {
        keyed(LEASE, id, &[])
    }

    /// Row key of an attachment.
    pub fn attached(id: i64, key: &[u8]) -> Vec<u8> {
        keyed(ATTACHED, id, key)
    }

    fn keyed(prefix: u8, id: i64, rest: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + rest.len());
        out.push(prefix);
        out.extend_from_slice(&((id as u64) ^ (1 << 63)).to_be_bytes());
        out.extend_from_slice(rest);
        out
    }

    /// Lease id of a row key of `LEASE` or `ATTACHED`; `None` when the key is of another kind.
    pub fn lease_id(row_key: &[u8]) -> Option<i64> {
        let id = row_key.get(1..9)?.try_into().ok()?;
        Some((u64::from_be_bytes(id) ^ (1 << 63)) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaped_keys_order_as_keys_and_read_back(a: Vec<u8>, b: Vec<u8>, main in 0..i64::MAX, sub in 0..i64::MAX) {
            prop_assert_eq!(escape_key(&a).cmp(&escape_key(&b)), a.cmp(&b));
            prop_assert!(a == b || !escape_key(&a).starts_with(&escape_key(&b)));
            let rev = Revision::new(main, sub);
            prop_assert_eq!(split_hist_key(&hist_key(&a, rev)), Ok((a, rev)));
        }

        #[test]
        fn damaged_rows_never_panic(row: Vec<u8>) {
            let _ = (Head::decode(&row), HistRow::decode(&row), LogRow::decode(row.clone().into()), split_hist_key(&row));
        }

        #[test]
        fn leases_order_by_signed_id(a: i64, b: i64) {
            prop_assert_eq!(meta::lease(a).cmp(&meta::lease(b)), a.cmp(&b));
            prop_assert_eq!(meta::lease_id(&meta::lease(a)), Some(a));
        }
    }

    #[test]
    fn newest_version_of_a_key_comes_first() {
        assert!(hist_key(b"k", Revision::new(5, 1)) < hist_key(b"k", Revision::new(5, 0)));
        assert!(hist_key(b"k", Revision::new(5, 0)) < hist_key(b"k\0", Revision::new(9, 0)));
    }
}
