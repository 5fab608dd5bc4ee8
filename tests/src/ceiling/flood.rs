//! Many clients at once: large requests, and connections and streams that only wait.

use super::data::{PUT, RANGE, WATCH, creating, get, put, watch};
use super::{Ended, Measure, Outcome, Raw, Scale, Target};
use std::time::Duration;

/// Bytes of a value that just fits into a request.
const LARGE: usize = 1_500_000;

/// Many clients put 1.5 MB each, at once, several times.
pub(super) async fn large_puts(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (clients, rounds) = (scale.pick(40, 400), scale.pick(2, 5));
    let measure = Measure::begin(target, outcome);
    let address = target.address;
    let calls: Vec<_> = (0..clients)
        .map(|n| {
            tokio::spawn(async move {
                let mut ends = Vec::new();
                let Ok(mut raw) = Raw::connect(address, 1 << 20).await else { return vec![Ended::default()] };
                for round in 0..rounds {
                    let name = format!("large-{n}-{}", round % 2);
                    ends.push(raw.run(PUT, &put(name.as_bytes(), vec![round as u8; LARGE])).await);
                }
                ends
            })
        })
        .collect();
    for call in calls {
        for ended in call.await.expect("no panic") {
            outcome.count(&ended, true);
        }
    }
    let mut raw = Raw::connect(target.address, 4 << 20).await.expect("connect");
    for n in 0..clients {
        let ended = raw.run(RANGE, &get(format!("large-{n}-0").as_bytes())).await;
        if !(ended.is_ok() && ended.seen.bytes > LARGE as u64) && outcome.refused == 0 {
            outcome.wrong(format!("value {n} reads {ended:?}"));
        }
    }
    measure.end(target, outcome);
}

/// Thousands of connections, each with a few streams that nothing happens on.
pub(super) async fn idle(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (connections, streams) = (scale.pick(200, 4_000), 5);
    let measure = Measure::begin(target, outcome);
    let mut kept = Vec::new();
    for n in 0..connections {
        let mut raw = match Raw::connect(target.address, 64 << 10).await {
            Ok(raw) => raw,
            Err(why) => {
                outcome.wrong(why);
                continue;
            }
        };
        let mut calls = Vec::new();
        for s in 0..streams {
            let name = format!("idle-{n}-{s}");
            match raw.call(WATCH, &creating(watch(name.as_bytes(), b"", 0)), false).await {
                Ok(call) => calls.push(call),
                Err(why) => outcome.wrong(why),
            }
        }
        kept.push((raw, calls));
    }
    let mut other = Raw::connect(target.address, 1 << 20).await.expect("connect");
    for _ in 0..20 {
        let ended = other.run(PUT, &put(b"other", vec![1; 100])).await;
        outcome.count(&ended, true);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    outcome.held = target.memory().now;
    measure.end(target, outcome);
    // still there: each hears of its key
    for (n, (mut raw, calls)) in kept.into_iter().enumerate().step_by(connections / 20) {
        let wrote = raw.run(PUT, &put(format!("idle-{n}-0").as_bytes(), vec![2; 10])).await;
        let call = calls.into_iter().next().expect("a stream");
        let heard = tokio::time::timeout(Duration::from_secs(30), call.drain(|seen| seen.fields[11] < 1)).await;
        match heard {
            Ok(ended) if wrote.is_ok() && ended.seen.fields[11] == 1 => outcome.right += 1,
            other => outcome.wrong(format!("an idle watch: {other:?}")),
        }
    }
}
