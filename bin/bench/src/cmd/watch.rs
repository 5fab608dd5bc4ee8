//! `watch`: many watchers, then writes that reach all of them.
//!
//! Must end when every watcher has every event, not when the writes are done.

use super::output::{files, report};
use super::watcher::Watcher;
use super::{Desk, Failed, channels, plan, rng};
use crate::client::{CallError, Channel, Method};
use crate::flags::Given;
use crate::load::rng::Rng;
use crate::load::{Plan, drive, keys};
use crate::report::{Live, Recorder};
use api::etcdserverpb::{PutRequest, WatchCreateRequest};
use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Keys to watch, and how many watchers each has.
struct Watched {
    keys: Vec<Bytes>,
    watchers: u64,
}

impl Watched {
    fn new(given: &Given, rng: &mut Rng) -> Result<Self, Failed> {
        let space = given.number("key-space-size");
        if space == 0 {
            return Err(Failed::Usage("expected positive --key-space-size, got (0)".into()));
        }
        let (size, count) = (given.count("key-size"), given.number("watched-key-total").max(1));
        let number = |i| if given.flag("sequential-keys") { i % space } else { rng.below(space) };
        let keys = (0..count).map(number).map(|number| keys::numbered(number, size)).collect();
        Ok(Self { keys, watchers: given.number("streams") * given.number("watch-per-stream") })
    }

    fn key(&self, i: u64) -> &Bytes {
        &self.keys[(i % self.keys.len() as u64) as usize]
    }

    /// Events that the writes `0..puts` cause. Two entries may hold the same key.
    fn events(&self, puts: u64) -> u64 {
        let mut watchers = std::collections::HashMap::<&Bytes, u64>::new();
        (0..self.watchers).for_each(|i| *watchers.entry(self.key(i)).or_default() += 1);
        (0..puts).map(|i| watchers.get(self.key(i)).copied().unwrap_or(0)).sum()
    }
}

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let mut rng = rng(given);
    let watched = Rc::new(Watched::new(given, &mut rng)?);
    let channels = channels(given).await?;
    let (made, streams) = make(given, &channels, &watched).await?;
    report(given, "Watch creation summary:\n", &made, "")?;
    let received = events(given, &channels, &watched, streams, Desk::new(rng)).await?;
    report(given, "Watch events received summary:\n", &received, "")?;
    files(given, &[made, received])
}

/// Creates all watchers, the streams side by side, each stream's one after the other.
async fn make(
    given: &Given,
    channels: &[Rc<Channel>],
    watched: &Rc<Watched>,
) -> Result<(crate::report::Summary, Vec<Watcher>), Failed> {
    let (streams, per_stream) = (given.number("streams"), given.number("watch-per-stream"));
    let recorder = Recorder::new("watch-make");
    let live = Live::start("watch-make", watched.watchers, None, std::slice::from_ref(&recorder));
    recorder.start();
    let mut tasks = JoinSet::new();
    for stream in 0..streams {
        let channel = channels[stream as usize % channels.len()].clone();
        let (recorder, watched) = (recorder.clone(), watched.clone());
        tasks.spawn_local(async move {
            let mut watcher = Watcher::open(&channel).await?;
            for i in 0..per_stream {
                let key = watched.key(stream * per_stream + i).clone();
                let start = Instant::now();
                watcher.create(WatchCreateRequest { key, ..Default::default() }).await?;
                recorder.record(start, start, Instant::now(), None);
            }
            Ok::<_, CallError>(watcher)
        });
    }
    let mut open = Vec::new();
    while let Some(done) = tasks.join_next().await {
        open.push(done.map_err(std::io::Error::other)??);
    }
    recorder.stop();
    drop(live);
    Ok((recorder.summary(), open))
}

/// Writes the keys and receives the events.
async fn events(
    given: &Given,
    channels: &[Rc<Channel>],
    watched: &Rc<Watched>,
    streams: Vec<Watcher>,
    desk: Desk,
) -> Result<crate::report::Summary, Failed> {
    let puts = given.number("put-total");
    let total = watched.events(puts);
    let left = Rc::new(Cell::new(total));
    let recorder = Recorder::new("watch-put");
    let live = Live::start("watch-put", total, None, std::slice::from_ref(&recorder));
    recorder.start();
    let mut receivers = JoinSet::new();
    for mut stream in streams {
        let (recorder, left) = (recorder.clone(), left.clone());
        receivers.spawn_local(async move {
            while left.get() > 0 {
                let answer = stream.next().await?;
                let start = Instant::now();
                for _ in &answer.events {
                    recorder.record(start, start, Instant::now(), None);
                    left.set(left.get().saturating_sub(1));
                }
            }
            Ok::<_, CallError>(())
        });
    }
    let writes = Recorder::new("put");
    let plan = Plan { total: puts, rate: given.fraction("put-rate"), ..plan(given, given.count("clients")) };
    let keys = watched.clone();
    let value = Bytes::from_static(b"data");
    drive(&plan, channels, std::slice::from_ref(&writes), async move |_, channel: &Channel, ticket| {
        let request = PutRequest { key: keys.key(ticket).clone(), value: value.clone(), ..Default::default() };
        let body = desk.frame(&request);
        (0, channel.unary_discard(Method::Put, body).await.map(drop))
    })
    .await?;
    if let Some((why, count)) = writes.summary().errors.first_key_value() {
        return Err(Failed::Verdict(format!("{count} writes failed: {why}")));
    }
    while left.get() > 0 {
        match receivers.join_next().await {
            Some(done) => done.map_err(std::io::Error::other)??,
            None => break,
        }
    }
    recorder.stop();
    drop(live);
    Ok(recorder.summary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_for_keys_that_appear_twice() {
        let key = |text: &'static str| Bytes::from_static(text.as_bytes());
        let watched = Watched { keys: vec![key("a"), key("b"), key("a")], watchers: 4 };
        // a has the watchers 0, 2 and 3, b has one
        assert_eq!(watched.events(3), 3 + 1 + 3);
        assert_eq!(watched.events(0), 0);
    }
}
