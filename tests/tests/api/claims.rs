//! What the tests of locks and elections share: leases, names nobody else uses, calls that wait, and the server they ask.
//!
//! With `CONCLAVE_CLAIMS_ENDPOINT=host:port` and `--test-threads=1` they ask a server that is running already, etcd for a
//! comparison. Must never assert what only one of the two does without saying so.

use api::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, RangeRequest};
use api::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use harness::request::{bytes, prefix};
use harness::{PATIENCE, Stubs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Status;

/// Where an etcd serves that the tests are to be run against.
fn foreign() -> Option<String> {
    std::env::var("CONCLAVE_CLAIMS_ENDPOINT").ok()
}

/// True when the server asked is not ours.
pub fn is_foreign() -> bool {
    foreign().is_some()
}

/// Runs a test with a way to open connections to one server.
pub fn on_either(test: impl AsyncFnOnce(&Door)) {
    harness::server::in_system(async move {
        match foreign() {
            Some(address) => test(&Door { address }).await,
            None => {
                let server = harness::Server::start(|_| ()).await;
                test(&Door { address: server.address().to_string() }).await;
                server.stop().await;
            }
        }
    });
}

/// Where the server is.
pub struct Door {
    address: String,
}

impl Door {
    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Stubs {
        Stubs::connect(&self.address, Duration::from_secs(5)).await.expect("connect")
    }
}

/// A name that no other test uses, in this run or another.
pub fn name(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A lease that lives as long as it is needed, or `ttl` seconds.
pub async fn lease(stubs: &Stubs, ttl: i64) -> i64 {
    stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl, id: 0 }).await.expect("grant").into_inner().id
}

/// Ends a lease.
pub async fn revoke(stubs: &Stubs, id: i64) {
    stubs.lease.clone().lease_revoke(LeaseRevokeRequest { id }).await.expect("revoke");
}

/// The TTL that was granted.
pub async fn granted_ttl(stubs: &Stubs, id: i64) -> i64 {
    let request = LeaseTimeToLiveRequest { id, keys: false };
    stubs.lease.clone().lease_time_to_live(request).await.expect("time to live").into_inner().granted_ttl
}

/// Locks.
pub async fn lock(stubs: &Stubs, name: &str, lease: i64) -> Result<LockResponse, Status> {
    stubs.lock.clone().lock(LockRequest { name: bytes(name), lease }).await.map(tonic::Response::into_inner)
}

/// Unlocks; the revision it happened at.
pub async fn unlock(stubs: &Stubs, key: &[u8]) -> i64 {
    let answer = stubs.lock.clone().unlock(UnlockRequest { key: bytes(key) }).await.expect("unlock");
    answer.into_inner().header.expect("a header").revision
}

/// Keys under a name, as (lease, create revision), oldest first.
pub async fn claims(stubs: &Stubs, name: &str) -> Vec<(i64, i64)> {
    let answer = stubs.range(prefix(format!("{name}/"))).await.expect("range");
    let mut all: Vec<_> = answer.kvs.into_iter().map(|kv| (kv.lease, kv.create_revision)).collect();
    all.sort_unstable_by_key(|(_, created)| *created);
    all
}

/// How many keys are under a name.
pub async fn count(stubs: &Stubs, name: &str) -> usize {
    let request = RangeRequest { count_only: true, ..prefix(format!("{name}/")) };
    usize::try_from(stubs.range(request).await.expect("range").count).expect("a count")
}

/// Waits until so many keys are under a name.
pub async fn until_claims(stubs: &Stubs, name: &str, wanted: usize) {
    let what = format!("{wanted} keys under {}", name.get(..80).unwrap_or(name));
    harness::until(&what, async || (count(stubs, name).await == wanted).then_some(())).await;
}

/// A lock call on its way, once its key is there.
pub async fn waiting(stubs: &Stubs, name: &str, lease: i64) -> JoinHandle<Result<LockResponse, Status>> {
    let before = count(stubs, name).await;
    let (own, whose) = (stubs.clone(), name.to_owned());
    let call = tokio::spawn(async move { lock(&own, &whose, lease).await });
    until_claims(stubs, name, before + 1).await;
    call
}

/// What came of a waiting call.
pub async fn outcome<T>(call: JoinHandle<Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(PATIENCE, call).await.expect("an answer in time").expect("the call's task")
}
