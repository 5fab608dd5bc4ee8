//! `watch-get`: serializable reads of one client while thousands of watchers read the past.
//!
//! Must begin to read with the first watcher and stop with the last event.

use super::output::{files, report};
use super::watcher::Watcher;
use super::{Desk, Failed, call, channels, rng};
use crate::client::{CallError, Channel, Method};
use crate::flags::Given;
use crate::report::{Live, Recorder};
use api::etcdserverpb::{PutRequest, PutResponse, RangeRequest, WatchCreateRequest};
use bytes::Bytes;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::JoinSet;

const KEY: Bytes = Bytes::from_static(b"watchkey");

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let channels = channels(given).await?;
    let reading = Channel::connect(&super::target(given)?).await?;
    let (watchers, streams) = (given.number("watchers"), given.number("streams").max(1));
    let events = given.number("events");
    let first = history(&channels[0], events).await?;

    let recorder = Recorder::new("watch-get");
    let live = Live::start("watch-get", 0, None, std::slice::from_ref(&recorder));
    recorder.start();
    let mut tasks = JoinSet::new();
    for stream in 0..streams {
        let channel = channels[stream as usize % channels.len()].clone();
        let mine = watchers / streams + u64::from(stream < watchers % streams);
        tasks.spawn_local(catch_up(channel, first, mine, mine * events));
    }
    let reader = tokio::task::spawn_local(read(reading, Desk::new(rng(given)), recorder.clone()));
    let mut outcome = Ok(());
    while let Some(done) = tasks.join_next().await {
        outcome = outcome.and(done.map_err(std::io::Error::other)?);
    }
    reader.abort();
    recorder.stop();
    drop(live);
    outcome?;
    let summary = recorder.summary();
    report(given, "Get during watch summary:\n", &summary, "")?;
    files(given, &[summary])
}

/// Writes the events; returns the revision of the first.
async fn history(channel: &Channel, events: u64) -> Result<i64, CallError> {
    let mut first = 0;
    for i in 0..events {
        let request = PutRequest { key: KEY, value: i.to_string().into(), ..Default::default() };
        let answer: PutResponse = call(channel, Method::Put, &request).await?;
        if i == 0 {
            first = answer.header.unwrap_or_default().revision;
        }
    }
    Ok(first)
}

async fn catch_up(channel: Rc<Channel>, first: i64, watchers: u64, mut events: u64) -> Result<(), CallError> {
    let mut stream = Watcher::open(&channel).await?;
    for _ in 0..watchers {
        stream.ask(WatchCreateRequest { key: KEY, start_revision: first, ..Default::default() })?;
    }
    while events > 0 {
        events = events.saturating_sub(stream.next().await?.events.len() as u64);
    }
    Ok(())
}

async fn read(channel: Rc<Channel>, desk: Desk, recorder: Rc<Recorder>) {
    let request = RangeRequest { key: Bytes::from_static(b"abc"), serializable: true, ..Default::default() };
    let body = desk.frame(&request);
    loop {
        let start = Instant::now();
        let outcome = channel.unary_discard(Method::Range, body.clone()).await;
        recorder.record(start, start, Instant::now(), outcome.as_ref().err());
    }
}
