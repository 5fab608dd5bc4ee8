//! Leases: keys bound to one go when it ends. Must never say that a lease lives longer than the server does.

use crate::client::Client;
use crate::error::{Error, Reason, Refusal};
use crate::keep_alive::{KeepAlive, duration};
use crate::transport::method;
use api::etcdserverpb as pb;
use bytes::Bytes;
use std::time::Duration;
use tonic::Code;

/// A lease.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// let lease = client.grant(std::time::Duration::from_secs(10)).await?;
/// let kept = lease.keep_alive();
/// client.put("here", "I am").lease(lease.id()).await?;
/// assert!(!kept.is_lost());
/// lease.revoke().await?;
/// assert_eq!(client.get("here").await?.value(), None);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Lease {
    client: Client,
    id: i64,
    ttl: Duration,
}

/// What the server knows of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseState {
    /// What is left of it.
    pub left: Duration,
    /// What it was granted for.
    pub granted: Duration,
    /// Its keys, with the whole name that the server knows.
    pub keys: Vec<Bytes>,
}

impl Client {
    /// Takes a lease. The server counts in seconds, and may make it longer.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        self.grant_as(0, ttl).await
    }

    /// As [`grant`](Self::grant), with an id of one's own; zero lets the server choose.
    ///
    /// # Errors
    /// [`Error`]; the reason is `LeaseExists` when the id is in use.
    pub async fn grant_as(&self, id: i64, ttl: Duration) -> Result<Lease, Error> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX).max(1);
        let request = pb::LeaseGrantRequest { ttl: seconds, id };
        let granted: pb::LeaseGrantResponse = self.call(method::LEASE_GRANT, request).await?;
        Ok(Lease { client: self.clone(), id: granted.id, ttl: duration(granted.ttl) })
    }

    /// A lease that somebody else took.
    ///
    /// # Errors
    /// [`Error`]; the reason is `LeaseNotFound` when it is not there.
    pub async fn lease(&self, id: i64) -> Result<Lease, Error> {
        let ttl = state(self, id, false).await?.granted;
        Ok(Lease { client: self.clone(), id, ttl })
    }

    /// Ids of all leases.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn leases(&self) -> Result<Vec<i64>, Error> {
        let all: pb::LeaseLeasesResponse = self.call(method::LEASE_LEASES, pb::LeaseLeasesRequest {}).await?;
        Ok(all.leases.into_iter().map(|lease| lease.id).collect())
    }
}

impl Lease {
    /// Its id, for [`Put::lease`](crate::Put::lease).
    pub fn id(&self) -> i64 {
        self.id
    }

    /// What the server granted it for.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Keeps it alive as long as what this returns lives.
    pub fn keep_alive(&self) -> KeepAlive {
        KeepAlive::start(self.client.pool.clone(), self.id, self.ttl)
    }

    /// What is left of it, and its keys.
    ///
    /// # Errors
    /// [`Error`]; the reason is `LeaseNotFound` when it has ended.
    pub async fn state(&self) -> Result<LeaseState, Error> {
        state(&self.client, self.id, true).await
    }

    /// Ends it: its keys go.
    ///
    /// # Errors
    /// [`Error`]; the reason is `LeaseNotFound` when it has ended.
    pub async fn revoke(&self) -> Result<(), Error> {
        let request = pb::LeaseRevokeRequest { id: self.id };
        let _: pb::LeaseRevokeResponse = self.client.call(method::LEASE_REVOKE, request).await?;
        Ok(())
    }
}

async fn state(client: &Client, id: i64, keys: bool) -> Result<LeaseState, Error> {
    let request = pb::LeaseTimeToLiveRequest { id, keys };
    let found: pb::LeaseTimeToLiveResponse = client.call(method::LEASE_TIME_TO_LIVE, request).await?;
    if found.ttl < 0 {
        let text = "etcdserver: requested lease not found".to_owned();
        debug_assert_eq!(Refusal::new(Code::NotFound, text.clone()).reason, Reason::LeaseNotFound);
        return Err(Error::Refused(Refusal::new(Code::NotFound, text)));
    }
    Ok(LeaseState { left: duration(found.ttl), granted: duration(found.granted_ttl), keys: found.keys })
}
