//! A lease that is kept alive, and what locks, elections and barriers put under it.
//!
//! Must never be used for new places once its lease is lost.

use crate::client::Client;
use crate::error::Error;
use crate::keep_alive::KeepAlive;
use crate::lease::Lease;
use std::sync::Arc;
use std::time::Duration;

/// What a process holds while it takes part: when the process dies, its locks and places go with the lease.
///
/// Clones share the lease. It ends by itself some time after the last of them is gone; [`close`](Self::close) ends it at once.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    client: Client,
    lease: Lease,
    kept: KeepAlive,
}

impl Session {
    /// Takes a lease of this length and keeps it alive. The length is how long others wait for a process that died.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open(client: &Client, ttl: Duration) -> Result<Self, Error> {
        let lease = client.grant(ttl).await?;
        let kept = lease.keep_alive();
        Ok(Self(Arc::new(Inner { client: client.clone(), lease, kept })))
    }

    /// The client it was opened with.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Id of the lease.
    pub fn lease(&self) -> i64 {
        self.0.lease.id()
    }

    /// Whether the lease has ended, or may have: everything held under it is lost.
    pub fn is_lost(&self) -> bool {
        self.0.kept.is_lost()
    }

    /// Comes back when the lease has ended, or may have. Whoever holds a lock stops its work then.
    pub async fn lost(&self) {
        self.0.kept.lost().await;
    }

    /// Ends the lease, and with it everything held under it.
    ///
    /// # Errors
    /// [`Error`]; the lease ends by itself then.
    pub async fn close(&self) -> Result<(), Error> {
        self.0.lease.revoke().await
    }
}
