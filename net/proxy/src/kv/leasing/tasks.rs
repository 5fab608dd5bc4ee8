//! What runs beside the calls: the lease is renewed, and orders to give keys up are heard.
//!
//! Must never let a key be handed out while orders for it are not heard.

use super::guard::REVOKE;
use super::protocol::{HeldLease, Leasing};
use crate::lease::Leases;
use crate::namespace::end_of_prefix;
use crate::upstream::{Context, Repeat};
use crate::watch::{Subscription, Watches};
use api::etcdserverpb as pb;
use api::mvccpb::EventType;
use bytes::Bytes;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tonic::Status;

/// Seconds that others wait for a proxy that died.
const TTL: i64 = 10;
/// Pause before a failure is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest that a farewell takes.
const FAREWELL: Duration = Duration::from_secs(1);

/// Holds a lease for as long as it is polled.
pub(crate) async fn hold_lease(leasing: Arc<Leasing>, leases: Arc<Leases>) {
    loop {
        match leasing.grant().await {
            Ok(held) => {
                leasing.set_lease(Some(held));
                tracing::info!("lease-ttl" = TTL, "took a lease for keys that are handed out from memory");
                let why = leasing.renew(&leases, held.id).await;
                tracing::warn!(reason = why, "the lease for keys in memory is lost; they are read from the cluster");
                leasing.set_lease(None);
                leasing.table().give_up_all();
                // what is left of it would keep others waiting
                leasing.revoke_lease(held.id).await;
            }
            Err(why) => tracing::warn!(error = why.message(), "cannot take a lease for keys in memory; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hears what others ask for, for as long as it is polled.
pub(crate) async fn follow(leasing: Arc<Leasing>, watches: Arc<Watches>) {
    loop {
        let ended = leasing.hear(&watches).await;
        let all = leasing.table().stop_to_hear();
        if let Err(why) = ended {
            tracing::warn!(error = why.message(), "cannot follow leasing keys; trying again");
        }
        // what was asked meanwhile is not known: everything is given up
        leasing.release_soon(all);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Leasing {
    fn set_lease(&self, held: Option<HeldLease>) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    async fn grant(&self) -> Result<HeldLease, Status> {
        let asked = Instant::now();
        let request = pb::LeaseGrantRequest { ttl: TTL, id: 0 };
        let path = "/etcdserverpb.Lease/LeaseGrant";
        let granted: pb::LeaseGrantResponse =
            self.pool.unary(path, &Context::default(), request, Repeat::Never).await?;
        Ok(HeldLease { id: granted.id, until: until(asked, granted.ttl) })
    }

    /// Renews until the lease has ended, or may have: why.
    async fn renew(&self, leases: &Leases, id: i64) -> String {
        let third = Duration::from_secs(TTL.unsigned_abs()) / 3;
        loop {
            tokio::time::sleep(third).await;
            let asked = Instant::now();
            match leases.renew(&Bytes::new(), id).await {
                Ok(answer) if answer.ttl > 0 => self.set_lease(Some(HeldLease { id, until: until(asked, answer.ttl) })),
                Ok(_) => return "it ended".into(),
                Err(why) if self.lease().is_none() => return why.message().to_owned(),
                Err(_) => {}
            }
            // when authentication was turned on, nobody without a token may read any more
            if let Err(why) = self.look().await
                && matches!(why.code(), tonic::Code::PermissionDenied | tonic::Code::InvalidArgument)
            {
                return why.message().to_owned();
            }
        }
    }

    /// The revision at which nobody in particular may look at leasing keys.
    async fn look(&self) -> Result<i64, Status> {
        let (key, range_end) = self.names.all();
        let request = pb::RangeRequest { key, range_end, count_only: true, ..Default::default() };
        let context = Context::default();
        let found: pb::RangeResponse =
            self.pool.unary("/etcdserverpb.KV/Range", &context, request, Repeat::Safe).await?;
        Ok(found.header.map_or(0, |header| header.revision))
    }

    async fn hear(self: &Arc<Self>, watches: &Arc<Watches>) -> Result<(), Status> {
        let start_revision = self.look().await? + 1;
        let mut subscription = Subscription::new(watches, Context::default());
        let (key, range_end) = (self.prefix.clone(), end_of_prefix(&self.prefix));
        let create = pb::WatchCreateRequest { key, range_end, start_revision, ..Default::default() };
        let union = pb::watch_request::RequestUnion::CreateRequest(create);
        subscription.request(pb::WatchRequest { request_union: Some(union) });
        while let Some(response) = subscription.next().await {
            if response.canceled {
                return Err(Status::unavailable(response.cancel_reason));
            }
            if response.created {
                self.table().begin_to_hear();
            }
            for kv in response.events.into_iter().filter_map(|event| Some((event.r#type, event.kv?))) {
                self.heard(kv);
            }
        }
        Ok(())
    }

    /// A leasing key changed.
    fn heard(self: &Arc<Self>, (kind, kv): (i32, api::mvccpb::KeyValue)) {
        let Some(key) = kv.key.strip_prefix(&self.prefix[..]).map(Bytes::copy_from_slice) else { return };
        let is_delete = kind == EventType::Delete as i32;
        let is_mine = self.lease().is_some_and(|held| held.id == kv.lease);
        let is_asked = !is_delete && kv.value == REVOKE && is_mine;
        if is_asked || is_delete {
            // memory first, leasing key second: between the two the key is answered by the cluster
            self.table().give_up(&key, kv.mod_revision, Instant::now());
        }
        if is_asked {
            self.release_soon(vec![(key, kv.create_revision)]);
        }
        if is_delete {
            self.deleted.notify_waiters();
        }
    }

    /// Gives the lease back, and with it all leasing keys.
    pub(crate) async fn end(&self) {
        self.table().stop_to_hear();
        let held = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(HeldLease { id, .. }) = held {
            self.revoke_lease(id).await;
        }
    }

    async fn revoke_lease(&self, id: i64) {
        let (request, context) = (pb::LeaseRevokeRequest { id }, Context::default());
        let path = "/etcdserverpb.Lease/LeaseRevoke";
        let revoked = self.pool.unary::<_, pb::LeaseRevokeResponse>(path, &context, request, Repeat::Never);
        // otherwise it ends by itself
        let _ = tokio::time::timeout(FAREWELL, revoked).await;
    }
}

/// Until when a lease lives in any case that was asked for at `asked`: clocks need not run equally fast.
fn until(asked: Instant, ttl: i64) -> Instant {
    asked + Duration::from_secs(u64::try_from(ttl).unwrap_or(0)) * 9 / 10
}
