//! Election: Campaign, Proclaim, Leader, Resign. Observe is in [`observe`](super::observe).
//!
//! A campaign is a key with a value in the queue of the election.

use super::entry;
use super::keys;
use super::leader::{self, Leader};
use super::queue::WaitQueue;
use super::short;
use super::waiter::{Campaign, Purpose};
use crate::door::{Answer, MethodTable, Status};
use crate::services::client_services::ClientServices;
use crate::services::deferred::DeferredCall;
use crate::services::identity::Credentials;
use crate::services::quota::admit_cost;
use crate::services::reads::{self, Guarded, ReadCall, Served};
use crate::services::unary::method;
use crate::services::{check, status};
use api::v3electionpb as pb;
use bytes::Bytes;
use messages::Token;
use messages::auth::AuthRules;
use messages::read::TxnPlan;
use model::{AuthRefusal, Caller, Command, OpOutcome, Outcome, ReadError};
use std::rc::Rc;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, queue: &Rc<WaitQueue>, table: &mut MethodTable) {
    let path = |name: &str| format!("/v3electionpb.Election/{name}");
    let queue = queue.clone();
    method(services, table, &path("Campaign"), move |services, call, request: pb::CampaignRequest| {
        // copied: it may wait for long, and a decoded field shares the whole buffer it was read into
        let name = Bytes::copy_from_slice(&request.name);
        let value = Bytes::copy_from_slice(&request.value);
        let campaign = Campaign { name, value, revision: 0 };
        entry::begin(services, &queue, call.take(), &request.name, request.lease, Purpose::Campaign(campaign));
        Ok(())
    });
    method(services, table, &path("Proclaim"), |services, call, request: pb::ProclaimRequest| {
        let leader = request.leader.as_ref().ok_or(status::MISSING_LEADER)?;
        if leader.lease == 0 {
            services.require_known(call).map_err(status::through_client)?;
            let grant = short::session_lease(services).map_err(status::through_client)?;
            let awaits = AwaitsSession { request, credentials: services.credentials(call) };
            let caller = services.caller(call).map_err(status::through_client)?;
            services.propose_for(caller, call.take().defer().as_u64(), grant, awaits);
            return Ok(());
        }
        let command = proclaim(services, request).map_err(status::through_client)?;
        let caller = services.caller(call).map_err(status::through_client)?;
        services.propose_for(caller, call.take().defer().as_u64(), command, Proclamation);
        Ok(())
    });
    method(services, table, &path("Resign"), |services, call, request: pb::ResignRequest| {
        let leader = request.leader.ok_or(status::MISSING_LEADER)?;
        if leader.key.is_empty() {
            return Err(status::through_client(status::EMPTY_KEY));
        }
        short::propose(services, call.take(), keys::delete_created(leader.key, leader.rev));
        Ok(())
    });
    method(services, table, &path("Leader"), |services, call, request: pb::LeaderRequest| {
        reads::serve_linearizable(services, call.take(), FindLeader { prefix: keys::prefix_of(&request.name) });
        Ok(())
    });
}

/// The command of a proclamation.
///
/// # Errors
/// No leader given, its key empty, no space.
fn proclaim(services: &ClientServices, request: pb::ProclaimRequest) -> Result<Command, Status> {
    let leader = request.leader.ok_or(status::MISSING_LEADER)?;
    let txn = keys::put_created(leader.key, leader.rev, request.value, leader.lease);
    check::txn(&txn, services.config().max_txn_ops)?;
    admit_cost(services, check::txn_cost(&txn))?;
    Ok(Command::Txn(txn))
}

/// A proclamation without a lease, which gets one first.
struct AwaitsSession {
    request: pb::ProclaimRequest,
    credentials: Credentials,
}

impl DeferredCall<ClientServices> for AwaitsSession {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, _: i64, outcome: Outcome) {
        let Outcome::LeaseGrant { id, .. } = outcome else {
            return self.failed(services, token, status::UNEXPECTED_REPLY);
        };
        let Self { mut request, credentials } = *self;
        request.leader = request.leader.map(|leader| pb::LeaderKey { lease: id, ..leader });
        let proposal = proclaim(services, request).and_then(|command| Ok((services.caller_by(&credentials)?, command)));
        match proposal {
            Ok((caller, command)) => services.propose_for(caller, token, command, Proclamation),
            Err(why) => short::fail(services, token, why),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        short::fail(services, token, why);
    }
}

/// A proclamation whose transaction must find the leader's key.
struct Proclamation;

impl DeferredCall<ClientServices> for Proclamation {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, revision: i64, outcome: Outcome) {
        match outcome {
            Outcome::Op(OpOutcome::Txn { succeeded: false, .. }) => {
                services.complete(token, status::ELECTION_NOT_LEADER);
            }
            _ => short::answer(services, token, revision),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        short::fail(services, token, why);
    }
}

/// A call for the leader of the election with this prefix.
struct FindLeader {
    prefix: Bytes,
}

impl ReadCall for FindLeader {
    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        rules.check_read(caller, &keys::range_of(&self.prefix))
    }

    fn serve(self, services: &ClientServices) -> Served {
        match leader::find_now(services, &self.prefix) {
            Some(leader) => answer(services, leader).into(),
            None => Served::later(move |services, token, permit| {
                services.query(token, leader::find(&self.prefix), Guarded { permit, call: FoundByPool });
            }),
        }
    }

    fn refusal(why: Status) -> Status {
        status::through_client(why)
    }
}

/// A call for a leader whom the reader pool looks for.
struct FoundByPool;

impl DeferredCall<ClientServices> for FoundByPool {
    fn txn_read(self: Box<Self>, services: &ClientServices, token: Token, plan: TxnPlan) {
        services.complete(token, answer(services, leader::found(plan)));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        short::fail(services, token, why);
    }
}

/// The answer to a question for the leader.
fn answer(services: &ClientServices, leader: Result<Leader, ReadError>) -> Answer {
    match leader {
        Ok(Leader { revision, kv: Some(kv) }) => Answer::message(leader::response(services, revision, kv)),
        Ok(Leader { kv: None, .. }) => status::ELECTION_NO_LEADER.into(),
        Err(why) => status::through_client(status::of_read(&why)).into(),
    }
}
