//! `kill -9` under load, round after round, on one data folder.

use crate::log::Log;
use crate::writers::Attempt;
use crate::{checks, twin, writers};
use api::etcdserverpb::{CompactionRequest, RangeRequest};
use harness::daemon::Settings;
use harness::request::all;
use harness::watch::create_all;
use harness::{Daemon, Stubs, Watching, expect_status};
use std::time::Duration;
use tempfile::TempDir;
use tonic::Code;

const TASKS: usize = 8;

/// Rounds: five, or as many as `CRASH_ROUNDS` says.
fn rounds() -> usize {
    std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// How a round ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// `kill -9`.
    Kill,
    /// SIGTERM.
    Terminate,
}

/// A number that differs by round, for the moment of the kill; the same in every run.
fn moment(round: usize) -> Duration {
    let mut x = round as u64 + 0x9e37_79b9;
    for _ in 0..3 {
        x = (x ^ (x >> 15)).wrapping_mul(0x2c1b_3c6d);
    }
    Duration::from_millis(150 + x % 700)
}

/// What is known of one data folder over all its crashes.
#[derive(Default)]
struct Story {
    log: Log,
    attempts: Vec<Attempt>,
    /// The newest compaction that was acknowledged.
    compacted: i64,
    /// HashKV at a revision, before the crash.
    hash: Option<(i64, u32)>,
}

impl Story {
    /// Everything that must hold after a restart.
    async fn check(&mut self, stubs: &Stubs) {
        let restarted = stubs.revision().await;
        assert!(restarted >= self.log.revision(), "went back from {} to {restarted}", self.log.revision());
        self.log.resume(stubs, restarted).await;
        assert_eq!(self.log.revision(), restarted, "revisions are continuous");
        if let Some((revision, hash)) = self.hash.take() {
            let again = stubs.hash_kv(revision).await.expect("hash");
            assert_eq!(again.hash, hash, "HashKV at {revision} changed over a restart");
        }
        if self.compacted > 1 {
            let below = RangeRequest { revision: self.compacted - 1, ..all() };
            let text = "etcdserver: mvcc: required revision has been compacted";
            expect_status("an acknowledged compaction", stubs.range(below).await, Code::OutOfRange, text);
        }
        checks::history(&self.log, &self.attempts);
        checks::present(stubs, &self.log).await;
        checks::leases(stubs, &self.attempts).await;
    }

    /// Writers, a compaction and a live watcher until the kill. What the watcher saw counts: the next one resumes behind it.
    async fn load(&mut self, daemon: Daemon, stubs: &Stubs, round: usize, compact: i64, end: End) -> Settings {
        let address = daemon.settings.address().to_string();
        let mut watching = Watching::open(stubs, create_all(self.log.revision() + 1)).await;
        let writing = writers::write_until_gone(&address, round, TASKS);
        let log = &mut self.log;
        let watch = async {
            while let Ok(Some(answer)) = watching.try_next().await {
                log.take(answer.events);
            }
        };
        let moment = moment(round);
        let compacting = async {
            if compact <= 1 {
                return 0;
            }
            // close to the kill, so that some are cut short
            tokio::time::sleep(moment - Duration::from_millis(10 + 12 * (round as u64 % 5))).await;
            let request = CompactionRequest { revision: compact, physical: round.is_multiple_of(2) };
            stubs.kv.clone().compact(request).await.map_or(0, |_| compact)
        };
        let killing = async {
            tokio::time::sleep(moment).await;
            match end {
                End::Kill => daemon.kill(),
                End::Terminate => {
                    let settings = daemon.settings.clone();
                    let ended = tokio::task::spawn_blocking(|| daemon.terminate());
                    let (took, status) = ended.await.expect("terminate");
                    assert!(took < Duration::from_millis(1500), "took {took:?}, {status}");
                    settings
                }
            }
        };
        let (settings, attempts, (), compacted) = tokio::join!(killing, writing, watch, compacting);
        self.attempts.extend(attempts);
        self.compacted = self.compacted.max(compacted);
        settings
    }

    fn summary(&self, rounds: usize) {
        let promised = self.attempts.iter().filter(|a| a.acknowledged.is_some()).count();
        let (all, revision) = (self.attempts.len(), self.log.revision());
        let compacted = self.compacted;
        println!(
            "{rounds} rounds, {promised} acknowledged of {all} attempts, revision {revision}, compacted {compacted}"
        );
        assert!(promised > 50 * rounds, "too little load to prove anything: {promised}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_keeps_every_promise() {
    let dir = TempDir::new().expect("a folder");
    let mut settings = Settings::new(dir.path().join("data"));
    let mut story = Story::default();
    for round in 0..rounds() {
        let (daemon, stubs) = Daemon::start(settings).await;
        story.check(&stubs).await;
        let newest = story.log.revision();
        story.hash = Some((newest, stubs.hash_kv(newest).await.expect("hash").hash));
        settings = story.load(daemon, &stubs, round, 0, End::Kill).await;
    }
    let (_daemon, stubs) = Daemon::start(settings).await;
    story.check(&stubs).await;
    story.summary(rounds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_compacts_it_equals_a_twin_that_never_crashed() {
    let rounds = rounds().div_ceil(2);
    let dir = TempDir::new().expect("a folder");
    let mut settings = Settings::new(dir.path().join("data"));
    let mut story = Story::default();
    for round in 0..rounds {
        let (daemon, stubs) = Daemon::start(settings).await;
        story.check(&stubs).await;
        // what was read back already: the watcher never falls behind it
        let compact = story.log.revision() - 50;
        settings = story.load(daemon, &stubs, round, compact, End::Kill).await;
    }
    let (_daemon, stubs) = Daemon::start(settings).await;
    story.check(&stubs).await;
    story.summary(rounds);
    // above every compaction that was asked for, acknowledged or not
    twin::compare(&stubs, &story.log, story.log.revision() - 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_it_ends_in_time_and_keeps_every_promise() {
    let dir = TempDir::new().expect("a folder");
    let mut settings = Settings::new(dir.path().join("data"));
    let mut story = Story::default();
    for round in 0..3 {
        let (daemon, stubs) = Daemon::start(settings).await;
        story.check(&stubs).await;
        let newest = story.log.revision();
        story.hash = Some((newest, stubs.hash_kv(newest).await.expect("hash").hash));
        settings = story.load(daemon, &stubs, round, 0, End::Terminate).await;
    }
    let (_daemon, stubs) = Daemon::start(settings).await;
    story.check(&stubs).await;
    let mut texts = std::collections::BTreeMap::new();
    for refused in story.attempts.iter().filter_map(|a| a.refused.as_ref()) {
        // what a client may meet at a stop is something it knows to try elsewhere, or a connection that ended
        let known = matches!(refused.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
        assert!(known, "{refused:?}");
        *texts.entry((refused.code().to_string(), refused.message().to_owned())).or_insert(0) += 1;
    }
    println!("refusals at the stop: {texts:?}");
    story.summary(3);
}
