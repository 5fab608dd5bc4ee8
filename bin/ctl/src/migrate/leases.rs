//! Leases of the destination: the source's ids and times, renewed there when they are renewed at the source.
//!
//! A lease of the destination never ends before that of the source, as far as anybody can know. Must never revoke one that has
//! keys.

use super::cluster::Cluster;
use super::error::MigrateError;
use crate::client::keep_alive;
use crate::client::method::{LEASE_GRANT, LEASE_LEASES, LEASE_REVOKE};
use crate::exit::{ERROR, Exit};
use api::etcdserverpb as pb;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often it is looked whether a lease wants something.
const TICK: Duration = Duration::from_millis(100);
/// Longest wait for the source, or for a renewal, before it is done without.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause between two looks at a lease.
const LONGEST: Duration = Duration::from_secs(30);
/// Leases that are looked at side by side.
const AT_ONCE: usize = 16;

/// A lease that the destination has.
#[derive(Clone, Copy, Debug)]
struct DestinationLease {
    granted: Duration,
    /// It lives at the destination at least until then.
    until: Instant,
    look_at: Instant,
    /// Revision of the source at which it was found to be gone there.
    ended: Option<i64>,
}

#[derive(Default)]
struct LeaseTable {
    held: HashMap<i64, DestinationLease>,
    /// Leases that the source does not have any more, and a revision of it that is not older than their end.
    gone: HashMap<i64, i64>,
}

/// See the file header.
pub struct Leases {
    source: Cluster,
    destination: Cluster,
    table: Mutex<LeaseTable>,
    /// Everything up to this revision of the source is written.
    position: AtomicI64,
    lost: AtomicBool,
    /// The source did not answer in this round: nobody waits for it again.
    silent: AtomicBool,
}

impl Leases {
    /// None yet.
    pub fn new(source: Cluster, destination: Cluster) -> Arc<Self> {
        let (table, position) = (Mutex::default(), AtomicI64::new(0));
        let (lost, silent) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { source, destination, table, position, lost, silent })
    }

    /// Everything up to this revision of the source is written.
    pub fn written_to(&self, position: i64) {
        self.position.store(position, Relaxed);
    }

    /// Whether the destination lost one since this was last asked: its keys went with it.
    pub fn take_lost(&self) -> bool {
        self.lost.swap(false, Relaxed)
    }

    /// The lease that a version of a key of this revision has at the destination: the same, which is made if need be, or none when
    /// the source has ended it since.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn adopt(&self, id: i64, revision: i64) -> Result<i64, MigrateError> {
        if id == 0 {
            return Ok(0);
        }
        {
            let table = self.table();
            if table.held.contains_key(&id) {
                return Ok(id);
            }
            if table.gone.get(&id).is_some_and(|known| *known >= revision) {
                return Ok(0);
            }
        }
        let Some(found) = self.source.lease(id, false).await? else {
            let now = self.source.now().await?.revision;
            self.table().gone.insert(id, now);
            return Ok(0);
        };
        self.grant(id, found.granted_ttl).await?;
        Ok(id)
    }

    /// The destination says that one of these is gone: they are asked for anew.
    pub fn doubt(&self, ids: impl IntoIterator<Item = i64>) {
        let mut table = self.table();
        for id in ids {
            table.held.remove(&id);
        }
        self.lost.store(true, Relaxed);
    }

    /// Renews for as long as it is not dropped.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.look_at_due(Instant::now()).await;
        }
    }

    /// Makes the leases of the destination those of the source: how many there are.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn settle(&self) -> Result<usize, MigrateError> {
        let listed: pb::LeaseLeasesResponse = self.source.ask(LEASE_LEASES, pb::LeaseLeasesRequest {}).await?;
        let ids: Vec<i64> = listed.leases.iter().map(|lease| lease.id).collect();
        let adopted = stream::iter(ids).map(|id| self.adopt(id, i64::MAX)).buffer_unordered(AT_ONCE);
        let adopted: Vec<i64> = adopted.try_collect().await?;
        self.look_at_due(Instant::now() + LONGEST).await;
        Ok(adopted.into_iter().filter(|id| *id != 0).count())
    }

    async fn grant(&self, id: i64, ttl: i64) -> Result<(), MigrateError> {
        loop {
            let sent = Instant::now();
            let granted: Result<pb::LeaseGrantResponse, _> =
                self.destination.ask(LEASE_GRANT, pb::LeaseGrantRequest { id, ttl }).await;
            match granted {
                Ok(answer) => {
                    self.note(id, answer.ttl, sent);
                    return Ok(());
                }
                Err(why) if why.is("lease already exists") => {}
                Err(why) => return Err(why.into()),
            }
            let Some(there) = self.destination.lease(id, true).await? else { continue };
            if there.granted_ttl == ttl {
                let renewed = keep_alive::once(self.destination.pool(), id).await;
                match renewed {
                    Ok(answer) => {
                        self.note(id, answer.ttl, sent);
                        return Ok(());
                    }
                    Err(why) if why.to_string().ends_with("requested lease not found") => continue,
                    Err(why) => return Err(why.into()),
                }
            }
            if !there.keys.is_empty() {
                let said = format!(
                    "lease {id:x} lives for {ttl} s at the source and for {} s at the destination, where {} keys have it: revoke it there",
                    there.granted_ttl,
                    there.keys.len()
                );
                return Err(Exit::new(ERROR, said).into());
            }
            self.revoke(id).await?;
        }
    }

    fn note(&self, id: i64, ttl: i64, sent: Instant) {
        let granted = Duration::from_secs(ttl.unsigned_abs());
        let held = DestinationLease { granted, until: sent + granted, look_at: sent, ended: None };
        self.table().held.insert(id, held);
    }

    async fn revoke(&self, id: i64) -> Result<(), MigrateError> {
        let revoked: Result<pb::LeaseRevokeResponse, _> =
            self.destination.ask(LEASE_REVOKE, pb::LeaseRevokeRequest { id }).await;
        match revoked {
            Err(why) if !why.is("requested lease not found") => Err(why.into()),
            _ => Ok(()),
        }
    }

    async fn look_at_due(&self, now: Instant) {
        let due: Vec<(i64, DestinationLease)> =
            self.table().held.iter().filter(|(_, held)| held.look_at <= now).map(|(id, held)| (*id, *held)).collect();
        self.silent.store(false, Relaxed);
        stream::iter(due).for_each_concurrent(AT_ONCE, |(id, held)| self.look_at(id, held)).await;
    }

    async fn look_at(&self, id: i64, mut held: DestinationLease) {
        let asked = Instant::now();
        let mut wanted = None;
        if let Some(ended) = held.ended {
            if self.position.load(Relaxed) >= ended && self.drop_if_unused(id).await {
                return;
            }
        } else if !self.silent.load(Relaxed) {
            match timeout(PATIENCE, self.source.lease(id, false)).await {
                // it counts whole seconds
                Ok(Ok(Some(there))) => {
                    wanted = Some(asked + Duration::from_secs(there.ttl.unsigned_abs() + 1));
                }
                Ok(Ok(None)) => {
                    if let Ok(Ok(now)) = timeout(PATIENCE, self.source.now()).await {
                        held.ended = Some(now.revision);
                    }
                }
                // it may come back with every lease renewed
                Ok(Err(_)) | Err(_) => self.silent.store(true, Relaxed),
            }
        }
        let left = held.until.saturating_duration_since(Instant::now());
        let urgent = left < (held.granted / 6).max(Duration::from_millis(900));
        if urgent || wanted.is_some_and(|wanted| held.until < wanted) {
            let sent = Instant::now();
            match timeout(PATIENCE, keep_alive::once(self.destination.pool(), id)).await {
                Ok(Ok(answer)) => held.until = sent + Duration::from_secs(answer.ttl.unsigned_abs()),
                Ok(Err(why)) if why.to_string().ends_with("requested lease not found") => return self.doubt([id]),
                // the next look tries again
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let left = held.until.saturating_duration_since(Instant::now());
        held.look_at = Instant::now() + (held.granted / 6).min(left / 3).min(LONGEST);
        self.table().held.insert(id, held);
    }

    /// Revokes a lease that the source has no more, once no key has it.
    async fn drop_if_unused(&self, id: i64) -> bool {
        let Ok(Ok(there)) = timeout(PATIENCE, self.destination.lease(id, true)).await else { return false };
        if there.is_some_and(|there| !there.keys.is_empty()) {
            return false;
        }
        let gone = matches!(timeout(PATIENCE, self.revoke(id)).await, Ok(Ok(())));
        if gone {
            self.table().held.remove(&id);
        }
        gone
    }

    fn table(&self) -> MutexGuard<'_, LeaseTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
