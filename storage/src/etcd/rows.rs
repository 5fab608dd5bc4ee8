//! Keys and values in the buckets of etcd's database, byte for byte.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `key` | main revision (8), `_`, sub-revision (8); `t` behind it for a tombstone | protobuf `KeyValue`; a tombstone's has a key only |
//! | `lease` | id (8) | protobuf: id, TTL, remaining TTL |
//! | `alarm` | protobuf: member, kind | empty |
//! | `auth` | `authEnabled`, `authRevision` | 0 or 1 (1); number (8) |
//! | `authUsers`, `authRoles` | name | protobuf `authpb.User`, `authpb.Role` |
//! | `cluster` | `clusterVersion` | text |
//! | `members` | id, hexadecimal | JSON |
//! | `members_removed` | id, hexadecimal | `removed` |
//! | `meta` | `consistent_index`, `term` | number (8) |
//! | `meta` | `scheduledCompactRev`, `finishedCompactRev` | revision, as a key in `key` |
//! | `meta` | `confState` | JSON; from 3.5 on |
//! | `meta` | `storageVersion` | text; from 3.6 on |
//!
//! Integers are big-endian. Must never decide what a row means for a store of ours.

use crate::apply::MemberRow;
use model::Revision;
use raft::ConfState;
use serde_json::{Value, json};

pub(super) const KEY: &str = "key";
pub(super) const META: &str = "meta";
pub(super) const LEASE: &str = "lease";
pub(super) const ALARM: &str = "alarm";
pub(super) const CLUSTER: &str = "cluster";
pub(super) const MEMBERS: &str = "members";
pub(super) const REMOVED: &str = "members_removed";
pub(super) const AUTH: &str = "auth";
pub(super) const USERS: &str = "authUsers";
pub(super) const ROLES: &str = "authRoles";

pub(super) const CONSISTENT_INDEX: &[u8] = b"consistent_index";
pub(super) const TERM: &[u8] = b"term";
pub(super) const SCHEDULED: &[u8] = b"scheduledCompactRev";
pub(super) const FINISHED: &[u8] = b"finishedCompactRev";
pub(super) const CONF_STATE: &[u8] = b"confState";
pub(super) const STORAGE_VERSION: &[u8] = b"storageVersion";
pub(super) const CLUSTER_VERSION: &[u8] = b"clusterVersion";
pub(super) const AUTH_ENABLED: &[u8] = b"authEnabled";
pub(super) const AUTH_REVISION: &[u8] = b"authRevision";

/// Bytes of a revision without the mark of a tombstone.
pub(super) const REVISION: usize = 17;

/// The key of a version: as many bytes as are said.
pub(super) fn revision_key(revision: Revision, tombstone: bool) -> ([u8; REVISION + 1], usize) {
    let mut key = [b't'; REVISION + 1];
    key[..8].copy_from_slice(&revision.main.to_be_bytes());
    key[8] = b'_';
    key[9..REVISION].copy_from_slice(&revision.sub.to_be_bytes());
    (key, if tombstone { REVISION + 1 } else { REVISION })
}

/// Reverse of [`revision_key`].
pub(super) fn decode_revision(key: &[u8]) -> Option<(Revision, bool)> {
    let tombstone = match key.get(REVISION..)? {
        [] => false,
        [b't'] => true,
        _ => return None,
    };
    let int = |at: usize| i64::from_be_bytes(key[at..at + 8].try_into().expect("eight bytes"));
    let revision = Revision::new(int(0), int(9));
    (key[8] == b'_' && revision.main >= 0 && revision.sub >= 0).then_some((revision, tombstone))
}

/// A number of eight bytes.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// `leasepb.Lease`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Lease {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
    #[prost(int64, tag = "2")]
    pub(super) ttl: i64,
    #[prost(int64, tag = "3")]
    pub(super) remaining: i64,
}

/// `etcdserverpb.AlarmMember`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Alarm {
    #[prost(uint64, tag = "1")]
    pub(super) member: u64,
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
}

/// The key of a member.
pub(super) fn member_key(id: u64) -> String {
    format!("{id:x}")
}

/// Reverse of [`member_key`].
pub(super) fn decode_member_key(key: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok()
}

/// The value of a member.
pub(super) fn member(id: u64, row: &MemberRow, learner: bool) -> Vec<u8> {
    let mut value = json!({ "id": id, "peerURLs": row.peer_urls });
    if learner {
        value["isLearner"] = true.into();
    }
    if !row.name.is_empty() {
        value["name"] = row.name.clone().into();
    }
    if !row.client_urls.is_empty() {
        value["clientURLs"] = row.client_urls.clone().into();
    }
    value.to_string().into_bytes()
}

/// Reverse of [`member`]: the row, and whether it is a learner.
pub(super) fn decode_member(value: &[u8]) -> Option<(MemberRow, bool)> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let urls = |field: &str| match &value[field] {
        Value::Null => Some(Vec::new()),
        Value::Array(urls) => urls.iter().map(|url| url.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let name = value["name"].as_str().unwrap_or_default().to_owned();
    let row = MemberRow { name, peer_urls: urls("peerURLs")?, client_urls: urls("clientURLs")? };
    Some((row, value["isLearner"].as_bool().unwrap_or(false)))
}

/// The value of the row `confState`.
pub(super) fn conf_state(conf: &ConfState) -> Vec<u8> {
    let mut value = json!({ "voters": conf.voters });
    for (field, ids) in [
        ("learners", &conf.learners),
        ("voters_outgoing", &conf.voters_outgoing),
        ("learners_next", &conf.learners_next),
    ] {
        if !ids.is_empty() {
            value[field] = ids.clone().into();
        }
    }
    value["auto_leave"] = conf.auto_leave.into();
    value.to_string().into_bytes()
}

/// Reverse of [`conf_state`].
pub(super) fn decode_conf_state(value: &[u8]) -> Option<ConfState> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let ids = |field: &str| match &value[field] {
        Value::Null => Some(Vec::new()),
        Value::Array(ids) => ids.iter().map(Value::as_u64).collect(),
        _ => None,
    };
    Some(ConfState {
        voters: ids("voters")?,
        learners: ids("learners")?,
        voters_outgoing: ids("voters_outgoing")?,
        learners_next: ids("learners_next")?,
        auto_leave: value["auto_leave"].as_bool().unwrap_or(false),
    })
}
