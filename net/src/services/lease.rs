//! Lease: grant and revoke are commands, the rest is the lease manager's.
//!
//! Ids and least TTLs are resolved here, before proposing, so that an entry does the same on every member.

use super::kv::{admit_cost, method};
use super::pulled::{self, Part};
use super::waiting::Waiting;
use super::{Loop, check, encode, status};
use crate::door::{CallMeta, Inbound, Message, MethodTable, Status, StreamEvents, StreamHandle};
use api::etcdserverpb as pb;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use messages::lease::{LeaseAsk, LeaseReply};
use messages::read::{RangePlan, Work};
use messages::{RequestError, Token};
use model::request::{LeaseGrantRequest, LeaseRevokeRequest};
use model::{Command, ReadError};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Largest TTL in seconds.
const MAX_TTL: i64 = 9_000_000_000;
/// Renewals of one stream that may wait for the lease manager; beyond it the stream reads no further.
const RENEWALS_PER_STREAM: usize = 256;

/// A call for a lease's time to live.
#[derive(Clone, Debug)]
pub struct TtlCall {
    id: i64,
    keys: bool,
}

/// Renewals that wait, and the streams they belong to.
#[derive(Default)]
pub struct Renewals {
    by_token: HashMap<Token, (Rc<KeepAlive>, i64, i64)>,
}

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    let path = |name: &str| format!("/etcdserverpb.Lease/{name}");
    method(this, table, &path("LeaseGrant"), |this, call, mut request: LeaseGrantRequest| {
        if request.ttl > MAX_TTL {
            return Err(status::TTL_TOO_LARGE);
        }
        admit_cost(this, check::LEASE_COST)?;
        request.ttl = request.ttl.max(this.config.min_lease_ttl);
        if request.id == 0 {
            request.id = random_id().ok_or(status::STOPPED)?;
        }
        this.propose(call.take(), Command::LeaseGrant(request));
        Ok(())
    });
    method(this, table, &path("LeaseRevoke"), |this, call, request: LeaseRevokeRequest| {
        this.propose(call.take(), Command::LeaseRevoke(request));
        Ok(())
    });
    method(this, table, &path("LeaseTimeToLive"), |this, call, request: pb::LeaseTimeToLiveRequest| {
        this.when_readable(call.take(), Waiting::TimeToLive(TtlCall { id: request.id, keys: request.keys }));
        Ok(())
    });
    method(this, table, &path("LeaseLeases"), |this, call, _: pb::LeaseLeasesRequest| {
        let token = call.take().defer().as_u64();
        this.ask_lease(token, LeaseAsk::List);
        Ok(())
    });
    let this = this.clone();
    table.bidi(&path("LeaseKeepAlive"), move |meta: CallMeta, stream: StreamHandle| -> Box<dyn StreamEvents> {
        let refused = this.admit(&meta).err();
        let keep = Rc::new(KeepAlive { stream: stream.clone(), state: RefCell::default() });
        if let Some(refused) = refused {
            stream.finish(refused);
        }
        Box::new(Events { this: this.clone(), keep })
    });
}

/// A positive id that nobody can guess, as etcd's generated ones are.
pub(super) fn random_id() -> Option<i64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some((i64::from_be_bytes(bytes) & i64::MAX).max(1))
}

/// Answer to a grant.
pub(super) fn granted(header: encode::Header, id: i64, ttl: i64) -> Message {
    let mut out = bytes::BytesMut::from(&encode::range_head(header)[..]);
    encode::put_uint(&mut out, 2, id as u64);
    encode::put_uint(&mut out, 3, ttl as u64);
    Message::One(out.freeze())
}

/// The read was granted: now the lease manager is asked for the time, which only it knows.
pub(super) fn ask_ttl(this: &Loop, token: Token, call: TtlCall) {
    let id = call.id;
    this.waiting.borrow_mut().insert(token, Waiting::TimeToLive(call));
    this.ask_lease(token, LeaseAsk::TimeToLive { id });
}

/// The lease manager answered.
pub(super) fn answered(this: &Rc<Loop>, token: Token, result: Result<LeaseReply, RequestError>) {
    let renewal = this.renewals.borrow_mut().by_token.remove(&token);
    if let Some((keep, id, revision)) = renewal {
        return keep.renewed(this, id, revision, result);
    }
    let waiting = this.waiting.borrow_mut().remove(&token);
    match result {
        Err(why) => this.complete(token, status::of_request(why)),
        Ok(LeaseReply::List(ids)) => {
            let leases = ids.into_iter().map(|id| pb::LeaseStatus { id }).collect();
            let response = pb::LeaseLeasesResponse { header: this.pb_header_now(), leases };
            this.complete(token, answer(&response));
        }
        Ok(LeaseReply::TimeToLive(found)) => {
            let Some(Waiting::TimeToLive(call)) = waiting else { return };
            let response = time_to_live(this, &call, found);
            if !call.keys || found.is_none() {
                return this.complete(token, answer(&response));
            }
            let id = call.id;
            if this.query(token, Work::PlanLease { id }) {
                this.waiting.borrow_mut().insert(token, Waiting::LeaseKeys(response));
            } else {
                this.complete(token, status::TOO_MANY_REQUESTS);
            }
        }
        Ok(LeaseReply::Renewed { .. }) => {}
    }
}

fn answer(message: &impl prost::Message) -> crate::door::Answer {
    crate::door::Answer::message(message.encode_to_vec())
}

fn time_to_live(this: &Loop, call: &TtlCall, found: Option<(i64, i64)>) -> pb::LeaseTimeToLiveResponse {
    let (granted_ttl, ttl) = found.unwrap_or((0, -1));
    pb::LeaseTimeToLiveResponse { header: this.pb_header_now(), id: call.id, ttl, granted_ttl, keys: Vec::new() }
}

/// The pool collected the keys of a lease, which stand last in the answer.
pub(super) fn keys_planned(
    this: &Rc<Loop>,
    token: Token,
    mut response: pb::LeaseTimeToLiveResponse,
    result: Result<RangePlan, ReadError>,
) {
    match result {
        Err(why) => this.complete(token, status::of_read(&why)),
        Ok(plan) => {
            response.header = this.pb_header(plan.revision);
            let head = Part::Bytes(response.encode_to_vec().into());
            this.complete(token, pulled::answer(this, vec![head, Part::Pulled(plan.kvs_bytes, plan.source)]));
        }
    }
}

/// A keep-alive stream.
pub(super) struct KeepAlive {
    stream: StreamHandle,
    state: RefCell<KeepState>,
}

#[derive(Default)]
struct KeepState {
    /// Renewals out at the lease manager.
    out: usize,
    paused: bool,
    half_closed: bool,
}

impl KeepAlive {
    /// One renewal came back. One of an unknown lease may be overtaken by later ones, clients match answers by id.
    fn renewed(&self, this: &Loop, id: i64, revision: i64, result: Result<LeaseReply, RequestError>) {
        let mut state = self.state.borrow_mut();
        state.out -= 1;
        match result {
            Ok(LeaseReply::Renewed { ttl }) => {
                let response = pb::LeaseKeepAliveResponse { header: this.pb_header(revision), id, ttl };
                // a client that does not read its answers finds its lease expired: nothing is queued for it
                let _ = self.stream.try_send(Message::from(response.encode_to_vec()));
            }
            Ok(_) => {}
            Err(why) => return self.stream.finish(status::of_request(why)),
        }
        if state.paused && state.out < RENEWALS_PER_STREAM / 2 {
            state.paused = false;
            drop(state);
            self.stream.resume();
            return;
        }
        if state.half_closed && state.out == 0 {
            self.stream.finish(Status::OK);
        }
    }
}

struct Events {
    this: Rc<Loop>,
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
        let token = self.this.pull_token();
        // the header is that of the store before the renewal, as etcd's
        let revision = self.this.ports.reads.position().0;
        self.this.renewals.borrow_mut().by_token.insert(token, (self.keep.clone(), request.id, revision));
        self.this.ask_lease(token, LeaseAsk::Renew { id: request.id });
        let mut state = self.keep.state.borrow_mut();
        state.out += 1;
        state.paused = state.out >= RENEWALS_PER_STREAM;
        if state.paused { Inbound::Pause } else { Inbound::Continue }
    }

    fn on_half_close(&mut self, stream: &StreamHandle) {
        let mut state = self.keep.state.borrow_mut();
        state.half_closed = true;
        if state.out == 0 {
            drop(state);
            stream.finish(Status::OK);
        }
    }
}
