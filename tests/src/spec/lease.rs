//! Leases: grant, revoke, keep alive, time to live, list.
//!
//! Must never let a lease end by itself: whoever sees one end says so with [`Spec::expire`].

use super::{Refusal, Spec};
use api::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MAX_TTL: i64 = 9_000_000_000;

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Seconds it was granted for.
    pub ttl: i64,
    renewed: Instant,
}

impl Lease {
    fn remaining(self, now: Instant) -> i64 {
        let whole = Duration::from_secs(self.ttl as u64);
        whole.saturating_sub(now.saturating_duration_since(self.renewed)).as_secs() as i64
    }
}

/// All leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    by_id: BTreeMap<i64, Lease>,
}

impl Leases {
    /// True when a lease exists.
    pub fn exists(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Every id.
    pub fn ids(&self) -> Vec<i64> {
        self.by_id.keys().copied().collect()
    }
}

impl Spec {
    /// LeaseGrant. Id 0 lets the server choose: `chosen` is what it chose.
    ///
    /// # Errors
    /// etcd's.
    pub fn grant(
        &mut self,
        request: LeaseGrantRequest,
        chosen: i64,
        now: Instant,
    ) -> Result<LeaseGrantResponse, Refusal> {
        let id = if request.id == 0 { chosen } else { request.id };
        if request.ttl > MAX_TTL {
            return Err(Refusal::TTL_TOO_LARGE);
        }
        if self.leases.exists(id) {
            return Err(Refusal::LEASE_EXISTS);
        }
        let ttl = request.ttl.max(self.settings.min_lease_ttl);
        self.leases.by_id.insert(id, Lease { ttl, renewed: now });
        Ok(LeaseGrantResponse { header: Some(self.header()), id, ttl, error: String::new() })
    }

    /// LeaseRevoke: deletes every key of the lease in one revision.
    ///
    /// # Errors
    /// For a lease that does not exist.
    pub fn revoke(&mut self, request: LeaseRevokeRequest) -> Result<LeaseRevokeResponse, Refusal> {
        if self.leases.by_id.remove(&request.id).is_none() {
            return Err(Refusal::LEASE_NOT_FOUND);
        }
        for key in self.history.keys_of_lease(request.id) {
            self.history.delete(&key);
        }
        self.history.end();
        Ok(LeaseRevokeResponse { header: Some(self.header()) })
    }

    /// The server let a lease end.
    pub fn expire(&mut self, id: i64) {
        // as a revocation that nobody waits for
        let _ = self.revoke(LeaseRevokeRequest { id });
    }

    /// One answer of LeaseKeepAlive. A lease that does not exist has a TTL of 0.
    pub fn keep_alive(&mut self, id: i64, now: Instant) -> LeaseKeepAliveResponse {
        let header = Some(self.header());
        let lease = self.leases.by_id.get_mut(&id);
        let ttl = lease.map_or(0, |lease| {
            lease.renewed = now;
            lease.ttl
        });
        LeaseKeepAliveResponse { header, id, ttl }
    }

    /// LeaseTimeToLive; keys in order. A lease that does not exist has a TTL of -1.
    pub fn time_to_live(&self, request: &LeaseTimeToLiveRequest, now: Instant) -> LeaseTimeToLiveResponse {
        let (header, id) = (Some(self.header()), request.id);
        let Some(lease) = self.leases.by_id.get(&id) else {
            return LeaseTimeToLiveResponse { header, id, ttl: -1, granted_ttl: 0, keys: Vec::new() };
        };
        let keys = if request.keys { self.history.keys_of_lease(id) } else { Vec::new() };
        LeaseTimeToLiveResponse { header, id, ttl: lease.remaining(now), granted_ttl: lease.ttl, keys }
    }

    /// LeaseLeases, by id.
    pub fn list_leases(&self) -> LeaseLeasesResponse {
        let leases = self.leases.ids().into_iter().map(|id| LeaseStatus { id }).collect();
        LeaseLeasesResponse { header: Some(self.header()), leases }
    }
}
