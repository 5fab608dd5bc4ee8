//! A call in a queue: what it is for, what it is answered with, and the budget of those that wait.
//!
//! Must never leave a key behind for a call that got an error or whose client is gone; what a crash leaves, the lease
//! removes.

use super::keys;
use crate::door::{Answer, CallToken, DoorLimits, Message, Status};
use crate::services::client_services::ClientServices;
use crate::services::identity::Credentials;
use crate::services::{encode, status};
use api::v3electionpb::{CampaignResponse, LeaderKey};
use bytes::{Bytes, BytesMut};
use messages::Token;
use prost::Message as _;
use std::cell::Cell;
use std::rc::Rc;

/// Bytes a waiter is taken to cost besides its texts, at least.
const LEAST_COST: usize = 256;

/// What a call waits in a queue for.
pub(super) enum Purpose {
    /// A lock.
    Lock,
    /// The lead of an election.
    Campaign(Campaign),
}

/// What a campaign needs for its answer.
pub(super) struct Campaign {
    pub(super) name: Bytes,
    /// Empty once it has been written.
    pub(super) value: Bytes,
    /// Revision of the transaction that entered the election: that of the answer's header.
    pub(super) revision: i64,
}

/// Which reply a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A lease of its own.
    Granting,
    /// Its key.
    Entering,
    /// A new value for the key it had already.
    Proclaiming,
    /// A look into the queue.
    Polling,
    /// The end of the key before its own, or of its own, by watchers with these ids.
    Watching {
        /// On the key before.
        before: i64,
        /// On its own key.
        own: i64,
    },
}

/// A call on its way through a queue.
pub(super) struct Waiter {
    pub(super) purpose: Purpose,
    pub(super) prefix: Bytes,
    pub(super) key: Bytes,
    pub(super) lease: i64,
    /// On whose behalf each step is done.
    pub(super) credentials: Credentials,
    /// Revision that created the key; zero until it is known.
    pub(super) created: i64,
    pub(super) stage: Stage,
    /// The key is not that of an earlier call that may hold the lock: this call made it, or has waited with it.
    pub(super) owns_key: bool,
    /// The client left while the key was being made.
    pub(super) abandoned: bool,
    /// Its share of the budget.
    _reservation: Reservation,
}

impl Waiter {
    /// A waiter that has not entered the queue of this name.
    pub(super) fn new(
        name: &[u8],
        lease: i64,
        credentials: Credentials,
        purpose: Purpose,
        reservation: Reservation,
    ) -> Self {
        let prefix = keys::prefix_of(name);
        Self {
            purpose,
            key: keys::key_of(&prefix, lease),
            prefix,
            lease,
            credentials,
            created: 0,
            stage: Stage::Granting,
            owns_key: false,
            abandoned: false,
            _reservation: reservation,
        }
    }

    /// It is the waiter's turn: `revision` is that of the view in which nobody was before it.
    pub(super) fn grant(&self, services: &ClientServices, token: Token, revision: i64) {
        let answer = match &self.purpose {
            Purpose::Lock => self.locked(services, revision),
            Purpose::Campaign(campaign) => self.elected(services, campaign),
        };
        if !services.handle().complete(CallToken::from_u64(token), answer) {
            self.release(services);
        }
    }

    /// `LockResponse`.
    fn locked(&self, services: &ClientServices, revision: i64) -> Answer {
        let mut out = BytesMut::from(&encode::range_head(services.header(revision))[..]);
        encode::put_bytes(&mut out, 2, &self.key);
        Answer::message(Message::One(out.freeze()))
    }

    /// `CampaignResponse`.
    fn elected(&self, services: &ClientServices, campaign: &Campaign) -> Answer {
        let leader =
            LeaderKey { name: campaign.name.clone(), key: self.key.clone(), rev: self.created, lease: self.lease };
        let header = services.pb_header(campaign.revision);
        Answer::message(CampaignResponse { header, leader: Some(leader) }.encode_to_vec())
    }

    /// The waiter's key is gone: its lease has ended, or somebody deleted it.
    pub(super) fn lose(&self, services: &ClientServices, token: Token) {
        services.complete(
            token,
            match &self.purpose {
                Purpose::Lock => status::SESSION_EXPIRED,
                Purpose::Campaign(_) => status::ELECTION_NOT_LEADER,
            },
        );
    }

    /// Ends the call with an error; its own key goes as well.
    pub(super) fn fail(&self, services: &ClientServices, token: Token, why: Status) {
        self.release(services);
        services.complete(token, status::through_client(why));
    }

    /// Deletes the waiter's key, if it has one of its own. A caller who may not do that any more leaves it to its lease.
    pub(super) fn release(&self, services: &ClientServices) {
        if self.owns_key
            && let Ok(caller) = services.caller_by(&self.credentials)
        {
            services.propose_quietly(caller, keys::delete_created(self.key.clone(), self.created));
        }
    }
}

/// What the waiters of one loop may keep in memory.
///
/// It is half of the request bytes that the loop admits, and each waiter costs at least what a request may keep on
/// average if there are as many calls as the loop admits. So waiters never take more than half of either limit, and cannot
/// shut everybody else out.
#[derive(Debug)]
pub(super) struct WaiterBudget {
    bytes: usize,
    least_cost: usize,
    used: Rc<Cell<usize>>,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    used: Rc<Cell<usize>>,
    bytes: usize,
}

impl WaiterBudget {
    /// The budget of a loop with these limits.
    pub(super) fn new(limits: &DoorLimits) -> Self {
        let per_call = limits.request_bytes.div_ceil(limits.max_calls.max(1));
        Self { bytes: limits.request_bytes / 2, least_cost: per_call.max(LEAST_COST), used: Rc::default() }
    }

    /// Reserves room for a waiter with texts of so many bytes.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn reserve(&self, texts: usize) -> Result<Reservation, Status> {
        let bytes = self.least_cost + texts;
        let used = self.used.get() + bytes;
        if used > self.bytes {
            return Err(status::TOO_MANY_REQUESTS);
        }
        self.used.set(used);
        Ok(Reservation { used: self.used.clone(), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.set(self.used.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back() {
        let budget = WaiterBudget::new(&DoorLimits::default());
        let half = budget.reserve(budget.bytes / 2).expect("fits");
        assert_eq!(budget.reserve(budget.bytes / 2).err(), Some(status::TOO_MANY_REQUESTS));
        drop(half);
        assert!(budget.reserve(budget.bytes - budget.least_cost).is_ok());
    }

    #[test]
    fn waiters_leave_half_of_the_loops_admission_to_others() {
        for loops in [1, 2, 3, 64] {
            let limits = DoorLimits::default().of_loop(loops);
            let budget = WaiterBudget::new(&limits);
            let mut waiters = Vec::new();
            while let Ok(reservation) = budget.reserve(0) {
                waiters.push(reservation);
            }
            assert!(waiters.len() <= limits.max_calls / 2, "{loops} loops: {} waiters", waiters.len());
            assert!(budget.used.get() <= limits.request_bytes / 2, "{loops} loops");
        }
    }
}
