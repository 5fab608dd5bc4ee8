//! Three members, killed in turn under writers, watchers, locks and leases: what the client promises is counted.
//!
//! Must never end a process that it did not start.

use conclave_client::{Client, Compare, Isolation, Mutex, Put, Session, Transaction, Watcher};
use harness::Daemon;
use harness::daemon::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

const MEMBERS: usize = 3;
const WRITERS: usize = 4;
const WATCHERS: usize = 3;
/// How long the load runs before and after a kill.
const QUIET: Duration = Duration::from_millis(1500);

struct Cluster {
    settings: Vec<Settings>,
    members: Vec<Option<Daemon>>,
    _dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = Settings::of_cluster(dir.path(), MEMBERS);
        let members = settings.iter().map(|one| Some(Daemon::spawn(one.clone()))).collect();
        let mut cluster = Self { settings, members, _dir: dir };
        cluster.serve().await;
        cluster
    }

    async fn serve(&mut self) {
        for member in self.members.iter_mut().flatten() {
            member.serves().await.status().await;
        }
    }

    fn endpoints(&self) -> Vec<String> {
        self.settings.iter().map(|one| format!("http://{}", one.address())).collect()
    }

    async fn client(&self) -> Client {
        // a member that is gone without a word is noticed within three seconds
        let client = Client::builder(self.endpoints()).keepalive(Duration::from_secs(2), Duration::from_secs(1));
        client.connect().await.expect("a client")
    }

    fn kill(&mut self, member: usize) {
        self.members[member].take().expect("it runs").kill();
    }

    async fn start_again(&mut self, member: usize) {
        self.members[member] = Some(Daemon::spawn(self.settings[member].clone()));
        self.serve().await;
    }
}

/// What writers did.
#[derive(Default)]
struct Tally {
    acknowledged: Vec<String>,
    uncertain: Vec<String>,
    refused: Vec<String>,
}

/// Writes each key once.
async fn write(client: Client, writer: usize, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    for number in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let key = format!("w{writer}/{number}");
        match client.put(&key, number.to_string()).await {
            Ok(_) => tally.acknowledged.push(key),
            Err(why) if why.is_uncertain() => tally.uncertain.push(key),
            Err(_) => tally.refused.push(key),
        }
    }
    tally
}

/// Adds one again and again: acknowledged, and uncertain.
async fn count(client: Client, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut acknowledged, mut uncertain) = (0, 0);
    while !stop.load(Relaxed) {
        let added = client.transaction(Isolation::default(), async |tx: &mut Transaction| {
            let before: u64 = tx.get("counter").await?.map_or(0, |bytes| text(&bytes).parse().expect("a number"));
            tx.put("counter", (before + 1).to_string());
            Ok::<_, conclave_client::Error>(())
        });
        match added.await {
            Ok(_) => acknowledged += 1,
            Err(_) => uncertain += 1,
        }
    }
    (acknowledged, uncertain)
}

/// Adds one under a lock, by reading and then writing: acknowledged, and uncertain. With two owners additions would be lost.
async fn add_locked(client: Client, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut acknowledged, mut uncertain) = (0, 0);
    while !stop.load(Relaxed) {
        let Ok(session) = Session::open(&client, Duration::from_secs(5)).await else { continue };
        let mutex = Mutex::new(&session, "lock");
        while !stop.load(Relaxed) && !session.is_lost() {
            let Ok(guard) = mutex.lock().await else { break };
            let Ok(before) = client.get("locked").await else { continue };
            let before: u64 = before.value().map_or(0, |bytes| text(bytes).parse().expect("a number"));
            match client.txn().when(guard.held()).then(Put::new("locked", (before + 1).to_string())).await {
                Ok(done) => acknowledged += u64::from(done.succeeded),
                Err(_) => uncertain += 1,
            }
            if guard.unlock().await.is_err() {
                break;
            }
        }
        // its lease ends by itself otherwise
        let _ = session.close().await;
    }
    (acknowledged, uncertain)
}

/// Follows everything: revisions in the order in which they were handed out, until one is reached.
async fn follow(mut watcher: Watcher, end: tokio::sync::watch::Receiver<i64>) -> Vec<i64> {
    let mut seen: Vec<i64> = Vec::new();
    let mut ended = end.clone();
    loop {
        let until = *end.borrow();
        if until != 0 && seen.last().is_some_and(|last| *last >= until) {
            return seen;
        }
        tokio::select! {
            changes = watcher.next() => {
                let changes = changes.expect("it goes on").expect("without a gap");
                let mut revisions: Vec<i64> = changes.events.iter().map(|event| event.kv.mod_revision).collect();
                revisions.dedup();
                seen.extend(revisions);
            }
            _ = ended.changed() => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_killed_in_turn_leave_no_gap_no_double_write_and_no_second_owner() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    let begin = client.put("begin", "").await.expect("a write").revision;
    let lease = client.grant(Duration::from_secs(20)).await.expect("a lease");
    let kept = lease.keep_alive();
    client.put("leased", "").lease(lease.id()).await.expect("a write");

    let stop = Arc::new(AtomicBool::new(false));
    let (end, ended) = tokio::sync::watch::channel(0);
    let mut watches = JoinSet::new();
    for _ in 0..WATCHERS {
        let watcher = cluster.client().await.watch("").prefix().since(begin).await.expect("a watch");
        watches.spawn(follow(watcher, ended.clone()));
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(cluster.client().await, writer, stop.clone()));
    }
    let counter = tokio::spawn(count(cluster.client().await, stop.clone()));
    let mut locks = JoinSet::new();
    for _ in 0..3 {
        locks.spawn(add_locked(cluster.client().await, stop.clone()));
    }

    for member in 0..MEMBERS {
        sleep(QUIET).await;
        cluster.kill(member);
        sleep(2 * QUIET).await;
        cluster.start_again(member).await;
    }
    sleep(QUIET).await;
    stop.store(true, Relaxed);

    let tallies = writers.join_all().await;
    let counted = counter.await.expect("the counter");
    let locked = locks.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(!kept.is_lost(), "a lease outlives every member's death");
    let last = client.put("end", "").await.expect("a write").revision;
    end.send(last).expect("watchers wait");
    for seen in watches.join_all().await {
        let wanted: Vec<i64> = (begin..=*seen.last().expect("events")).collect();
        assert_eq!(seen, wanted, "every revision once, in order");
    }
    check(&client, &tallies).await;
    for (key, (sure, perhaps)) in [("counter", counted), ("locked", locked)] {
        let found = client.get(key).await.expect("a read");
        let found: u64 = text(found.value().expect("a number")).parse().expect("a number");
        assert!((sure..=sure + perhaps).contains(&found), "{key}: {found}, of {sure} and perhaps {perhaps}");
        assert!(sure > 0, "nobody ever added to {key}");
        println!("{key}: {found}, {sure} acknowledged and {perhaps} uncertain");
    }
    println!("{} revisions, each seen once by each of {WATCHERS} watchers", last - begin + 1);
}

/// Every acknowledged key is there, no refused one is, and none was written twice.
async fn check(client: &Client, tallies: &[Tally]) {
    let mut versions = BTreeMap::new();
    for writer in 0..WRITERS {
        let found = client.get(format!("w{writer}/")).prefix().await.expect("a read");
        versions.extend(found.kvs.into_iter().map(|kv| (text(&kv.key), kv.version)));
    }
    let (mut acknowledged, mut uncertain, mut refused) = (0, 0, 0);
    for tally in tallies {
        for key in &tally.acknowledged {
            assert_eq!(versions.get(key), Some(&1), "{key} was acknowledged once");
        }
        for key in &tally.uncertain {
            assert!(matches!(versions.get(key), None | Some(1)), "{key} was written at most once");
        }
        for key in &tally.refused {
            assert_eq!(versions.get(key), None, "{key} was certainly not written");
        }
        acknowledged += tally.acknowledged.len();
        uncertain += tally.uncertain.len();
        refused += tally.refused.len();
    }
    println!("{acknowledged} writes acknowledged, {uncertain} uncertain, {refused} refused; none twice");
    assert!(acknowledged > 100, "too little load to prove anything: {acknowledged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_the_members_outlives_those_it_was_started_with() {
    let mut cluster = Cluster::start().await;
    let first = cluster.endpoints().remove(0);
    let client = Client::connect([first]).await.expect("a client");
    client.sync_endpoints().await.expect("the members");
    assert_eq!(client.endpoints().len(), MEMBERS);
    let mut watcher = client.watch("k").await.expect("a watch");
    cluster.kill(0);
    let done = harness::until("a write at another member", async || {
        client.txn().when(Compare::is_missing("k")).then(Put::new("k", "v")).await.ok()
    });
    done.await;
    let changes = harness::soon("the change", watcher.next()).await.expect("it goes on").expect("a change");
    assert_eq!(changes.events[0].kv.value, "v");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
