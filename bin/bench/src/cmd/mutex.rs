//! The lock around a transaction: none, a mutex made of keys as in etcd's client, or the lock service.
//!
//! Must release what it took, also when the transaction failed.

use super::call;
use super::watcher::Watcher;
use crate::client::{CallError, Channel, Method};
use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, RangeRequest, RangeResponse, RequestOp,
    RequestUnion, SortOrder, SortTarget, TargetUnion, TxnRequest, TxnResponse, WatchCreateRequest,
};
use api::mvccpb::EventType;
use api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use bytes::Bytes;

const NAME: &str = "stmlock";
const PREFIX: &str = "stmlock/";
/// Seconds; longer than any run of one lock, because nothing renews it.
const TTL: i64 = 3600;

/// Which lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locker {
    None,
    Keys,
    Service,
}

impl Locker {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "stm" => Some(Self::None),
            "lock-client" => Some(Self::Keys),
            "lock-rpc" => Some(Self::Service),
            _ => None,
        }
    }

    /// The lease that the locks of one client hang on.
    pub(super) async fn session(self, channel: &Channel) -> Result<i64, CallError> {
        if self == Self::None {
            return Ok(0);
        }
        let granted: LeaseGrantResponse =
            call(channel, Method::LeaseGrant, &LeaseGrantRequest { ttl: TTL, id: 0 }).await?;
        Ok(granted.id)
    }

    /// Gives the lease back.
    pub(super) async fn close(self, channel: &Channel, lease: i64) -> Result<(), CallError> {
        if self == Self::None {
            return Ok(());
        }
        let request = LeaseRevokeRequest { id: lease };
        call::<LeaseRevokeResponse>(channel, Method::LeaseRevoke, &request).await.map(drop)
    }

    /// Waits for the lock; returns its key.
    pub(super) async fn lock(self, channel: &Channel, lease: i64) -> Result<Bytes, CallError> {
        match self {
            Self::None => Ok(Bytes::new()),
            Self::Keys => lock_keys(channel, lease).await,
            Self::Service => {
                let request = LockRequest { name: NAME.into(), lease };
                call::<LockResponse>(channel, Method::Lock, &request).await.map(|answer| answer.key)
            }
        }
    }

    /// Gives the lock to the next one.
    pub(super) async fn unlock(self, channel: &Channel, key: Bytes) -> Result<(), CallError> {
        match self {
            Self::None => Ok(()),
            Self::Keys => {
                let request = DeleteRangeRequest { key, ..Default::default() };
                call::<DeleteRangeResponse>(channel, Method::DeleteRange, &request).await.map(drop)
            }
            Self::Service => call::<UnlockResponse>(channel, Method::Unlock, &UnlockRequest { key }).await.map(drop),
        }
    }
}

fn prefix_range() -> RangeRequest {
    let (key, range_end) = (Bytes::from_static(PREFIX.as_bytes()), crate::load::keys::prefix_end(PREFIX.as_bytes()));
    RangeRequest { key, range_end, ..Default::default() }
}

/// Creates the key of this lease unless it is there; owner is who has the oldest key.
async fn lock_keys(channel: &Channel, lease: i64) -> Result<Bytes, CallError> {
    let key = Bytes::from(format!("{PREFIX}{lease:x}"));
    let absent = Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(0)),
        ..Default::default()
    };
    let put = PutRequest { key: key.clone(), lease, ..Default::default() };
    let oldest = RangeRequest {
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        limit: 1,
        ..prefix_range()
    };
    let get = RangeRequest { key: key.clone(), ..Default::default() };
    let op = |union| RequestOp { request: Some(union) };
    let request = TxnRequest {
        compare: vec![absent],
        success: vec![op(RequestUnion::Put(put)), op(RequestUnion::Range(oldest.clone()))],
        failure: vec![op(RequestUnion::Range(get)), op(RequestUnion::Range(oldest))],
    };
    let answer: TxnResponse = call(channel, Method::Txn, &request).await?;
    let mine = match answer.responses.first().and_then(|op| op.response.as_ref()) {
        Some(Response::ResponseRange(range)) => range.kvs.first().map_or(0, |kv| kv.create_revision),
        _ => answer.header.unwrap_or_default().revision,
    };
    wait_for_older(channel, mine).await?;
    Ok(key)
}

/// Waits until no key of the lock is older than `mine`.
async fn wait_for_older(channel: &Channel, mine: i64) -> Result<(), CallError> {
    loop {
        let newest = RangeRequest {
            sort_order: SortOrder::Descend as i32,
            sort_target: SortTarget::Create as i32,
            limit: 1,
            max_create_revision: mine - 1,
            ..prefix_range()
        };
        let answer: RangeResponse = call(channel, Method::Range, &newest).await?;
        let Some(before) = answer.kvs.into_iter().next() else { return Ok(()) };
        let mut watcher = Watcher::open(channel).await?;
        let start_revision = answer.header.unwrap_or_default().revision + 1;
        watcher.ask(WatchCreateRequest { key: before.key, start_revision, ..Default::default() })?;
        let gone = |events: &[api::mvccpb::Event]| events.iter().any(|event| event.r#type == EventType::Delete as i32);
        while !gone(&watcher.next().await?.events) {}
    }
}
