//! Members that are killed behind the proxies: clients go on, and watchers miss nothing and see nothing twice.

use crate::program::{Program, in_runtime};
use harness::daemon::Settings;
use harness::watch::{Watching, create};
use harness::{Daemon, PATIENCE, Stubs, request};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;

async fn three_members(dir: &TempDir) -> Vec<Daemon> {
    let mut daemons: Vec<Daemon> = Settings::of_cluster(dir.path(), 3).into_iter().map(Daemon::spawn).collect();
    for daemon in &mut daemons {
        daemon.serves().await;
    }
    daemons
}

/// Writes until it is told to stop: each number once under a key of its own, again when the answer was lost.
async fn write(stubs: Stubs, stop: Arc<AtomicBool>, written: Arc<AtomicUsize>) {
    let mut number = 0;
    while !stop.load(Relaxed) {
        let mut kv = stubs.kv.clone();
        let put = kv.put(request::put(format!("w/{number:06}"), "x"));
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(3), put).await {
            number += 1;
            written.store(number, Relaxed);
        }
    }
}

/// Kills each member in turn and lets it come back, while a writer writes.
async fn under_kills(mut daemons: Vec<Daemon>, stubs: Stubs) -> (Vec<Daemon>, usize) {
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn(write(stubs, stop.clone(), written.clone()));
    for at in 0..daemons.len() {
        let settings = daemons.remove(at).kill();
        let before = written.load(Relaxed);
        let progress = async {
            while written.load(Relaxed) < before + 20 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, progress).await.expect("writes go on without one member");
        let mut daemon = Daemon::spawn(settings);
        daemon.serves().await;
        daemons.insert(at, daemon);
    }
    stop.store(true, Relaxed);
    writer.await.unwrap();
    (daemons, written.load(Relaxed))
}

#[test]
fn a_watch_through_the_grpc_proxy_misses_nothing_while_members_are_killed() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let daemons = three_members(&dir).await;
        let addresses: Vec<_> = daemons.iter().map(|daemon| daemon.settings.address()).collect();
        let proxy = Program::start("grpc-proxy", &addresses, &[]).await;
        let stubs = proxy.stubs().await;
        let mut watchers = Vec::new();
        for _ in 0..3 {
            watchers.push(Watching::open(&stubs, create("w/", "w0", 0)).await);
        }
        let (daemons, written) = under_kills(daemons, stubs.clone()).await;
        assert!(written >= 60, "{written}");
        // the history is what was written, in order; a key whose answer was lost may have been written more than once
        let last = stubs.put("w/last", "x").await.header.unwrap().revision;
        let mut histories = Vec::new();
        for watching in &mut watchers {
            let mut revisions = Vec::new();
            while revisions.last().is_none_or(|(revision, _)| *revision < last) {
                let events = watching.next().await.events.into_iter();
                revisions.extend(events.filter_map(|event| event.kv).map(|kv| (kv.mod_revision, kv.key)));
            }
            assert!(revisions.windows(2).all(|two| two[0].0 < two[1].0), "in order, nothing twice");
            histories.push(revisions);
        }
        assert!(histories.iter().all(|history| *history == histories[0]), "all watchers are told the same");
        let direct = Stubs::connect(&daemons[0].settings.address().to_string(), PATIENCE).await.unwrap();
        let first = histories[0][0].0;
        let mut at_member = Watching::open(&direct, create("w/", "w0", first)).await;
        let owed = at_member.events(histories[0].len()).await;
        let owed: Vec<_> = owed.into_iter().filter_map(|event| event.kv).map(|kv| (kv.mod_revision, kv.key)).collect();
        assert_eq!(histories[0], owed, "what a member tells of the same time");
        let keys = stubs.range(request::prefix("w/")).await.unwrap().count;
        assert!(keys as usize >= written, "{keys} keys of {written} that were acknowledged");
    });
}

#[test]
fn the_gateway_leads_to_members_that_live() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let daemons = three_members(&dir).await;
        let addresses: Vec<_> = daemons.iter().map(|daemon| daemon.settings.address()).collect();
        let gateway = Program::start("gateway", &addresses, &["--retry-delay", "200ms"]).await;
        let (_daemons, written) = under_kills(daemons, gateway.stubs().await).await;
        assert!(written >= 60, "{written}");
        let said = gateway.said();
        assert!(said.contains("ready to proxy client requests"), "{said}");
        let stubs = gateway.stubs().await;
        let keys = stubs.range(request::prefix("w/")).await.unwrap().count;
        assert!(keys as usize >= written);
    });
}
