//! Software transactional memory over etcd's transactions, with the four isolation levels of etcd's client.
//!
//! Must retry until it commits: a conflict is not a failure.

use super::call;
use super::txn::put_op;
use crate::client::{CallError, Channel, Method};
use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{
    Compare, CompareResult, CompareTarget, RangeRequest, RangeResponse, RequestOp, RequestUnion, TargetUnion,
    TxnRequest, TxnResponse,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// How much of what was read may have changed at the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Anything.
    ReadCommitted,
    /// Nothing that was read.
    RepeatableReads,
    /// Nothing that was read, and all of it is of one revision.
    Serializable,
    /// As that, and nothing that is written has changed since.
    Snapshot,
}

impl Isolation {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "c" => Some(Self::ReadCommitted),
            "r" => Some(Self::RepeatableReads),
            "s" => Some(Self::Serializable),
            "ss" => Some(Self::Snapshot),
            _ => None,
        }
    }

    fn at_one_revision(self) -> bool {
        matches!(self, Self::Serializable | Self::Snapshot)
    }
}

/// Key to the revision of its last change, zero when it does not exist.
type Reads = BTreeMap<Bytes, i64>;

/// Reads all keys and writes the first `writes` of them; returns how often it had to begin again.
pub(super) async fn transact(
    channel: &Channel,
    isolation: Isolation,
    keys: &[Bytes],
    writes: usize,
    value: &Bytes,
) -> Result<u32, CallError> {
    let mut retries = 0;
    let mut known = Reads::new();
    loop {
        let (reads, at) = read(channel, isolation, keys, std::mem::take(&mut known)).await?;
        let written = &keys[..writes.min(keys.len())];
        let failure = if isolation.at_one_revision() { keys.iter().map(get_op).collect() } else { Vec::new() };
        let request = TxnRequest {
            compare: conditions(isolation, &reads, written, at),
            success: written.iter().map(|key| put_op(key.clone(), value.clone())).collect(),
            failure,
        };
        let answer: TxnResponse = call(channel, Method::Txn, &request).await?;
        if answer.succeeded {
            return Ok(retries);
        }
        retries += 1;
        // what the failed commit read is where the next attempt begins
        for (key, op) in keys.iter().zip(&answer.responses) {
            if let Some(Response::ResponseRange(range)) = &op.response {
                known.insert(key.clone(), range.kvs.first().map_or(0, |kv| kv.mod_revision));
            }
        }
        if !known.is_empty() {
            known.insert(Bytes::new(), answer.header.unwrap_or_default().revision);
        }
    }
}

/// What is read, and the revision of the first read. `known` may hold everything already, its revision under no key.
async fn read(
    channel: &Channel,
    isolation: Isolation,
    keys: &[Bytes],
    mut known: Reads,
) -> Result<(Reads, i64), CallError> {
    let mut at = known.remove(&Bytes::new()).unwrap_or(0);
    for key in keys {
        if known.contains_key(key) {
            continue;
        }
        let revision = if isolation.at_one_revision() { at } else { 0 };
        let request = RangeRequest { key: key.clone(), revision, ..Default::default() };
        let answer: RangeResponse = call(channel, Method::Range, &request).await?;
        if at == 0 {
            at = answer.header.unwrap_or_default().revision;
        }
        known.insert(key.clone(), answer.kvs.first().map_or(0, |kv| kv.mod_revision));
    }
    Ok((known, at))
}

fn get_op(key: &Bytes) -> RequestOp {
    let range = RangeRequest { key: key.clone(), ..Default::default() };
    RequestOp { request: Some(RequestUnion::Range(range)) }
}

fn conditions(isolation: Isolation, reads: &Reads, written: &[Bytes], at: i64) -> Vec<Compare> {
    let compare = |key: &Bytes, result: CompareResult, revision: i64| Compare {
        result: result as i32,
        target: CompareTarget::Mod as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Default::default()
    };
    if isolation == Isolation::ReadCommitted {
        return Vec::new();
    }
    let mut all: Vec<Compare> =
        reads.iter().map(|(key, revision)| compare(key, CompareResult::Equal, *revision)).collect();
    if isolation == Isolation::Snapshot {
        all.extend(written.iter().map(|key| compare(key, CompareResult::Less, at + 1)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_by_isolation() {
        let key = Bytes::from_static(b"a");
        let reads = Reads::from([(key.clone(), 5)]);
        let count = |isolation| conditions(isolation, &reads, std::slice::from_ref(&key), 9).len();
        assert_eq!(count(Isolation::ReadCommitted), 0);
        assert_eq!(count(Isolation::RepeatableReads), 1);
        assert_eq!(count(Isolation::Serializable), 1);
        assert_eq!(count(Isolation::Snapshot), 2);
        let last = conditions(Isolation::Snapshot, &reads, &[key], 9).pop().unwrap();
        assert_eq!(last.target_union, Some(TargetUnion::ModRevision(10)));
    }
}
