//! What the scenarios load, and the requests they ask.

use super::{Raw, Target};
use api::etcdserverpb as pb;
use futures_util::StreamExt;
use model::request::{RequestOp, RequestUnion};

pub const RANGE: &str = "/etcdserverpb.KV/Range";
pub const STREAM: &str = "/etcdserverpb.KV/RangeStream";
pub const PUT: &str = "/etcdserverpb.KV/Put";
pub const TXN: &str = "/etcdserverpb.KV/Txn";
pub const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";

/// Operations of one transaction.
const BATCH: usize = 128;
/// Transactions under way.
const AHEAD: usize = 8;

/// The key of this number.
pub fn key(n: usize) -> Vec<u8> {
    format!("key-{n:09}").into_bytes()
}

/// Puts `count` keys of `value` bytes, 128 to a transaction.
///
/// # Panics
/// When the server refuses.
pub async fn load(target: &Target, count: usize, value: usize) {
    let raw = Raw::connect(target.address, 1 << 20).await.expect("connect");
    let batches = (0..count).step_by(BATCH).map(|from| {
        let mut raw = raw.clone();
        async move {
            let value = bytes::Bytes::from(vec![b'v'; value]);
            let puts = (from..count.min(from + BATCH)).map(|n| RequestOp {
                request: Some(RequestUnion::Put(pb::PutRequest {
                    key: key(n).into(),
                    value: value.clone(),
                    ..pb::PutRequest::default()
                })),
            });
            let ended = raw.run(TXN, &pb::TxnRequest { success: puts.collect(), ..pb::TxnRequest::default() }).await;
            assert!(ended.is_ok(), "load: {ended:?}");
        }
    });
    futures_util::stream::iter(batches).buffer_unordered(AHEAD).collect::<()>().await;
}

/// A range of every key.
pub fn all() -> pb::RangeRequest {
    pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..pb::RangeRequest::default() }
}

/// One key.
pub fn get(key: &[u8]) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_vec().into(), ..pb::RangeRequest::default() }
}

/// A put.
pub fn put(key: &[u8], value: Vec<u8>) -> pb::PutRequest {
    pb::PutRequest { key: key.to_vec().into(), value: value.into(), ..pb::PutRequest::default() }
}

/// A watch of `[key, end)` from a revision.
pub fn watch(key: &[u8], end: &[u8], start_revision: i64) -> pb::WatchCreateRequest {
    let (key, range_end) = (key.to_vec().into(), end.to_vec().into());
    pb::WatchCreateRequest { key, range_end, start_revision, ..pb::WatchCreateRequest::default() }
}

/// It as the message of a stream.
pub fn creating(create: pb::WatchCreateRequest) -> pb::WatchRequest {
    pb::WatchRequest { request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)) }
}
