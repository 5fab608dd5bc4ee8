//! A watch client that does not read: the server's memory stays bounded, and nothing is lost.

use harness::daemon::Settings;
use harness::watch::{create_all, short};
use harness::{Daemon, PATIENCE, Stubs, Watching};
use tempfile::TempDir;
use tokio::task::JoinSet;

const EVENTS: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_events_wait_for_a_slow_reader_outside_of_memory() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    let address = daemon.settings.address().to_string();
    let mut slow = Vec::new();
    for _ in 0..10 {
        let stubs = Stubs::connect(&address, PATIENCE).await.expect("connect");
        slow.push(Watching::open(&stubs, create_all(0)).await);
    }
    write(&stubs, EVENTS / 10).await;
    let before = daemon.resident();
    write(&stubs, EVENTS - EVENTS / 10).await;
    // ten readers are 90 MB of events behind by now
    let grown = daemon.resident().saturating_sub(before);
    println!("{} MiB resident before, {} MiB more behind", before >> 20, grown >> 20);
    assert!(grown < 200 << 20, "grew by {} MiB", grown >> 20);
    for watching in &mut slow[..2] {
        let revisions: Vec<_> = watching.events(EVENTS).await.iter().map(|e| short(e).3).collect();
        assert_eq!(revisions.len(), EVENTS);
        assert!(revisions.windows(2).all(|w| w[1] == w[0] + 1), "a gap or a repetition");
    }
}

async fn write(stubs: &Stubs, events: usize) {
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let stubs = stubs.clone();
        tasks.spawn(async move {
            for i in (task..events).step_by(64) {
                stubs.put(format!("key-{i:06}"), vec![b'x'; 64]).await;
            }
        });
    }
    tasks.join_all().await;
}
