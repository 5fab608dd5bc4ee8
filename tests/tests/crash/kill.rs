//! `kill -9` under load, round after round, on one data folder.

use crate::log::Log;
use crate::{checks, writers};
use harness::daemon::Settings;
use harness::watch::create_all;
use harness::{Daemon, Stubs, Watching};
use std::time::Duration;
use tempfile::TempDir;

const TASKS: usize = 8;

/// Rounds: five, or as many as `CRASH_ROUNDS` says.
fn rounds() -> usize {
    std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// A number that differs by round, for the moment of the kill; the same in every run.
fn moment(round: usize) -> Duration {
    let mut x = round as u64 + 0x9e37_79b9;
    for _ in 0..3 {
        x = (x ^ (x >> 15)).wrapping_mul(0x2c1b_3c6d);
    }
    Duration::from_millis(150 + x % 700)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_keeps_every_promise() {
    let dir = TempDir::new().expect("a folder");
    let mut settings = Settings::new(dir.path().join("data"));
    let (mut log, mut attempts) = (Log::default(), Vec::new());
    let mut hash = None;
    for round in 0..=rounds() {
        let (daemon, stubs) = Daemon::start(settings).await;
        let restarted = stubs.revision().await;
        assert!(restarted >= log.revision(), "went back from {} to {restarted}", log.revision());
        log.resume(&stubs, restarted).await;
        assert_eq!(log.revision(), restarted, "revisions are continuous");
        if let Some((revision, hash)) = hash {
            let again = stubs.hash_kv(revision).await.expect("hash");
            assert_eq!(again.hash, hash, "HashKV at {revision} changed over a restart");
        }
        checks::history(&log, &attempts);
        checks::present(&stubs, &log).await;
        checks::leases(&stubs, &attempts).await;
        if round == rounds() {
            break;
        }
        let newest = stubs.hash_kv(restarted).await.expect("hash");
        hash = Some((restarted, newest.hash));
        let (killed, written) = load(daemon, &stubs, round, &mut log).await;
        settings = killed;
        attempts.extend(written);
    }
    let promised = attempts.iter().filter(|a| a.acknowledged.is_some()).count();
    println!(
        "{} rounds, {promised} acknowledged of {} attempts, revision {}",
        rounds(),
        attempts.len(),
        log.revision()
    );
    assert!(promised > 50 * rounds(), "too little load to prove anything: {promised}");
}

/// Writers and a live watcher until the kill. What the watcher saw counts: the next one resumes behind it.
async fn load(daemon: Daemon, stubs: &Stubs, round: usize, log: &mut Log) -> (Settings, Vec<writers::Attempt>) {
    let address = daemon.settings.address().to_string();
    let mut watching = Watching::open(stubs, create_all(log.revision() + 1)).await;
    let writing = writers::write_until_gone(&address, round, TASKS);
    let watch = async {
        while let Ok(Some(answer)) = watching.try_next().await {
            log.take(answer.events);
        }
    };
    let killing = async {
        tokio::time::sleep(moment(round)).await;
        daemon.kill()
    };
    let (settings, attempts, ()) = tokio::join!(killing, writing, watch);
    (settings, attempts)
}
