//! A run: clients, watchers and holders of leases beside a cluster that suffers one fault after the other; what must hold after each; and the
//! table at the end.
//!
//! Must never go on behind a violation: what follows would hide where it began.

use super::client::Client;
use super::cluster::{Cluster, MEMBERS};
use super::faults::Outcome;
use super::leases::{self, Leases};
use super::linear::{Verdict, judge};
use super::load::{self, Load};
use super::network::Network;
use super::plan::{Fault, Round, rounds};
use super::users;
use super::watching::{self, Seen};
use crate::order::{Span, first_stale};
use crate::request::all;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients that read and write.
const CLIENTS: usize = 8;
/// Holders of leases.
const HOLDERS: usize = 3;
/// How long the load runs before a fault, and after it.
const QUIET: Duration = Duration::from_millis(700);
/// Steps of the search for an order of one object.
const STEPS: usize = 400_000;
/// How long a watcher may be behind when nothing is broken.
const WATCH_PATIENCE: Duration = Duration::from_secs(20);

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where plan and clients draw from.
    pub seed: u64,
    /// No round begins after this time.
    pub time: Duration,
    /// This many rounds at most.
    pub rounds: usize,
    /// Only this fault.
    pub only: Option<Fault>,
}

/// What rounds with one fault have shown.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    rounds: u32,
    skipped: u32,
    worst: Duration,
    sum: Duration,
    worst_wait: Duration,
}

/// Everybody who is there for the whole run.
struct Company {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    /// Those that go from member to member, then one for each member.
    watchers: Vec<Arc<Seen>>,
    leases: Arc<Leases>,
    users: Arc<AtomicU64>,
    /// Users do not change meanwhile.
    rest: Arc<AtomicBool>,
    fresh: Arc<AtomicU32>,
}

impl Company {
    fn new(addresses: &Arc<Vec<String>>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        let mut watchers = Vec::new();
        for at in 0..2 + MEMBERS {
            let seen = Arc::<Seen>::default();
            watchers.push(seen.clone());
            let client = if at < 2 { Client::roaming(addresses, at) } else { Client::pinned(addresses, at - 2) };
            tasks.spawn(watching::run(client, seen, at == 0, stop.clone()));
        }
        let leases = Arc::<Leases>::default();
        for holder in 0..HOLDERS {
            let client = Client::roaming(addresses, holder);
            tasks.spawn(leases::run(client, holder as i64 + 1, leases.clone(), stop.clone()));
        }
        let users = Arc::<AtomicU64>::default();
        let rest = Arc::<AtomicBool>::default();
        tasks.spawn(users::run(Client::roaming(addresses, 0), users.clone(), rest.clone(), stop.clone()));
        Self { stop, tasks, watchers, leases, users, rest, fresh: Arc::default() }
    }

    /// What all watchers have seen.
    fn seen_by_all(&self) -> i64 {
        self.watchers.iter().map(|seen| seen.revision.load(SeqCst)).min().unwrap_or_default()
    }

    /// Nobody has seen anything wrong; all watchers come to this revision, and have seen the same.
    async fn check(&self, revision: i64) -> Result<(), String> {
        let begun = Instant::now();
        while self.seen_by_all() < revision && begun.elapsed() < WATCH_PATIENCE {
            if let Some(why) = self.watchers.iter().find_map(|seen| seen.failure()) {
                return Err(format!("a watcher: {why}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (at, seen) in self.watchers.iter().enumerate() {
            let who =
                if at < 2 { "a watcher that goes round".to_owned() } else { format!("the watcher of m{}", at - 1) };
            if let Some(why) = seen.failure() {
                return Err(format!("{who}: {why}"));
            }
            let at = seen.revision.load(SeqCst);
            if at < revision {
                return Err(format!("{who} is silent at revision {at}, the cluster is at {revision}"));
            }
        }
        let wrong = self.leases.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Ends everybody; then all watchers must have seen the same.
    async fn end(mut self, revision: i64) -> Result<Vec<api::mvccpb::KeyValue>, String> {
        self.check(revision).await?;
        self.stop.store(true, Relaxed);
        while self.tasks.join_next().await.is_some() {}
        let digests = self.watchers.iter().map(|seen| (seen.revision.load(SeqCst), seen.digest.load(SeqCst)));
        let digests: Vec<_> = digests.collect();
        let unlike = digests.iter().any(|one| digests.iter().any(|other| one.0 == other.0 && one.1 != other.1));
        if unlike {
            return Err(format!("watchers saw other events at the same revision: {digests:?}"));
        }
        Ok(self.watchers[0].present.lock().unwrap_or_else(PoisonError::into_inner).kvs())
    }
}

/// The longest time without an answer.
fn longest_gap(spans: &[Span]) -> Duration {
    let mut ends: Vec<Instant> = spans.iter().map(|span| span.end).collect();
    ends.sort();
    ends.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
}

/// What holds of a round's history.
fn check_history(load: &Load) -> Result<usize, String> {
    if let Some((span, newest)) = first_stale(&load.spans) {
        return Err(format!("stale: {span:?} began after revision {newest} had been acknowledged"));
    }
    let mut unknown = 0;
    for (object, records) in &load.objects {
        match judge(records, STEPS) {
            Verdict::Linearizable => {}
            Verdict::Unknown => unknown += 1,
            Verdict::Violated => {
                let mut records = records.clone();
                records.sort_by_key(|record| record.called);
                let begun = records.first().map(|record| record.called);
                let line = |record: &super::linear::Record| {
                    let since = |at: Instant| begun.map_or(0.0, |begun| (at - begun).as_secs_f64() * 1e3);
                    let answered = record.answered.map(|(at, answer)| (since(at), answer));
                    format!("  {:9.2} {:?} -> {answered:?}", since(record.called), record.op)
                };
                let lines: Vec<String> = records.iter().map(line).collect();
                return Err(format!("object {object} has no linear order:\n{}", lines.join("\n")));
            }
        }
    }
    Ok(unknown)
}

/// A run and what it has found.
struct Run {
    cluster: Cluster,
    company: Company,
    table: BTreeMap<Fault, Row>,
    operations: usize,
    unknown: usize,
}

impl Run {
    async fn round(&mut self, number: usize, round: Round) -> Result<(), String> {
        let addresses = self.cluster.addresses();
        let stop = Arc::<AtomicBool>::default();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let seed = round.seed.wrapping_add(client as u64);
            let roaming = Client::roaming(&addresses, client);
            clients.spawn(load::run(roaming, seed, number, self.company.fresh.clone(), stop.clone()));
        }
        tokio::time::sleep(QUIET).await;
        let suffered = self.cluster.suffer(round.fault, round.seed, self.company.seen_by_all()).await;
        let served = self.cluster.serve().await;
        tokio::time::sleep(2 * QUIET).await;
        stop.store(true, Relaxed);
        let mut load = Load::default();
        while let Some(part) = clients.join_next().await {
            load.add(part.map_err(|why| why.to_string())?);
        }
        let outcome = suffered?;
        served?;
        let gap = longest_gap(&load.spans);
        let row = self.table.entry(round.fault).or_default();
        if let Outcome::Skipped(why) = &outcome {
            row.skipped += 1;
            println!("round {number}: {:?} skipped: {why}", round.fault);
        } else {
            (row.rounds, row.sum, row.worst) = (row.rounds + 1, row.sum + gap, row.worst.max(gap));
            row.worst_wait = row.worst_wait.max(load.longest_wait);
        }
        let unknown = check_history(&load)?;
        self.unknown += unknown;
        self.operations += load.spans.len();
        // members are asked one after the other: whatever changes in between is no difference
        self.company.rest.store(true, Relaxed);
        let converged = self.cluster.converge().await;
        self.company.rest.store(false, Relaxed);
        let (_, revision, _) = converged?;
        self.company.check(revision).await?;
        let complaints = self.cluster.complaints();
        if !complaints.is_empty() {
            return Err(complaints.join("\n"));
        }
        println!(
            "round {number}: {:?}, {} answers, longest time without one {gap:.1?}, revision {revision}{}",
            round.fault,
            load.spans.len(),
            if unknown > 0 { format!(", {unknown} objects not judged") } else { String::new() },
        );
        Ok(())
    }

    fn print_table(&self) {
        println!("\nworst gap: nobody was answered; worst wait: one client was not, on whichever members it tried");
        println!(
            "{:<16} {:>6} {:>8} {:>10} {:>10} {:>11}",
            "fault", "rounds", "skipped", "worst gap", "mean gap", "worst wait"
        );
        for (fault, row) in &self.table {
            let mean = row.sum.checked_div(row.rounds).unwrap_or_default();
            println!(
                "{:<16} {:>6} {:>8} {:>10} {:>10} {:>11}",
                format!("{fault:?}"),
                row.rounds,
                row.skipped,
                format!("{:.2} s", row.worst.as_secs_f64()),
                format!("{:.2} s", mean.as_secs_f64()),
                format!("{:.2} s", row.worst_wait.as_secs_f64())
            );
        }
        println!(
            "{} operations judged, {} objects not; {} leases ended, {} renewals, {} changes of users",
            self.operations,
            self.unknown,
            self.company.leases.ended.load(Relaxed),
            self.company.leases.renewed.load(Relaxed),
            self.company.users.load(Relaxed)
        );
        println!(
            "{} snapshots installed, {} members rebuilt, {} watch streams opened",
            self.cluster.times("installed a snapshot of the leader"),
            self.cluster.times("rebuilt this member from the store of the leader"),
            self.company.watchers.iter().map(|seen| seen.opened.load(Relaxed)).sum::<u64>()
        );
        for daemon in self.cluster.members.iter().flatten() {
            println!(
                "{}: {} MiB resident, {} open files",
                daemon.settings.name,
                daemon.resident() >> 20,
                daemon.open_files()
            );
        }
    }
}

/// Runs. The folder is left as it is when something was found.
///
/// # Errors
/// What was found.
pub async fn run(settings: Settings, dir: &Path) -> Result<(), String> {
    let network = Network::new(MEMBERS).inspect_err(|why| println!("skipped: faults of the network: {why}")).ok();
    let cluster = Cluster::start(dir, network).await?;
    let company = Company::new(&cluster.addresses());
    let mut run = Run { cluster, company, table: BTreeMap::new(), operations: 0, unknown: 0 };
    let begun = Instant::now();
    let plan = rounds(settings.seed).filter(|round| settings.only.is_none_or(|only| only == round.fault));
    for (number, round) in plan.take(settings.rounds).enumerate() {
        if begun.elapsed() > settings.time {
            break;
        }
        if let Err(why) = run.round(number, round).await {
            run.print_table();
            return Err(format!("round {number}, {:?}: {why}", round.fault));
        }
    }
    run.print_table();
    run.company.rest.store(true, Relaxed);
    let (_, revision, _) = run.cluster.converge().await?;
    let seen = run.company.end(revision).await?;
    let stubs = run.cluster.stubs(0).await?;
    let present = stubs.range(all()).await.map_err(|why| why.to_string())?;
    let last = present.header.map_or(0, |header| header.revision);
    if last == revision && present.kvs != seen {
        return Err("the keys that are present are not those that the events lead to".to_owned());
    }
    Ok(())
}
