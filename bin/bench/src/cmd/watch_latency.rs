//! `watch-latency`: from the end of each write to its event at each watcher.
//!
//! Must count an event that overtakes the answer of its write as zero, as etcd's tool does.

use super::output::{files, report};
use super::watcher::Watcher;
use super::{Desk, Failed, channels, rng, target};
use crate::client::{CallError, Channel, Method};
use crate::flags::Given;
use crate::load::Pacer;
use crate::report::{Live, Recorder};
use api::etcdserverpb::{PutRequest, WatchCreateRequest};
use bytes::Bytes;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Times of events, by watcher of one stream.
type Times = HashMap<i64, Vec<Instant>>;

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let mut rng = rng(given);
    let key = Bytes::from(rng.bytes(given.count("key-size")));
    let value = Bytes::from(rng.bytes(given.count("val-size")));
    let puts = given.count("put-total");
    let mut streams = open(given, &key).await?;
    let writing = Channel::connect(&target(given)?).await?;

    let put_recorder = Recorder::new("watch-latency-put");
    let live = Live::start("watch-latency", puts as u64, None, std::slice::from_ref(&put_recorder));
    put_recorder.start();
    let watch_recorder = Recorder::new("watch-latency-watch");
    watch_recorder.start();
    let each = given.count("watchers-per-stream");
    let mut receivers = JoinSet::new();
    for stream in streams.drain(..) {
        receivers.spawn_local(receive(stream, each, puts));
    }
    let (desk, request) = (Desk::new(rng), PutRequest { key, value, ..Default::default() });
    let ends = write(given, &writing, &desk, request, &put_recorder).await?;
    let mut all = Vec::new();
    while let Some(done) = receivers.join_next().await {
        all.extend(done.map_err(std::io::Error::other)??.into_values());
    }
    put_recorder.stop();
    drop(live);
    for (event, end) in all.iter().flat_map(|times| times.iter().zip(&ends)) {
        watch_recorder.record(*end.min(event), *end.min(event), *event, None);
    }
    watch_recorder.stop();
    let summaries = [put_recorder.summary(), watch_recorder.summary()];
    report(given, "\nPut summary:\n", &summaries[0], "")?;
    report(given, "\nWatch events summary:\n", &summaries[1], "")?;
    files(given, &summaries)
}

async fn open(given: &Given, key: &Bytes) -> Result<Vec<Watcher>, Failed> {
    let channels = channels(given).await?;
    let prev_kv = given.flag("prevkv");
    let mut streams = Vec::new();
    for i in 0..given.count("streams") {
        let mut stream = Watcher::open(&channels[i % channels.len()]).await?;
        for _ in 0..given.number("watchers-per-stream") {
            stream.create(WatchCreateRequest { key: key.clone(), prev_kv, ..Default::default() }).await?;
        }
        streams.push(stream);
    }
    Ok(streams)
}

async fn receive(mut stream: Watcher, watchers: usize, puts: usize) -> Result<Times, CallError> {
    let mut times = Times::new();
    let mut left = watchers * puts;
    while left > 0 {
        let answer = stream.next().await?;
        let now = Instant::now();
        let of = times.entry(answer.watch_id).or_default();
        of.extend(answer.events.iter().map(|_| now));
        left = left.saturating_sub(answer.events.len());
    }
    Ok(times)
}

/// Writes one after the other at the rate; returns when each ended.
async fn write(
    given: &Given,
    channel: &Rc<Channel>,
    desk: &Desk,
    request: PutRequest,
    recorder: &Recorder,
) -> Result<Vec<Instant>, Failed> {
    let rate = given.fraction("put-rate");
    let pacer = (rate > 0.0).then(|| Pacer::new(rate));
    let _ticking = pacer.as_ref().map(Pacer::run).transpose()?;
    let mut ends = Vec::new();
    for ticket in 0..given.number("put-total") {
        if let Some(pacer) = &pacer {
            pacer.until(pacer.due(ticket)).await;
        }
        let start = Instant::now();
        channel.unary_discard(Method::Put, desk.frame(&request)).await?;
        let end = Instant::now();
        recorder.record(start, start, end, None);
        ends.push(end);
    }
    Ok(ends)
}
