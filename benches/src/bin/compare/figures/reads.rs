//! Reads whose cost shows how a store counts.
//!
//! Must ask both sides for the same ranges.

use super::{Value, value};
use crate::load::{CLIENTS, batches, driven, key, plan, value as bytes_of};
use crate::server::Server;
use crate::side::{Loaded, Side};
use api::etcdserverpb::RangeRequest;
use bench::client::{Channel, Method, frame};
use bench::load::keys::{named, prefix_end};
use bench::load::rng::Rng;
use bytes::Bytes;
use std::rc::Rc;

/// Linearizable ranges of 1,000 clients.
const CONNS: usize = 100;
const GETS: u64 = 200_000;
/// Ranges of one count.
const COUNTS: u64 = 100;
const LISTED: u64 = 100_000;
const LISTS: u64 = 200;
const LIST: i64 = 1000;
const PREFIX: &str = "list/";

/// Linearizable ranges of one key by so many clients: server CPU of each in µs, rate, and p99 in ms.
async fn gets(
    server: &Server,
    channels: &[Rc<Channel>],
    clients: usize,
    total: u64,
) -> Result<(f64, f64, f64), String> {
    let body = frame(&RangeRequest { key: key(1), ..Default::default() });
    let get = async move |_: usize, channel: &Channel, _: u64| {
        channel.unary_discard(Method::Range, body.clone()).await.map(drop)
    };
    driven(plan(clients, total / 10), channels, get.clone()).await?;
    let before = server.cpu()?;
    let summary = driven(plan(clients, total), channels, get).await?;
    let used = server.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / total as f64;
    Ok((used, summary.rate(), summary.latency.value_at_quantile(0.99) as f64 / 1e6))
}

/// `range`
pub async fn range(side: &mut Side) -> Result<Vec<Value>, String> {
    side.forget();
    let server = side.fresh().await?;
    batches(&server, 100, |number| (key(number), bytes_of(number, 0))).await?;
    let many = gets(&server, &server.channels(CONNS).await?, CLIENTS, GETS).await?;
    let one = gets(&server, &[server.channel_to(0).await?], 1, GETS / 20).await?;
    let mut out = vec![
        value("1,000 clients", "µs CPU/range", many.0, "≤ 0.4 of etcd's"),
        value("1,000 clients, rate", "ranges/s", many.1, ""),
        value("1,000 clients, p99", "ms", many.2, ""),
        value("one client", "µs CPU/range", one.0, ""),
        value("one client, rate", "ranges/s", one.1, ""),
    ];
    if server.members() > 1 {
        let one = gets(&server, &[server.channel_to(1).await?], 1, GETS / 20).await?;
        out.push(value("through a follower", "µs CPU/range", one.0, ""));
        out.push(value("through a follower, rate", "ranges/s", one.1, ""));
    }
    Ok(out)
}

/// Mean time and server CPU in ms of requests sent one after the other.
async fn sequence(server: &Server, bodies: Vec<Bytes>) -> Result<(f64, f64), String> {
    let channels = server.channels(1).await?;
    let count = bodies.len() as u64;
    let before = server.cpu()?;
    let summary = driven(plan(1, count), &channels, async move |_, channel: &Channel, ticket| {
        channel.unary_discard(Method::Range, bodies[ticket as usize].clone()).await.map(drop)
    })
    .await?;
    let used = server.cpu()?.saturating_sub(before);
    Ok((summary.mean * 1e3, used.as_secs_f64() * 1e3 / count as f64))
}

fn count_requests(keys: u64, revision: i64) -> Vec<Bytes> {
    let mut rng = Rng::new(5);
    let mut one = || {
        let (a, b) = (rng.below(keys), rng.below(keys));
        let (low, high) = (a.min(b), a.max(b) + 1);
        frame(&RangeRequest { key: key(low), range_end: key(high), count_only: true, revision, ..Default::default() })
    };
    (0..COUNTS).map(|_| one()).collect()
}

/// `count`
pub async fn count(side: &mut Side) -> Result<Vec<Value>, String> {
    let keys = side.keys;
    let Loaded { server, first_pass, .. } = side.loaded().await?;
    let now = sequence(server, count_requests(keys, 0)).await?;
    let old = sequence(server, count_requests(keys, *first_pass)).await?;
    Ok(vec![
        value("now", "ms", now.0, "below etcd's"),
        value("now, server CPU", "ms", now.1, "below etcd's"),
        value("old revision", "ms", old.0, "below etcd's"),
        value("old revision, server CPU", "ms", old.1, "below etcd's"),
    ])
}

/// `list`
pub async fn list(side: &mut Side) -> Result<Vec<Value>, String> {
    let Loaded { server, listed, .. } = side.loaded().await?;
    if !*listed {
        batches(server, LISTED, |number| (named(PREFIX, number, 16), bytes_of(number, 3))).await?;
        *listed = true;
    }
    let range_end = prefix_end(PREFIX.as_bytes());
    let request = RangeRequest { key: PREFIX.into(), range_end, limit: LIST, ..Default::default() };
    let body = frame(&request);
    // once, so that both have seen the keys
    sequence(server, vec![body.clone(); 5]).await?;
    let (took, cpu) = sequence(server, vec![body; LISTS as usize]).await?;
    Ok(vec![value("time", "ms", took, ""), value("server CPU", "ms", cpu, "below etcd's (it counts all)")])
}
