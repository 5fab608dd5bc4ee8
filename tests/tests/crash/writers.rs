//! Tasks that write without pause and note what was promised: put, transaction over three keys, delete, lease.
//!
//! Every key belongs to one task and every value names an attempt, so that each event has exactly one explanation.

use api::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, PutRequest};
use harness::Stubs;
use harness::request::{delete_op, put, put_op, txn};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Status;

/// What an attempt wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Keys that get the attempt's name as value, all in one revision.
    Put(Vec<String>),
    /// A key that is deleted, and a key that notes it in the same revision.
    Delete(String, String),
    /// A lease that is granted.
    Grant(i64),
    /// A lease that is revoked, with the key that goes with it.
    Revoke(i64, String),
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Unique name: task, round and number.
    pub name: String,
    /// What it wanted.
    pub want: Want,
    /// Revision it was acknowledged with; none when the answer never came.
    pub acknowledged: Option<i64>,
    /// The refusal, when that came instead.
    pub refused: Option<Status>,
}

/// Everything all tasks did in one round, until the server was gone.
pub async fn write_until_gone(address: &str, round: usize, tasks: usize) -> Vec<Attempt> {
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let address = address.to_owned();
        set.spawn(async move { write(&address, task, round).await });
    }
    set.join_all().await.into_iter().flatten().collect()
}

async fn write(address: &str, task: usize, round: usize) -> Vec<Attempt> {
    // several tasks share a batch at the server only when they have connections of their own
    let stubs = Stubs::connect(address, Duration::from_secs(5)).await.expect("connect a writer");
    let mut attempts = Vec::new();
    for number in 0.. {
        let name = format!("{task}.{round}.{number}");
        let want = want(task, round, number);
        let answer = tokio::time::timeout(Duration::from_secs(20), attempt(&stubs, &name, &want)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer and no end for 20 s: {name}"));
        let acknowledged = answer.as_ref().ok().copied();
        attempts.push(Attempt { name, want, acknowledged, refused: answer.err() });
        if acknowledged.is_none() {
            break;
        }
    }
    attempts
}

fn want(task: usize, round: usize, number: usize) -> Want {
    let lease = |number: usize| (1 + task as i64) << 40 | (round as i64) << 24 | number as i64;
    let leased = |number: usize| format!("t{task}/leased{round}.{number}");
    match number % 16 {
        3 => Want::Delete(format!("t{task}/k{}", number % 7), format!("t{task}/deleted")),
        5 | 9 | 14 => Want::Put((0..3).map(|part| format!("t{task}/part{part}")).collect()),
        7 => Want::Grant(lease(number)),
        // the key below hangs on the lease granted one before
        8 => Want::Put(vec![leased(number - 1)]),
        12 => Want::Revoke(lease(number - 5), leased(number - 5)),
        _ => Want::Put(vec![format!("t{task}/k{}", number % 7)]),
    }
}

/// Revision of the answer.
async fn attempt(stubs: &Stubs, name: &str, want: &Want) -> Result<i64, Status> {
    let value = value(name);
    let header = match want {
        Want::Put(keys) if keys.len() == 1 => {
            let lease = if keys[0].contains("/leased") { lease_of(&keys[0]) } else { 0 };
            let request = PutRequest { lease, ..put(&keys[0], &value) };
            stubs.kv.clone().put(request).await?.into_inner().header
        }
        Want::Put(keys) => {
            let ops = keys.iter().map(|key| put_op(key, &value)).collect();
            stubs.txn(txn(ops)).await?.header
        }
        Want::Delete(key, note) => stubs.txn(txn(vec![delete_op(key, ""), put_op(note, &value)])).await?.header,
        Want::Grant(id) => {
            let request = LeaseGrantRequest { id: *id, ttl: 100_000 };
            stubs.lease.clone().lease_grant(request).await?.into_inner().header
        }
        Want::Revoke(id, _) => {
            stubs.lease.clone().lease_revoke(LeaseRevokeRequest { id: *id }).await?.into_inner().header
        }
    };
    Ok(header.expect("a header").revision)
}

/// Lease that a key hangs on, from its name.
fn lease_of(key: &str) -> i64 {
    let (task, rest) = key[1..].split_once("/leased").expect("a leased key");
    let (round, number) = rest.split_once('.').expect("round and number");
    let parse = |text: &str| text.parse::<i64>().expect("a number");
    (1 + parse(task)) << 40 | parse(round) << 24 | parse(number)
}

/// The attempt's name and some weight, so that batches and segments fill.
fn value(name: &str) -> String {
    let weight = name.bytes().map(usize::from).sum::<usize>() % 900;
    format!("{name};{}", "x".repeat(weight))
}

/// Attempts by name.
pub fn by_name(attempts: &[Attempt]) -> HashMap<&str, &Attempt> {
    attempts.iter().map(|a| (a.name.as_str(), a)).collect()
}

/// Name of the attempt that wrote a value.
pub fn name_of(value: &[u8]) -> &str {
    let text = std::str::from_utf8(value).expect("values are text");
    text.split(';').next().unwrap_or_default()
}
