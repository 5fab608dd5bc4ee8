//! Lease: grants and revocations are commands, everything else is asked of the lease manager.
//!
//! Random ids and the shortest TTL are filled in here, before the proposal, so that its entry has the same effect on every
//! member.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::encode::Part;
use super::identity::Credentials;
use super::pulled;
use super::quota::admit_call;
use super::reads::{self, ReadCall, Served};
use super::unary::method;
use super::{check, describe, status};
use crate::door::{Answer, CallMeta, Inbound, Message, MethodTable, Status, StreamEvents, StreamHandle};
use crate::spans::Value;
use api::etcdserverpb as pb;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use messages::Token;
use messages::auth::{AuthRules, CheckLeases};
use messages::lease::{LeaseAsk, LeaseReply};
use messages::read::{RangePlan, Work};
use model::request::{LeaseGrantRequest, LeaseRevokeRequest};
use model::{AuthRefusal, Caller, Command};
use prost::Message as _;
use std::cell::RefCell;
use std::rc::Rc;

/// Largest TTL in seconds.
const MAX_TTL: i64 = 9_000_000_000;
/// Renewals of one stream that may wait for the lease manager. A stream with so many is not read on.
const RENEWALS_PER_STREAM: usize = 256;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let path = |name: &str| format!("/etcdserverpb.Lease/{name}");
    method(services, table, &path("LeaseGrant"), |services, call, mut request: LeaseGrantRequest| {
        admit_call(services, call, check::LEASE_COST)?;
        services.require_known(call)?;
        if request.ttl > MAX_TTL {
            return Err(status::TTL_TOO_LARGE);
        }
        request.ttl = request.ttl.max(services.config().min_lease_ttl);
        if request.id == 0 {
            request.id = random_id().ok_or(status::STOPPED)?;
        }
        describe::lease_grant(call, &request);
        services.propose(call.take(), Command::LeaseGrant(request));
        Ok(())
    });
    method(services, table, &path("LeaseRevoke"), |services, call, request: LeaseRevokeRequest| {
        describe::lease_revoke(call, &request);
        services.require_known(call)?;
        services.propose(call.take(), Command::LeaseRevoke(request));
        Ok(())
    });
    method(services, table, &path("LeaseTimeToLive"), |services, call, request: pb::LeaseTimeToLiveRequest| {
        services.require_known(call)?;
        let keys = request.keys.then(|| services.credentials(call));
        let read = TimeToLive { id: request.id, keys };
        // the lease manager sees to it that its answer is no older than the call; the keys are read here
        if request.keys {
            reads::serve_linearizable(services, call.take(), read);
        } else {
            reads::serve(services, call.take(), read);
        }
        Ok(())
    });
    method(services, table, &path("LeaseLeases"), |services, call, _: pb::LeaseLeasesRequest| {
        services.require_known(call)?;
        let list = List { credentials: services.credentials(call), leases: Vec::new() };
        services.ask_lease(call.take().defer().as_u64(), LeaseAsk::List, list);
        Ok(())
    });
    let services = services.clone();
    table.bidi(&path("LeaseKeepAlive"), move |meta: CallMeta, stream: StreamHandle| -> Box<dyn StreamEvents> {
        let refused = services.admit_stream(&meta, &stream, OnLearner::Refused).err();
        let keep = Rc::new(KeepAlive { stream: stream.clone(), meta, state: RefCell::default() });
        if let Some(refused) = refused {
            stream.finish(refused);
        }
        Box::new(Events { services: services.clone(), keep })
    });
}

/// A positive id that nobody can guess, as the ids that etcd generates.
pub(super) fn random_id() -> Option<i64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some((i64::from_be_bytes(bytes) & i64::MAX).max(1))
}

fn answer(message: &impl prost::Message) -> Answer {
    Answer::message(message.encode_to_vec())
}

/// A call for the list of leases. It is answered when the caller may see the keys of all of them.
struct List {
    credentials: Credentials,
    leases: Vec<pb::LeaseStatus>,
}

impl DeferredCall<ClientServices> for List {
    fn lease_replied(mut self: Box<Self>, services: &ClientServices, token: Token, reply: LeaseReply) {
        let LeaseReply::List(ids) = reply else { return self.failed(services, token, status::UNEXPECTED_REPLY) };
        self.leases = ids.into_iter().map(|id| pb::LeaseStatus { id }).collect();
        match keys_to_check(services, &self.credentials, None, false) {
            Ok(None) => self.leases_checked(services, token),
            Ok(Some(check)) => services.query(token, Work::CheckLeases(check), *self),
            Err(why) => self.failed(services, token, why),
        }
    }

    fn leases_checked(self: Box<Self>, services: &ClientServices, token: Token) {
        let response = pb::LeaseLeasesResponse { header: services.pb_header_now(), leases: self.leases };
        services.complete(token, answer(&response));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// What has to be looked at before somebody may see or change all keys of a lease, or of all leases; nothing when he may anyway.
///
/// # Errors
/// He has not said who he is, or not truly.
fn keys_to_check(
    services: &ClientServices,
    credentials: &Credentials,
    lease: Option<i64>,
    write: bool,
) -> Result<Option<CheckLeases>, Status> {
    let caller = services.caller_by(credentials)?;
    let Some(rules) = services.ports().reads.auth() else { return Ok(None) };
    rules.check_known(&caller).map_err(status::of_auth)?;
    let is_free = rules.check_admin(&caller).is_ok();
    Ok((!is_free).then_some(CheckLeases { caller, lease, write }))
}

/// A call for a lease's time to live, with its keys where they are asked for.
struct TimeToLive {
    id: i64,
    /// Who asks for the keys, when they are asked for.
    keys: Option<Credentials>,
}

impl ReadCall for TimeToLive {
    const READS_KEYS: bool = false;

    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        // which keys are to be seen is not known yet
        rules.check_known(caller)
    }

    fn serve(self, _: &ClientServices) -> Served {
        // only the lease manager knows the time
        Served::later(|services, token, _| services.ask_lease(token, LeaseAsk::TimeToLive { id: self.id }, self))
    }
}

impl DeferredCall<ClientServices> for TimeToLive {
    fn lease_replied(self: Box<Self>, services: &ClientServices, token: Token, reply: LeaseReply) {
        let LeaseReply::TimeToLive(found) = reply else {
            return self.failed(services, token, status::UNEXPECTED_REPLY);
        };
        let header = services.pb_header_now();
        let (granted_ttl, ttl) = found.unwrap_or((0, -1));
        let response = pb::LeaseTimeToLiveResponse { header, id: self.id, ttl, granted_ttl, keys: Vec::new() };
        match self.keys.filter(|_| found.is_some()).map(|credentials| services.caller_by(&credentials)) {
            None => services.complete(token, answer(&response)),
            Some(Ok(caller)) => {
                services.query(token, Work::PlanLease { id: self.id, caller }, LeaseKeys(response));
            }
            Some(Err(why)) => services.complete(token, why),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// A call that waits for the keys of a lease; the rest of its answer is at hand.
struct LeaseKeys(pb::LeaseTimeToLiveResponse);

impl DeferredCall<ClientServices> for LeaseKeys {
    fn range_planned(self: Box<Self>, services: &ClientServices, token: Token, plan: RangePlan) {
        let mut response = self.0;
        response.header = services.pb_header(plan.revision);
        // the keys are the last field of the answer
        let head = Part::Bytes(response.encode_to_vec().into());
        let parts = vec![head, Part::Pulled(plan.kvs_bytes, plan.source)];
        services.complete(token, pulled::answer(services, parts));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// A keep-alive stream.
struct KeepAlive {
    stream: StreamHandle,
    meta: CallMeta,
    state: RefCell<KeepAliveState>,
}

#[derive(Default)]
struct KeepAliveState {
    /// Renewals that the lease manager has not answered.
    pending: usize,
    paused: bool,
    half_closed: bool,
}

/// A renewal that the lease manager has not answered.
struct Renewal {
    keep: Rc<KeepAlive>,
    id: i64,
    /// Revision of the store before the renewal: that of the answer's header, as in etcd.
    revision: i64,
}

impl Renewal {
    /// Renews the lease if the caller may write all of its keys: they live on with it.
    fn begin(self, services: &ClientServices) {
        let token = services.internal_token();
        let credentials = services.credentials(&self.keep.meta);
        match keys_to_check(services, &credentials, Some(self.id), true) {
            Ok(None) => services.ask_lease(token, LeaseAsk::Renew { id: self.id }, self),
            Ok(Some(check)) => services.query(token, Work::CheckLeases(check), self),
            Err(why) => Box::new(self).failed(services, token, why),
        }
    }
}

impl DeferredCall<ClientServices> for Renewal {
    fn leases_checked(self: Box<Self>, services: &ClientServices, token: Token) {
        services.ask_lease(token, LeaseAsk::Renew { id: self.id }, *self);
    }

    /// Answers may overtake each other: those for unknown leases take longer. Clients match them by id.
    fn lease_replied(self: Box<Self>, services: &ClientServices, token: Token, reply: LeaseReply) {
        let LeaseReply::Renewed { ttl } = reply else { return self.failed(services, token, status::UNEXPECTED_REPLY) };
        let header = services.pb_header(self.revision);
        let response = pb::LeaseKeepAliveResponse { header, id: self.id, ttl };
        // a client that does not read its answers finds its lease expired: nothing is queued for it
        let _ = self.keep.stream.try_send(Message::from(response.encode_to_vec()));
        self.keep.renewal_answered();
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.keep.state.borrow_mut().pending -= 1;
        self.keep.stream.finish(why);
    }
}

impl KeepAlive {
    /// Reads on, or ends the stream, now that one renewal less is pending.
    fn renewal_answered(&self) {
        let mut state = self.state.borrow_mut();
        state.pending -= 1;
        if state.paused && state.pending < RENEWALS_PER_STREAM / 2 {
            state.paused = false;
            drop(state);
            self.stream.resume();
            return;
        }
        if state.half_closed && state.pending == 0 {
            drop(state);
            self.stream.finish(Status::OK);
        }
    }
}

struct Events {
    services: ClientServices,
    keep: Rc<KeepAlive>,
}

impl StreamEvents for Events {
    fn on_message(&mut self, stream: &StreamHandle, message: Bytes) -> Inbound {
        let request = match pb::LeaseKeepAliveRequest::decode(message) {
            Ok(request) => request,
            Err(why) => {
                stream.finish(status::malformed(&why));
                return Inbound::Pause;
            }
        };
        self.services.note(stream.token().as_u64(), |trace| {
            trace.step("lease_renew", vec![("id", Value::Int(request.id))]);
        });
        let revision = self.services.ports().reads.position().0;
        let renewal = Renewal { keep: self.keep.clone(), id: request.id, revision };
        let mut state = self.keep.state.borrow_mut();
        state.pending += 1;
        state.paused = state.pending >= RENEWALS_PER_STREAM;
        let next = if state.paused { Inbound::Pause } else { Inbound::Continue };
        drop(state);
        let services = self.services.clone();
        self.services.when_token_is_known(&self.keep.meta, move || renewal.begin(&services));
        next
    }

    fn on_half_close(&mut self, stream: &StreamHandle) {
        let mut state = self.keep.state.borrow_mut();
        state.half_closed = true;
        if state.pending == 0 {
            drop(state);
            stream.finish(Status::OK);
        }
    }
}
