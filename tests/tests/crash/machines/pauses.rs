//! A process that is stopped for a while, and a clock that somebody sets: no lease ends before its time, nothing is lost.

use super::Ledger;
use api::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest};
use harness::daemon::Settings;
use harness::machine::Shim;
use harness::request::{get, put};
use harness::{Daemon, Stubs, soon, until};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TTL: i64 = 4;

/// Seconds a process is stopped: longer than the lease. By hand a minute: `PAUSE_SECONDS=60`.
fn pause() -> Duration {
    let seconds = std::env::var("PAUSE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

async fn lease(stubs: &Stubs, id: i64, ttl: i64) -> String {
    let granted = stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl, id }).await.expect("grant").into_inner();
    assert_eq!(granted.ttl, ttl);
    let key = format!("leased/{id}");
    let request = PutRequest { lease: id, ..put(&key, "v") };
    stubs.kv.clone().put(request).await.expect("put");
    key
}

async fn remaining(stubs: &Stubs, id: i64) -> i64 {
    let request = LeaseTimeToLiveRequest { id, keys: false };
    soon("a time to live", stubs.lease.clone().lease_time_to_live(request)).await.expect("ttl").into_inner().ttl
}

async fn lives(stubs: &Stubs, key: &str) -> bool {
    !soon("a get", stubs.range(get(key))).await.expect("get").kvs.is_empty()
}

#[tokio::test]
async fn a_stopped_process_ends_no_lease_when_it_goes_on() {
    let dir = TempDir::new().expect("a folder");
    let (mut daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 20, 100).await.expect("writes");
    let key = lease(&stubs, 7, TTL).await;
    let granted = Instant::now();
    daemon.signal("STOP");
    let before = granted.elapsed();
    tokio::time::sleep(pause()).await;
    daemon.signal("CONT");
    // its owner could not have renewed it meanwhile: all the time it had is still there
    let left = remaining(&stubs, 7).await;
    let spent = before.as_secs() as i64 + 2;
    assert!(left >= TTL - spent, "{left} s of {TTL} are left after a pause of {:?}", pause());
    assert!(lives(&stubs, &key).await, "the pause ended the lease");
    until("the end of the lease", async || (!lives(&stubs, &key).await).then_some(())).await;
    assert!(granted.elapsed() >= Duration::from_secs(TTL as u64) + pause() - Duration::from_secs(1), "too early");
    ledger.write(&stubs, 20, 100).await.expect("writes");
    ledger.check(&stubs).await;
    assert!(daemon.ended().is_none() && !daemon.log().contains("panicked"));
}

#[tokio::test]
async fn a_clock_that_is_set_moves_no_lease() {
    let dir = TempDir::new().expect("a folder");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let mut settings = Settings::new(dir.path().join("data"));
    settings.variables = shim.variables();
    let (daemon, stubs) = Daemon::start(settings).await;
    let granted = Instant::now();
    let (short, long) = (lease(&stubs, 7, TTL).await, lease(&stubs, 8, 1000).await);
    // a year forward, two years back, into the past before 1970
    for (round, seconds) in [31_536_000_i64, -31_536_000, -2_000_000_000].into_iter().enumerate() {
        shim.set(&format!("clock {seconds} -\n"));
        stubs.put(format!("round{round}"), "v").await;
        assert!(remaining(&stubs, 8).await >= 990, "after {seconds} s");
        assert!(granted.elapsed() > Duration::from_secs(TTL as u64 - 1) || lives(&stubs, &short).await, "{seconds} s");
    }
    until("the end of the short lease", async || (!lives(&stubs, &short).await).then_some(())).await;
    assert!(granted.elapsed() >= Duration::from_secs(TTL as u64), "ended after {:?}", granted.elapsed());
    assert!(lives(&stubs, &long).await);
    // a restart under a clock that went back
    let settings = daemon.kill();
    let (daemon, stubs) = Daemon::start(settings).await;
    assert!(lives(&stubs, &long).await && remaining(&stubs, 8).await >= 990);
    assert!(!daemon.log().contains("panicked"));
}
