//! Memory, and the time to come back.
//!
//! Must take memory when the server has been idle for a moment, never in the middle of work.

use super::{Value, value};
use crate::load::{batches, key, value as bytes_of};
use crate::side::{Loaded, Side};
use api::etcdserverpb::{RangeRequest, RangeResponse};
use bench::client::{Channel, Method};
use bench::cmd::call;
use bytes::{BufMut, Bytes, BytesMut};
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_secs(2);
const PAGE: i64 = 10_000;

/// `memory`
pub async fn loaded(side: &mut Side) -> Result<Vec<Value>, String> {
    let Loaded { server, resident, rate, .. } = side.loaded().await?;
    tokio::time::sleep(IDLE).await;
    Ok(vec![
        value("resident after the load", "MiB", *resident, "below etcd's"),
        value("resident when idle", "MiB", server.resident()?, "below etcd's"),
        value("disk after the load", "MiB", server.disk()?, ""),
        value("rate of the load", "keys/s", *rate, ""),
    ])
}

/// `restart`
pub async fn restart(side: &mut Side) -> Result<Vec<Value>, String> {
    let Loaded { server, .. } = side.loaded().await?;
    server.kill().map_err(|why| why.to_string())?;
    let took = server.start().await.map_err(|why| why.to_string())?;
    tokio::time::sleep(IDLE).await;
    Ok(vec![
        value("first answer", "s", took.as_secs_f64(), "≤ 0.5 s at 1,000,000 keys"),
        value("resident after the restart", "MiB", server.resident()?, "below etcd's"),
    ])
}

/// Reads everything page by page; returns the keys.
async fn everything(channel: &Channel) -> Result<usize, String> {
    let mut request = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        limit: PAGE,
        ..Default::default()
    };
    let mut keys = 0;
    loop {
        let answer: RangeResponse = call(channel, Method::Range, &request).await.map_err(|why| why.to_string())?;
        keys += answer.kvs.len();
        let Some(last) = answer.kvs.last().filter(|_| answer.more) else { return Ok(keys) };
        request.revision =
            if request.revision == 0 { answer.header.unwrap_or_default().revision } else { request.revision };
        let mut next = BytesMut::from(&last.key[..]);
        next.put_u8(0);
        request.key = next.freeze();
    }
}

/// `scan`
pub async fn scan(side: &mut Side) -> Result<Vec<Value>, String> {
    let wanted = side.keys as usize;
    let Loaded { server, .. } = side.loaded().await?;
    let channel = server.channels(1).await?.remove(0);
    let (start, before) = (Instant::now(), server.cpu()?);
    let keys = everything(&channel).await?;
    let took = start.elapsed();
    let used = server.cpu()?.saturating_sub(before);
    if keys < wanted {
        return Err(format!("{keys} keys of {wanted}"));
    }
    tokio::time::sleep(IDLE).await;
    Ok(vec![
        value("pages of 10,000 keys", "s", took.as_secs_f64(), ""),
        value("server CPU", "s", used.as_secs_f64(), ""),
        value("resident after the scan", "MiB", server.resident()?, "below etcd's"),
    ])
}

/// `big`
pub async fn big(side: &mut Side) -> Result<Vec<Value>, String> {
    side.forget();
    let mut server = side.fresh().await?;
    batches(&server, side.big_keys, |number| (key(number), bytes_of(number, 0))).await?;
    let resident = server.resident()?;
    server.kill().map_err(|why| why.to_string())?;
    let took = server.start().await.map_err(|why| why.to_string())?;
    tokio::time::sleep(IDLE).await;
    Ok(vec![
        value("first answer", "s", took.as_secs_f64(), ""),
        value("resident after the load", "MiB", resident, ""),
        value("resident after the restart", "MiB", server.resident()?, ""),
    ])
}
