//! Leases: grant, revoke, checkpoint. The table and the attachments are rows; no map of them is held.
//!
//! Must never know what time it is: when a lease ends is decided by the lease manager, which proposes its revocation.

use super::entry_cursor::EntryCursor;
use super::failure::Run;
use super::present::PIECE_BYTES;
use super::{ApplyFatal, LeaseChange, LeaseRow, StateMachine};
use crate::engine::{Direction, Engine, Family, Scan, Snapshot};
use crate::schema::{Damaged, meta};
use bytes::Bytes;
use model::request::{LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest};
use model::{ApplyError, Outcome};

impl<E: Engine> StateMachine<E> {
    /// A lease, changes of this batch included.
    pub(super) fn lease(&mut self, id: i64) -> Result<Option<LeaseRow>, ApplyFatal> {
        if let Some(lease) = self.leases.get(&id) {
            return Ok(*lease);
        }
        let lease = match self.snapshot.get(Family::Meta, &meta::lease(id))? {
            Some(row) => Some(LeaseRow::decode(&row)?),
            None => None,
        };
        self.leases.insert(id, lease);
        Ok(lease)
    }

    fn set_lease(&mut self, id: i64, lease: Option<LeaseRow>) {
        let key = Bytes::from(meta::lease(id));
        match lease {
            Some(row) => self.batch.put(Family::Meta, key, row.encode()),
            None => self.batch.delete(Family::Meta, key),
        }
        self.leases.insert(id, lease);
    }

    pub(super) fn lease_grant(&mut self, request: LeaseGrantRequest) -> Run<Outcome> {
        let LeaseGrantRequest { id, ttl } = request;
        if id == 0 {
            return Err(ApplyError::LeaseNotFound.into());
        }
        if self.lease(id)?.is_some() {
            return Err(ApplyError::LeaseExists.into());
        }
        self.set_lease(id, Some(LeaseRow { ttl, remaining: 0 }));
        self.now.leases += 1;
        self.effects.leases.push(LeaseChange::Granted { id, ttl });
        Ok(Outcome::LeaseGrant { id, ttl })
    }

    pub(super) fn lease_revoke(&mut self, cursor: &mut EntryCursor, request: LeaseRevokeRequest) -> Run<Outcome> {
        if self.lease(request.id)?.is_none() {
            return Err(ApplyError::LeaseNotFound.into());
        }
        if self.reattached.contains(&request.id) {
            self.commit()?;
        }
        self.revoke_keys(cursor, request)
    }

    /// Deletes the attached keys, ascending, in one main revision, then the lease.
    pub(super) fn revoke_keys(&mut self, cursor: &mut EntryCursor, request: LeaseRevokeRequest) -> Run<Outcome> {
        let id = request.id;
        let mut from = cursor.start(&meta::attached(id, &[]));
        loop {
            let (keys, next) = self.attached(id, &from)?;
            for key in keys {
                let slot = self.slot(&key)?.filter(|slot| slot.head.lease == id);
                let slot =
                    slot.ok_or(Damaged { family: "meta", why: "a lease holds a key that is not attached to it" })?;
                self.delete_key(key, &slot);
            }
            let Some(next) = next else { break };
            from = next;
            self.spill(cursor, &from)?;
        }
        self.set_lease(id, None);
        self.now.leases -= 1;
        self.effects.leases.push(LeaseChange::Revoked { id });
        Ok(Outcome::LeaseRevoke)
    }

    /// Some keys of a lease from the row key `from` on, and the row key to go on from.
    pub(super) fn attached(&self, id: i64, from: &[u8]) -> Result<(Vec<Bytes>, Option<Vec<u8>>), ApplyFatal> {
        let prefix = meta::attached(id, &[]);
        let mut keys = Vec::new();
        let mut bytes = 0;
        let mut scan = self.snapshot.scan(Family::Meta, from, None, Direction::Forward);
        while let Some((row_key, _)) = scan.next()? {
            let Some(key) = row_key.strip_prefix(&prefix[..]) else { break };
            if keys.len() >= self.piece_keys() || bytes >= PIECE_BYTES {
                return Ok((keys, Some(row_key.to_vec())));
            }
            bytes += key.len();
            keys.push(Bytes::copy_from_slice(key));
        }
        Ok((keys, None))
    }

    /// Notes how long leases have left. A lease that is gone by now is no error.
    pub(super) fn lease_checkpoint(&mut self, request: &LeaseCheckpointRequest) -> Run<Outcome> {
        for checkpoint in &request.checkpoints {
            let (id, remaining_ttl) = (checkpoint.id, checkpoint.remaining_ttl);
            if let Some(lease) = self.lease(id)? {
                self.set_lease(id, Some(LeaseRow { remaining: remaining_ttl, ..lease }));
                self.effects.leases.push(LeaseChange::Checkpoint { id, remaining_ttl });
            }
        }
        Ok(Outcome::LeaseCheckpoint)
    }
}
