//! Three processes of one cluster under load: killed, paused, stopped, one or all of them, round after round.
//!
//! Every operation is timed. The store numbers its writes, so the history is linearizable exactly when the numbers agree with the clock:
//! whatever began after another operation had ended has no smaller revision, and every read shows the state at its revision.

use crate::checks;
use crate::log::Log;
use crate::writers::{Attempt, Want};
use harness::daemon::Settings;
use harness::order::{Span, first_stale};
use harness::request::{get, put, put_op, txn};
use harness::watch::create_all;
use harness::{Daemon, Stubs, Watching, until};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Status;

const MEMBERS: usize = 3;
const WRITERS: usize = 6;
const READERS: usize = 3;
const KEYS: usize = 5;
/// More than the server's own limit of seven seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the load runs before and after a fault.
const QUIET: Duration = Duration::from_millis(700);

/// Rounds of each test: one for each fault, or as many as `CRASH_ROUNDS` says.
fn rounds() -> usize {
    std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(FAULTS.len())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillLeader,
    KillFollower,
    KillAll,
    PauseLeader,
    TerminateLeader,
}

const FAULTS: [Fault; 5] =
    [Fault::KillLeader, Fault::PauseLeader, Fault::KillFollower, Fault::TerminateLeader, Fault::KillAll];

/// A read: its key, and the value and revision it showed.
#[derive(Debug)]
struct Shown {
    key: String,
    value: Option<Vec<u8>>,
    revision: i64,
}

#[derive(Default)]
struct History {
    attempts: Vec<Attempt>,
    spans: Vec<Span>,
    reads: Vec<Shown>,
}

impl History {
    fn add(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.spans.extend(other.spans);
        self.reads.extend(other.reads);
    }

    /// Revisions agree with the clock.
    fn check_order(&self) {
        let stale = first_stale(&self.spans);
        assert!(stale.is_none(), "stale: {stale:?}: it began after this revision had been acknowledged");
    }

    /// Reads show the state at their revision.
    fn check_reads(&self, log: &Log) {
        let mut states: HashMap<&str, BTreeMap<i64, &[u8]>> = HashMap::new();
        for event in log.revisions.iter().flatten() {
            let kv = event.kv.as_ref().expect("a key");
            let key = std::str::from_utf8(&kv.key).expect("keys are text");
            states.entry(key).or_default().insert(kv.mod_revision, &kv.value);
        }
        for read in &self.reads {
            let state = states.get(read.key.as_str()).and_then(|state| state.range(..=read.revision).next_back());
            let wanted = state.map(|(_, value)| *value);
            assert_eq!(read.value.as_deref(), wanted, "{} at revision {}", read.key, read.revision);
        }
    }

    fn print_refusals(&self) {
        let mut refusals: BTreeMap<&str, usize> = BTreeMap::new();
        for refused in self.attempts.iter().filter_map(|attempt| attempt.refused.as_ref()) {
            *refusals.entry(refused.message()).or_default() += 1;
        }
        println!(
            "    {} writes acknowledged; refused: {refusals:?}",
            self.spans.iter().filter(|span| span.is_write).count()
        );
    }

    /// Longest time within the load in which nothing was acknowledged.
    fn longest_gap(&self) -> Duration {
        let mut ends: Vec<Instant> = self.spans.iter().filter(|span| span.is_write).map(|span| span.end).collect();
        ends.sort();
        ends.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }
}

/// A client that goes to the next member when one does not answer.
struct Roaming {
    addresses: Arc<Vec<String>>,
    at: usize,
    stubs: Option<Stubs>,
}

impl Roaming {
    fn new(addresses: &Arc<Vec<String>>, at: usize) -> Self {
        Self { addresses: addresses.clone(), at, stubs: None }
    }

    /// A connection to some member, or none for the moment.
    async fn stubs(&mut self) -> Option<Stubs> {
        if self.stubs.is_none() {
            let address = &self.addresses[self.at % self.addresses.len()];
            match tokio::time::timeout(Duration::from_secs(2), Stubs::connect(address, Duration::ZERO)).await {
                Ok(Ok(stubs)) => self.stubs = Some(stubs),
                Ok(Err(_)) | Err(_) => self.leave().await,
            }
        }
        self.stubs.clone()
    }

    async fn leave(&mut self) {
        self.at += 1;
        self.stubs = None;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn attempt(stubs: &Stubs, name: &str, keys: &[String]) -> Result<i64, Status> {
    let header = match keys {
        [key] => stubs.kv.clone().put(put(key, name)).await?.into_inner().header,
        keys => stubs.txn(txn(keys.iter().map(|key| put_op(key, name)).collect())).await?.header,
    };
    Ok(header.expect("a header").revision)
}

async fn write(mut client: Roaming, task: usize, round: usize, stop: Arc<AtomicBool>) -> History {
    let mut history = History::default();
    let mut number = 0;
    while !stop.load(Relaxed) {
        let Some(stubs) = client.stubs().await else { continue };
        number += 1;
        let name = format!("{task}.{round}.{number}");
        let keys: Vec<String> = match number % 4 {
            0 => (0..3).map(|part| format!("t{task}/part{part}")).collect(),
            _ => vec![format!("t{task}/k{}", number % KEYS)],
        };
        let start = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, attempt(&stubs, &name, &keys)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the test's own patience")));
        if let Ok(revision) = answer {
            history.spans.push(Span { start, end: Instant::now(), revision, is_write: true });
        } else {
            client.leave().await;
        }
        let acknowledged = answer.as_ref().ok().copied();
        history.attempts.push(Attempt { name, want: Want::Put(keys), acknowledged, refused: answer.err() });
    }
    history
}

async fn read(mut client: Roaming, task: usize, stop: Arc<AtomicBool>) -> History {
    let mut history = History::default();
    let mut number = task;
    while !stop.load(Relaxed) {
        let Some(stubs) = client.stubs().await else { continue };
        number += 1;
        let key = format!("t{}/k{}", number % WRITERS, number % KEYS);
        let start = Instant::now();
        match tokio::time::timeout(PATIENCE, stubs.range(get(&key))).await {
            Ok(Ok(answer)) => {
                let revision = answer.header.expect("a header").revision;
                history.spans.push(Span { start, end: Instant::now(), revision, is_write: false });
                let value = answer.kvs.first().map(|kv| kv.value.to_vec());
                history.reads.push(Shown { key, value, revision });
            }
            Ok(Err(_)) | Err(_) => client.leave().await,
        }
    }
    history
}

/// Follows the whole history, from whichever member answers. `until` is given a revision when the load has ended.
async fn watch(mut client: Roaming, until: tokio::sync::watch::Receiver<i64>) -> Log {
    let mut log = Log::default();
    let done = |log: &Log| *until.borrow() != 0 && log.revision() >= *until.borrow();
    while !done(&log) {
        let Some(stubs) = client.stubs().await else { continue };
        let open = Watching::try_open(&stubs, create_all(log.revision() + 1));
        let Ok(Ok(mut watching)) = tokio::time::timeout(Duration::from_secs(2), open).await else {
            client.leave().await;
            continue;
        };
        while !done(&log) {
            match tokio::time::timeout(Duration::from_millis(200), watching.try_next()).await {
                Ok(Ok(Some(answer))) if !answer.canceled => log.take(answer.events),
                Ok(_) => break,
                Err(_) => {}
            }
        }
        client.leave().await;
    }
    log
}

struct Cluster {
    members: Vec<Option<Daemon>>,
    settings: Vec<Settings>,
}

impl Cluster {
    async fn start(dir: &TempDir) -> Self {
        let settings = Settings::of_cluster(dir.path(), MEMBERS);
        let members = settings.iter().map(|one| Some(Daemon::spawn(one.clone()))).collect();
        let mut cluster = Self { members, settings };
        cluster.serve().await;
        cluster
    }

    /// Starts who does not run, and waits until all serve.
    async fn serve(&mut self) {
        for (member, settings) in self.members.iter_mut().zip(&self.settings) {
            member.get_or_insert_with(|| Daemon::spawn(settings.clone()));
        }
        for member in self.members.iter_mut().flatten() {
            // the socket is there before the member serves: only an answer shows that it does
            member.serves().await.status().await;
        }
    }

    fn addresses(&self) -> Arc<Vec<String>> {
        Arc::new(self.settings.iter().map(|one| one.address().to_string()).collect())
    }

    async fn stubs(&self, member: usize) -> Stubs {
        let address = self.settings[member].address().to_string();
        Stubs::connect(&address, Duration::from_secs(10)).await.expect("connect")
    }

    async fn leader(&self) -> usize {
        until("a leader that all know", async || {
            let mut leaders = Vec::new();
            let mut ids = Vec::new();
            for member in 0..MEMBERS {
                let status = self.stubs(member).await.status().await;
                leaders.push(status.leader);
                ids.push(status.header?.member_id);
            }
            leaders.dedup();
            let [leader] = leaders[..] else { return None };
            ids.iter().position(|id| *id == leader)
        })
        .await
    }

    async fn break_something(&mut self, fault: Fault, round: usize) {
        let leader = self.leader().await;
        let follower = (leader + 1 + round % (MEMBERS - 1)) % MEMBERS;
        let mut take = |member: usize| self.members[member].take().expect("it runs");
        match fault {
            Fault::KillLeader => _ = take(leader).kill(),
            Fault::KillFollower => _ = take(follower).kill(),
            Fault::KillAll => (0..MEMBERS).for_each(|member| _ = take(member).kill()),
            Fault::TerminateLeader => {
                let daemon = take(leader);
                let (took, status) = tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("terminate");
                assert!(took < Duration::from_millis(1500), "SIGTERM took {took:?}, {status}");
            }
            Fault::PauseLeader => {
                let daemon = take(leader);
                daemon.signal("STOP");
                tokio::time::sleep(Duration::from_secs(3)).await;
                daemon.signal("CONT");
                self.members[leader] = Some(daemon);
            }
        }
    }
}

async fn round(cluster: &mut Cluster, round: usize, history: &mut History) {
    let fault = FAULTS[round % FAULTS.len()];
    let addresses = cluster.addresses();
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for task in 0..WRITERS {
        load.spawn(write(Roaming::new(&addresses, task), task, round, stop.clone()));
    }
    for task in 0..READERS {
        load.spawn(read(Roaming::new(&addresses, task), task, stop.clone()));
    }
    tokio::time::sleep(QUIET).await;
    cluster.break_something(fault, round).await;
    if fault == Fault::KillAll {
        cluster.serve().await;
    }
    // who asks for the first time now does not wait for what the dead leader was given
    let broken = Instant::now();
    let mut probe = Roaming::new(&addresses, 0);
    let probing = until("a read after the fault", async || {
        let stubs = probe.stubs().await?;
        let answer = tokio::time::timeout(Duration::from_millis(500), stubs.range(get("probe"))).await;
        if !matches!(answer, Ok(Ok(_))) {
            probe.leave().await;
            return None;
        }
        Some(broken.elapsed())
    });
    let without_service = probing.await;
    tokio::time::sleep(2 * QUIET).await;
    cluster.serve().await;
    tokio::time::sleep(QUIET).await;
    stop.store(true, Relaxed);
    let mut this = History::default();
    load.join_all().await.into_iter().for_each(|part| this.add(part));
    let acknowledged = this.spans.len();
    println!(
        "round {round}: {fault:?}, {acknowledged} answers, service after {without_service:.1?}, longest time without a write {:.1?}",
        this.longest_gap()
    );
    assert!(acknowledged > 100, "too little load to prove anything: {acknowledged}");
    this.print_refusals();
    history.add(this);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_that_are_killed_paused_and_stopped_lose_nothing_and_show_nothing_stale() {
    let dir = TempDir::new().expect("a folder");
    let mut cluster = Cluster::start(&dir).await;
    let (ended, end) = tokio::sync::watch::channel(0);
    let mut watches = JoinSet::new();
    for member in 0..MEMBERS {
        watches.spawn(watch(Roaming::new(&cluster.addresses(), member), end.clone()));
    }
    let mut history = History::default();
    for number in 0..rounds() {
        round(&mut cluster, number, &mut history).await;
    }
    let revision = cluster.stubs(0).await.revision().await;
    ended.send(revision).expect("watches run");
    let logs = watches.join_all().await;
    for log in &logs {
        assert_eq!(log.revision(), revision, "a watch that moves from member to member sees every revision once");
        checks::history(log, &history.attempts);
    }
    history.check_order();
    history.check_reads(&logs[0]);
    let mut hashes = Vec::new();
    for member in 0..MEMBERS {
        let stubs = cluster.stubs(member).await;
        checks::present(&stubs, &logs[0]).await;
        hashes.push(stubs.hash_kv(revision).await.expect("hash").hash);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "the members' data differ");
}
