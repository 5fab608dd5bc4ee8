//! Clients that hold a lease with a key, keep it alive, and look whether the key is there; then let it go, and look whether it goes.
//!
//! A lease must not end before the time that its holder was told last, counted from when that was asked for. Clocks are those of this
//! process. Must never count a renewal that was not answered.

use super::client::Client;
use crate::request::{get, put};
use api::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::Status;

/// Seconds that a lease is granted for.
const TTL: i64 = 5;
/// Beyond its time to live a lease may last for an election, a pause of its leader, and the whole time again from the new leader.
const LATE: Duration = Duration::from_secs(30);

/// What holders have found.
#[derive(Debug, Default)]
pub struct Leases {
    /// Leases that ended as they should.
    pub ended: AtomicU64,
    /// Renewals that were answered.
    pub renewed: AtomicU64,
    /// What was wrong.
    pub wrong: Mutex<Vec<String>>,
}

impl Leases {
    fn fail(&self, why: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(why);
    }
}

async fn grant(client: &mut Client, id: i64, key: &str) -> Option<Instant> {
    let stubs = client.stubs().await?;
    let asked = Instant::now();
    let granted = client.ask(async { stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl: TTL, id }).await }).await;
    granted.ok()?;
    let request = PutRequest { lease: id, ..put(key, "held") };
    client.ask(async { stubs.kv.clone().put(request).await }).await.ok()?;
    Some(asked)
}

/// Asks once: the time to live, zero for a lease that is gone.
async fn renew(client: &mut Client, id: i64) -> Option<(Instant, i64)> {
    let stubs = client.stubs().await?;
    let asked = Instant::now();
    let once = async {
        let requests = futures_util::stream::iter([LeaseKeepAliveRequest { id }]);
        let mut answers = stubs.lease.clone().lease_keep_alive(requests).await?.into_inner();
        answers.message().await?.ok_or_else(|| Status::unavailable("no answer"))
    };
    client.ask(once).await.ok().map(|answer| (asked, answer.ttl))
}

async fn is_there(client: &mut Client, key: &str) -> Option<(bool, Instant)> {
    let stubs = client.stubs().await?;
    let answer = client.ask(stubs.range(get(key))).await.ok()?;
    Some((!answer.kvs.is_empty(), Instant::now()))
}

/// Holds one lease after the other until it is told to stop.
pub async fn run(mut client: Client, holder: i64, leases: Arc<Leases>, stop: Arc<AtomicBool>) {
    for number in 1.. {
        if stop.load(Relaxed) {
            return;
        }
        let id = holder * 1_000_000 + number;
        let key = format!("lease/{holder}/{number}");
        let Some(granted) = grant(&mut client, id, &key).await else { continue };
        let mut safe = granted + Duration::from_secs(TTL as u64);
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match renew(&mut client, id).await {
                Some((asked, ttl)) if ttl > 0 => {
                    leases.renewed.fetch_add(1, Relaxed);
                    safe = safe.max(asked + Duration::from_secs(ttl as u64));
                }
                Some((asked, _)) if asked < safe && Instant::now() < safe => {
                    leases.fail(format!("lease {id} is gone {:.1?} before its time", safe - Instant::now()));
                }
                _ => {}
            }
            match is_there(&mut client, &key).await {
                Some((false, at)) if at < safe => {
                    leases.fail(format!("the key of lease {id} was gone {:.1?} before its time", safe - at));
                    return;
                }
                _ => {}
            }
        }
        wait_for_end(&mut client, &key, &leases, &stop).await;
    }
}

/// Nobody renews it any more: it ends.
async fn wait_for_end(client: &mut Client, key: &str, leases: &Leases, stop: &AtomicBool) {
    let begun = Instant::now();
    while !stop.load(Relaxed) {
        if let Some((false, _)) = is_there(client, key).await {
            leases.ended.fetch_add(1, Relaxed);
            return;
        }
        if begun.elapsed() > Duration::from_secs(TTL as u64) + LATE {
            return leases.fail(format!("{key} is there {:.1?} after its last renewal", begun.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
