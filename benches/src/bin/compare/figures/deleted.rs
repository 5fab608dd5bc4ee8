//! Reads behind keys that were deleted, and saving a snapshot.
//!
//! Must ask the same of both sides, in the same order.

use super::{Value, value};
use crate::load::{batches, revision, value as bytes_of};
use crate::side::{Loaded, Side};
use api::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, SnapshotRequest,
};
use bench::client::{Channel, Method, frame};
use bench::cmd::call;
use bench::load::keys::{named, prefix_end};
use bytes::Bytes;
use std::time::{Duration, Instant};

const QUEUE: &str = "queue/";
/// Elements that are always in the queue.
const WAITING: u64 = 10;
/// Names of the tenths of a run.
const TENTHS: [&str; 10] = [
    "get, p50 of the 1st tenth",
    "get, p50 of the 2nd tenth",
    "get, p50 of the 3rd tenth",
    "get, p50 of the 4th tenth",
    "get, p50 of the 5th tenth",
    "get, p50 of the 6th tenth",
    "get, p50 of the 7th tenth",
    "get, p50 of the 8th tenth",
    "get, p50 of the 9th tenth",
    "get, p50 of the 10th tenth",
];
const PREFIX: &str = "/q/";
/// Reads of which a mean is taken.
const READS: u32 = 50;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn first_of(prefix: &str) -> RangeRequest {
    RangeRequest {
        key: prefix.to_owned().into(),
        range_end: prefix_end(prefix.as_bytes()),
        limit: 1,
        ..Default::default()
    }
}

async fn put(channel: &Channel, key: Bytes) -> Result<(), String> {
    let request = PutRequest { key, value: "x".into(), ..Default::default() };
    let done: Result<PutResponse, _> = call(channel, Method::Put, &request).await;
    done.map(drop).map_err(|why| why.to_string())
}

async fn compact(channel: &Channel, revision: i64) -> Result<(), String> {
    let request = CompactionRequest { revision, physical: true };
    let done: Result<CompactionResponse, _> = call(channel, Method::Compact, &request).await;
    done.map(drop).map_err(|why| format!("compaction to {revision}: {why}"))
}

/// Puts one element at the tail, gets the first and deletes it; returns how long the get took.
async fn round(channel: &Channel, number: u64) -> Result<Duration, String> {
    put(channel, named(QUEUE, number + WAITING, 16)).await?;
    let start = Instant::now();
    let first: RangeResponse =
        call(channel, Method::Range, &first_of(QUEUE)).await.map_err(|why| format!("get: {why}"))?;
    let took = start.elapsed();
    let key = first.kvs.first().map(|kv| kv.key.clone()).ok_or("the queue is empty")?;
    if key != named(QUEUE, number, 16) {
        return Err(format!("round {number} got {key:?}"));
    }
    let request = DeleteRangeRequest { key, ..Default::default() };
    let done: Result<DeleteRangeResponse, _> = call(channel, Method::DeleteRange, &request).await;
    done.map_err(|why| format!("delete: {why}"))?;
    Ok(took)
}

async fn rounds(channel: &Channel, from: u64, count: u64) -> Result<f64, String> {
    let mut times = Vec::new();
    for number in from..from + count {
        times.push(round(channel, number).await?);
    }
    times.sort_unstable();
    Ok(ms(times[times.len() / 2]))
}

/// `queue`
pub async fn queue(side: &mut Side) -> Result<Vec<Value>, String> {
    let count = (side.keys / 10).max(100);
    let server = side.fresh().await?;
    let channel = server.channels(1).await?.remove(0);
    for number in 0..WAITING {
        put(&channel, named(QUEUE, number, 16)).await?;
    }
    let mut values = Vec::new();
    for (tenth, name) in (0u64..).zip(TENTHS) {
        let p50 = rounds(&channel, tenth * (count / 10), count / 10).await?;
        values.push(value(name, "ms", p50, "flat"));
    }
    compact(&channel, revision(&channel).await?).await?;
    let after = rounds(&channel, count / 10 * 10, count / 100).await?;
    values.push(value("get, p50 after a compaction", "ms", after, "flat"));
    Ok(values)
}

/// Mean time of reads that find `found` keys.
async fn mean(channel: &Channel, request: &RangeRequest, found: usize) -> Result<f64, String> {
    let start = Instant::now();
    for _ in 0..READS {
        let answer: RangeResponse = call(channel, Method::Range, request).await.map_err(|why| why.to_string())?;
        if answer.kvs.len() != found {
            return Err(format!("{} keys, not {found}", answer.kvs.len()));
        }
    }
    Ok(ms(start.elapsed() / READS))
}

/// The first key, the last one, and the first one in the past.
async fn three(channel: &Channel, found: usize, past: i64) -> Result<[f64; 3], String> {
    let first = first_of(PREFIX);
    let last = RangeRequest { sort_order: 2, ..first.clone() };
    let old = RangeRequest { revision: past, ..first.clone() };
    Ok([mean(channel, &first, found).await?, mean(channel, &last, found).await?, mean(channel, &old, found).await?])
}

/// `deleted`
pub async fn behind_deleted(side: &mut Side) -> Result<Vec<Value>, String> {
    let count = side.keys / 5;
    let server = side.fresh().await?;
    let channel = server.channels(1).await?.remove(0);
    batches(&server, count, |number| (named(PREFIX, number, 16), bytes_of(number, 1))).await?;
    let past = revision(&channel).await?;
    put(&channel, "other".into()).await?;
    let before = three(&channel, 1, past).await?;
    let all = DeleteRangeRequest { range_end: prefix_end(PREFIX.as_bytes()), key: PREFIX.into(), ..Default::default() };
    let done: Result<DeleteRangeResponse, _> = call(&channel, Method::DeleteRange, &all).await;
    let deleted = done.map_err(|why| format!("delete: {why}"))?.deleted;
    if deleted != count as i64 {
        return Err(format!("{deleted} keys were deleted, not {count}"));
    }
    let past = revision(&channel).await?;
    put(&channel, "other".into()).await?;
    let at_once = three(&channel, 0, past).await?;
    compact(&channel, past).await?;
    let compacted = three(&channel, 0, past).await?;
    Ok(vec![
        value("first key, before", "ms", before[0], ""),
        value("first key, deleted", "ms", at_once[0], "as before"),
        value("first key, compacted", "ms", compacted[0], "as before"),
        value("last key, before", "ms", before[1], ""),
        value("last key, deleted", "ms", at_once[1], "as before"),
        value("last key, compacted", "ms", compacted[1], "as before"),
        value("first key in the past, before", "ms", before[2], ""),
        value("first key in the past, deleted", "ms", at_once[2], "as before"),
        value("first key in the past, compacted", "ms", compacted[2], "as before"),
    ])
}

/// `save`
pub async fn save(side: &mut Side) -> Result<Vec<Value>, String> {
    let Loaded { server, .. } = side.loaded().await?;
    let channel = server.channels(1).await?.remove(0);
    let (start, before) = (Instant::now(), server.cpu()?);
    let stream = channel.server_stream(Method::Snapshot, frame(&SnapshotRequest {})).await;
    let mut stream = stream.map_err(|why| why.to_string())?;
    let mut bytes = 0;
    while let Some(message) = stream.next().await.map_err(|why| why.to_string())? {
        bytes += message.len();
    }
    let took = start.elapsed();
    let used = server.cpu()?.saturating_sub(before);
    Ok(vec![
        value("time", "s", took.as_secs_f64(), "not longer than etcd's"),
        value("size", "MiB", bytes as f64 / f64::from(1 << 20), ""),
        value("server CPU", "s", used.as_secs_f64(), ""),
    ])
}
