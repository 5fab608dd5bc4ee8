//! Watchers under a huge revision, and many watchers over a long history.

use super::data::{DELETE, PUT, WATCH, all, creating, key, load, put, watch};
use super::{Ended, Measure, Outcome, Raw, Scale, Target};
use api::etcdserverpb as pb;
use std::time::Duration;

/// One request deletes 1,000,000 keys while a few watch all of them: plainly, with previous values, in fragments, one key.
pub(super) async fn delete(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let keys = scale.pick(30_000, 1_000_000);
    load(target, keys, 64).await;
    let every = || watch(&[0], &[0], 0);
    let one = key(keys / 2);
    let kinds: [(pb::WatchCreateRequest, u64); 6] = [
        (every(), keys as u64),
        (pb::WatchCreateRequest { prev_kv: true, ..every() }, keys as u64),
        (pb::WatchCreateRequest { fragment: true, ..every() }, keys as u64),
        (pb::WatchCreateRequest { filters: vec![1], ..every() }, 0),
        (watch(&one, b"", 0), 1),
        (every(), keys as u64),
    ];
    let measure = Measure::begin(target, outcome);
    let mut watching = Vec::new();
    for (create, events) in kinds {
        // the put behind the delete is the last event of each watch of everything
        let last = if create.range_end.is_empty() { 0 } else { 1 };
        watching.push((spawn_watch(target, create, events + last).await, events + last));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut raw = Raw::connect(target.address, 1 << 20).await.expect("connect");
    let request = pb::DeleteRangeRequest { key: all().key, range_end: all().range_end, prev_kv: false };
    let ended = raw.run(DELETE, &request).await;
    outcome.count(&ended, ended.seen.messages == 1);
    let ended = raw.run(PUT, &put(b"behind", vec![1])).await;
    outcome.count(&ended, true);
    for (task, wanted) in watching {
        let ended = task.await.expect("no panic");
        outcome.count(&ended, ended.seen.fields[11] == wanted);
    }
    measure.end(target, outcome);
}

/// A watch that reads until it has seen `events`.
async fn spawn_watch(target: &Target, create: pb::WatchCreateRequest, events: u64) -> tokio::task::JoinHandle<Ended> {
    let mut raw = Raw::connect(target.address, 256 << 10).await.expect("connect");
    let call = raw.call(WATCH, &creating(create), false).await.expect("a stream");
    tokio::spawn(async move {
        let late = |_| Ended { text: "events are missing after 300 s".into(), ..Ended::default() };
        let read = call.drain(|seen| seen.fields[11] < events || seen.messages < 1);
        tokio::time::timeout(Duration::from_secs(300), read).await.unwrap_or_else(late)
    })
}

/// 10,000 watchers, 100 to a connection, each of its own hundred keys, from the first revision over 1,000,000 events.
pub(super) async fn from_the_start(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (watchers, each) = (scale.pick(1_000, 10_000), scale.pick(30, 100));
    load(target, watchers * each, 128).await;
    let measure = Measure::begin(target, outcome);
    let mut tasks = Vec::new();
    let mut connections = Vec::new();
    for n in 0..watchers {
        if n % 100 == 0 {
            connections.push(Raw::connect(target.address, 1 << 20).await.expect("connect"));
        }
        let raw = connections.last_mut().expect("just opened");
        let create = watch(&key(n * each), &key((n + 1) * each), 1);
        let call = match raw.call(WATCH, &creating(create), false).await {
            Ok(call) => call,
            Err(why) => {
                outcome.wrong(why);
                continue;
            }
        };
        tasks.push(tokio::spawn(async move {
            let late = |_| Ended { text: "events are missing after 600 s".into(), ..Ended::default() };
            let read = call.drain(|seen| seen.fields[11] < each as u64);
            tokio::time::timeout(Duration::from_secs(600), read).await.unwrap_or_else(late)
        }));
    }
    for task in tasks {
        let ended = task.await.expect("no panic");
        outcome.count(&ended, ended.seen.fields[11] == each as u64);
    }
    measure.end(target, outcome);
}
