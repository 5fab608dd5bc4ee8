//! Entering a queue, and leaving it when the client gives up.
//!
//! A call without a lease gets one first; then its key is made, unless its lease has the key already; then it polls the
//! queue.

use super::keys;
use super::queue::{self, WaitQueue};
use super::short::session_lease;
use super::waiter::{Purpose, Stage, Waiter};
use crate::door::{Call, Status};
use crate::services::check;
use crate::services::client_services::ClientServices;
use crate::services::deferred::DeferredCall;
use crate::services::quota::admit_cost;
use crate::services::status;
use bytes::Bytes;
use messages::Token;
use model::request::TxnRequest;
use model::{Command, OpOutcome, Outcome};
use std::cell::Cell;
use std::rc::Rc;

/// Begins to wait for a call.
pub(super) fn begin(
    services: &ClientServices,
    queue: &Rc<WaitQueue>,
    mut call: Call,
    name: &[u8],
    lease: i64,
    purpose: Purpose,
) {
    let texts = match &purpose {
        Purpose::Lock => 0,
        Purpose::Campaign(campaign) => campaign.name.len() + campaign.value.len(),
    };
    // prefix and key each hold the name
    let reservation = match queue.budget.reserve(texts + 2 * name.len()) {
        Ok(reservation) => reservation,
        Err(full) => return call.reply(status::through_client(full)),
    };
    if !call.may_wait() {
        return call.reply(status::through_client(status::TOO_MANY_REQUESTS));
    }
    let credentials = services.credentials(&call);
    let known = services.permit(|| credentials.clone(), |rules, caller| rules.check_known(caller));
    let waiter = Box::new(Waiter::new(name, lease, credentials, purpose, reservation));
    let Some(token) = defer(services, queue, call) else { return };
    if lease != 0 {
        return enter(services, queue, token, waiter);
    }
    match known.and_then(|_| session_lease(services)) {
        Ok(command) => propose(services, queue, token, waiter, Stage::Granting, command),
        Err(why) => waiter.fail(services, token, why),
    }
}

/// Keeps the call for its answer, and hears when its client gives up. `None` when that has happened already.
fn defer(services: &ClientServices, queue: &Rc<WaitQueue>, call: Call) -> Option<Token> {
    let known: Rc<Cell<Option<Token>>> = Rc::default();
    let token_of_call = known.clone();
    let own_services = services.clone();
    let own_queue = queue.clone();
    let token = call.defer_with(move || {
        if let Some(token) = token_of_call.get() {
            leave(&own_services, &own_queue, token);
        }
    });
    known.set(Some(token.as_u64()));
    services.handle().is_open(token).then(|| token.as_u64())
}

/// Proposes the next step of a waiter.
fn propose(
    services: &ClientServices,
    queue: &Rc<WaitQueue>,
    token: Token,
    mut waiter: Box<Waiter>,
    stage: Stage,
    command: Command,
) {
    match services.caller_by(&waiter.credentials) {
        Ok(caller) => {
            waiter.stage = stage;
            queue.keep(token, waiter);
            services.propose_for(caller, token, command, Entering(queue.clone()));
        }
        Err(why) => waiter.fail(services, token, why),
    }
}

/// Proposes a transaction that may put the waiter's value.
fn propose_txn(
    services: &ClientServices,
    queue: &Rc<WaitQueue>,
    token: Token,
    waiter: Box<Waiter>,
    stage: Stage,
    txn: TxnRequest,
) {
    match admit_cost(services, check::txn_cost(&txn)) {
        Ok(()) => propose(services, queue, token, waiter, stage, Command::Txn(txn)),
        Err(full) => waiter.fail(services, token, full),
    }
}

/// Makes the key, unless this lease has it already: then its place in the queue is kept.
fn enter(services: &ClientServices, queue: &Rc<WaitQueue>, token: Token, waiter: Box<Waiter>) {
    if let Err(why) = queue::permit(services, &waiter) {
        return waiter.fail(services, token, why);
    }
    let value = match &waiter.purpose {
        Purpose::Lock => Bytes::new(),
        Purpose::Campaign(campaign) => campaign.value.clone(),
    };
    let txn = keys::put_or_get(waiter.key.clone(), value, waiter.lease);
    propose_txn(services, queue, token, waiter, Stage::Entering, txn);
}

/// A waiter that waits for the outcome of a command.
struct Entering(Rc<WaitQueue>);

impl DeferredCall<ClientServices> for Entering {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, revision: i64, outcome: Outcome) {
        let queue = &self.0;
        let Some(mut waiter) = queue.take(token) else { return };
        match (waiter.stage, outcome) {
            (Stage::Granting, Outcome::LeaseGrant { id, .. }) => {
                waiter.lease = id;
                waiter.key = keys::key_of(&waiter.prefix, id);
                enter(services, queue, token, waiter);
            }
            (Stage::Entering, Outcome::Op(OpOutcome::Txn { succeeded: true, .. })) => {
                key_made(services, queue, token, waiter, revision);
            }
            (Stage::Entering, Outcome::Op(OpOutcome::Txn { succeeded: false, responses })) => {
                key_found(services, queue, token, waiter, revision, &responses);
            }
            (Stage::Proclaiming, Outcome::Op(OpOutcome::Txn { succeeded: true, .. })) => {
                queue.poll(services, token, waiter);
            }
            // the key was lost between two steps
            _ => waiter.fail(services, token, status::ELECTION_NOT_LEADER),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        if let Some(waiter) = self.0.take(token) {
            waiter.fail(services, token, why);
        }
    }
}

/// The waiter's key was made at `revision`.
fn key_made(services: &ClientServices, queue: &Rc<WaitQueue>, token: Token, mut waiter: Box<Waiter>, revision: i64) {
    waiter.created = revision;
    waiter.owns_key = true;
    if waiter.abandoned {
        return waiter.release(services);
    }
    if let Purpose::Campaign(campaign) = &mut waiter.purpose {
        campaign.revision = revision;
        campaign.value = Bytes::new();
    }
    queue.poll(services, token, waiter);
}

/// The lease of the waiter had the key already, by the transaction at `revision`.
fn key_found(
    services: &ClientServices,
    queue: &Rc<WaitQueue>,
    token: Token,
    mut waiter: Box<Waiter>,
    revision: i64,
    responses: &[OpOutcome],
) {
    if waiter.abandoned {
        return;
    }
    let Some(kv) = responses.first().and_then(keys::first_kv) else {
        return waiter.fail(services, token, status::SESSION_EXPIRED);
    };
    waiter.created = kv.create_revision;
    if let Purpose::Campaign(campaign) = &mut waiter.purpose {
        campaign.revision = revision;
        if campaign.value != kv.value {
            let value = campaign.value.clone();
            let txn = keys::put_created(waiter.key.clone(), kv.create_revision, value, waiter.lease);
            return propose_txn(services, queue, token, waiter, Stage::Proclaiming, txn);
        }
    }
    queue.poll(services, token, waiter);
}

/// The client gave up, its time is over or its connection is gone.
fn leave(services: &ClientServices, queue: &WaitQueue, token: Token) {
    let Some(mut waiter) = queue.take(token) else { return };
    match waiter.stage {
        // a lease that nobody renews ends by itself
        Stage::Granting => {}
        // whether there will be a key is known when the command is applied
        Stage::Entering => {
            waiter.abandoned = true;
            queue.keep(token, waiter);
        }
        Stage::Proclaiming | Stage::Polling => waiter.release(services),
        Stage::Watching { before, own } => {
            queue.unwatch(services, before);
            queue.unwatch(services, own);
            waiter.release(services);
        }
    }
}
