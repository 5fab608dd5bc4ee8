//! Proxies that register themselves in the cluster, and the list of those that did.
//!
//! The key is `PREFIX/ADDRESS`, tied to a lease that the proxy renews; the value is JSON as etcd's client package `naming` writes it,
//! so that proxies of both kinds and clients with that resolver see each other.

use super::host_name;
use crate::config::Registry;
use crate::lease::Leases;
use crate::namespace::{Namespace, end_of_prefix};
use crate::upstream::{Context, Pool, Repeat};
use crate::watch::{Subscription, Watches};
use api::etcdserverpb as pb;
use api::mvccpb::{Event, EventType};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::Status;

/// Pause before a failure is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest that a farewell takes.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is stored. The names are etcd's.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    op: u8,
    addr: String,
    /// JSON inside of JSON.
    metadata: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    name: String,
}

/// Proxies that are registered, by key.
#[derive(Default)]
pub(crate) struct Proxies(Mutex<BTreeMap<Bytes, pb::Member>>);

impl Proxies {
    /// All of them, as members.
    pub(crate) fn members(&self) -> Vec<pb::Member> {
        self.all().values().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Bytes, pb::Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: Bytes, value: &[u8]) {
        match read(value) {
            Some(member) => drop(self.all().insert(key, member)),
            None => tracing::warn!(key = %String::from_utf8_lossy(&key), "a registered proxy cannot be read"),
        }
    }

    fn apply(&self, event: &Event) {
        let Some(kv) = &event.kv else { return };
        if event.r#type == EventType::Delete as i32 {
            self.all().remove(&kv.key);
        } else {
            self.put(kv.key.clone(), &kv.value);
        }
    }
}

fn read(value: &[u8]) -> Option<pb::Member> {
    let stored: Stored = serde_json::from_slice(value).ok()?;
    let metadata: Option<Metadata> = serde_json::from_str(stored.metadata.as_deref()?).ok();
    Some(pb::Member { name: metadata?.name, client_urls: vec![stored.addr], ..Default::default() })
}

fn written(address: &str) -> Vec<u8> {
    let metadata = serde_json::to_string(&Metadata { name: host_name() }).ok();
    let stored = Stored { op: 0, addr: address.to_owned(), metadata };
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// Follows the registry for as long as it is polled.
pub(crate) async fn follow(proxies: Arc<Proxies>, pool: Pool, watches: Arc<Watches>, prefix: String) {
    loop {
        if let Err(why) = follow_once(&proxies, &pool, &watches, &prefix).await {
            tracing::warn!(prefix, error = why.message(), "cannot follow the registered proxies; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow_once(proxies: &Proxies, pool: &Pool, watches: &Arc<Watches>, prefix: &str) -> Result<(), Status> {
    let key = Bytes::from(format!("{prefix}/"));
    let end = end_of_prefix(&key);
    let namespace = &watches.namespace;
    let request = pb::RangeRequest { key: namespace.key(&key), range_end: namespace.end(&end), ..Default::default() };
    let mut found: pb::RangeResponse =
        pool.unary("/etcdserverpb.KV/Range", &Context::default(), request, Repeat::Safe).await?;
    namespace.strip_range(&mut found);
    proxies.all().clear();
    found.kvs.into_iter().for_each(|kv| proxies.put(kv.key, &kv.value));
    let start_revision = found.header.map_or(0, |header| header.revision) + 1;
    let mut subscription = Subscription::new(watches, Context::default());
    let create = pb::WatchCreateRequest { key, range_end: end, start_revision, ..Default::default() };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    subscription.request(pb::WatchRequest { request_union: Some(union) });
    while let Some(response) = subscription.next().await {
        if response.canceled {
            return Err(Status::unavailable(response.cancel_reason));
        }
        response.events.iter().for_each(|event| proxies.apply(event));
    }
    Ok(())
}

/// The lease of this proxy's registration, to be given back at the end.
#[derive(Default)]
pub(crate) struct Registration(Mutex<Option<i64>>);

impl Registration {
    fn lease(&self) -> MutexGuard<'_, Option<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the registration, if it can be done soon.
    pub(crate) async fn end(&self, pool: &Pool) {
        let Some(id) = self.lease().take() else { return };
        let request = pb::LeaseRevokeRequest { id };
        let context = Context::default();
        let revoked = pool.unary::<_, pb::LeaseRevokeResponse>(
            "/etcdserverpb.Lease/LeaseRevoke",
            &context,
            request,
            Repeat::Never,
        );
        // otherwise the lease ends by itself
        let _ = tokio::time::timeout(FAREWELL, revoked).await;
    }
}

/// Registers this proxy and keeps it registered for as long as it is polled.
pub(crate) async fn register(
    registration: Arc<Registration>,
    pool: Pool,
    leases: Arc<Leases>,
    namespace: Namespace,
    registry: Registry,
    address: String,
) {
    loop {
        match register_once(&registration, &pool, &namespace, &registry, &address).await {
            Ok(id) => {
                tracing::info!(addr = address, "lease-ttl" = registry.ttl, "registered session with lease");
                renew(&leases, id, registry.ttl).await;
                tracing::warn!("session expired; possible network partition or server restart");
                tracing::warn!("creating a new session to rejoin");
            }
            Err(why) => tracing::warn!(error = why.message(), "failed to create a session"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn register_once(
    registration: &Registration,
    pool: &Pool,
    namespace: &Namespace,
    registry: &Registry,
    address: &str,
) -> Result<i64, Status> {
    let context = Context::default();
    let grant = pb::LeaseGrantRequest { ttl: registry.ttl, id: 0 };
    let granted: pb::LeaseGrantResponse =
        pool.unary("/etcdserverpb.Lease/LeaseGrant", &context, grant, Repeat::Never).await?;
    *registration.lease() = Some(granted.id);
    let put = pb::PutRequest {
        key: namespace.key(&format!("{}/{address}", registry.prefix).into()),
        value: written(address).into(),
        lease: granted.id,
        ..Default::default()
    };
    let _: pb::PutResponse = pool.unary("/etcdserverpb.KV/Put", &context, put, Repeat::Never).await?;
    Ok(granted.id)
}

/// Renews until the lease has ended.
async fn renew(leases: &Leases, id: i64, ttl: i64) {
    let third = Duration::from_millis(u64::try_from(ttl).unwrap_or(1) * 1000 / 3);
    loop {
        tokio::time::sleep(third).await;
        match leases.renew(&Bytes::new(), id).await {
            Ok(answer) if answer.ttl > 0 => {}
            Ok(_) => return,
            Err(why) => tracing::debug!(error = why.message(), "cannot renew the registration now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: what etcd 3.7.1 stores with `grpc-proxy start --resolver-prefix`.
    #[test]
    fn the_value_is_that_of_etcd() {
        let of_etcd = br#"{"Op":0,"Addr":"127.0.0.1:23790","Metadata":"{\"name\":\"h\"}"}"#;
        let member = read(of_etcd).unwrap();
        assert_eq!((member.name.as_str(), member.client_urls), ("h", vec!["127.0.0.1:23790".to_owned()]));
        let text = String::from_utf8(written("a:1")).unwrap();
        assert!(text.starts_with(r#"{"Op":0,"Addr":"a:1","Metadata":"{\"name\":\""#), "{text}");
        for bad in [&b""[..], b"{}", b"null", br#"{"Op":0,"Addr":"x","Metadata":null}"#, b"\xff"] {
            assert!(read(bad).is_none());
        }
    }
}
