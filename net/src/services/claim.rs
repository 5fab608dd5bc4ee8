//! Claims: keys with a lease under the name of a lock or an election, whose oldest one holds it. Entering the queue and leaving it.
//!
//! A call that waits for its turn is a small state in [`Loop::waiting`](super::Loop), moved on by answers of the owners: no task,
//! no thread, one watcher. Must never leave a claim behind for a call that got an error or whose client is gone; what a crash
//! leaves, the lease removes. Waiting for the turn is in [`turn`](super::turn).

use super::kv::admit_cost;
use super::waiting::Waiting;
use super::{Loop, check, election, lease, lock, status, turn};
use crate::door::{Call, CallToken, Status};
use api::etcdserverpb::RangeResponse;
use bytes::Bytes;
use messages::Token;
use messages::read::{TxnPlan, TxnRange};
use model::request::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
    RequestUnion, TargetUnion, TxnRequest,
};
use model::{Applied, Command, KeyValue, OpOutcome, Outcome, RangeOutcome, ReadError};
use prost::Message as _;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

/// Seconds of the lease that is granted to a call without one (etcd's session). Nobody renews it.
const SESSION_TTL: i64 = 60;
/// Bytes that calls waiting for their turn may keep on one loop: half of what a loop holds of requests before it stops accepting
/// calls, so that waiters cannot shut everybody else out.
const WAITING_BYTES: usize = 32 << 20;
/// Bytes a waiting call is taken to cost besides its texts.
const CLAIM_BYTES: usize = 256;

/// What a loop keeps of its claims besides the waiting calls themselves.
#[derive(Default)]
pub struct Claims {
    /// Watchers on the claims before ours, and the calls they are for.
    pub(super) watched: RefCell<HashMap<i64, Token>>,
    /// The loop's own watch stream in the hub, opened with the first watcher.
    pub(super) stream: Cell<Option<Token>>,
    /// The id that the last watcher got. Ids are never used again.
    pub(super) last_watch: Cell<i64>,
    /// Claims whose looks are out at the reader pool.
    pub(super) asked: RefCell<HashSet<Token>>,
    /// Claims that look when one of those is back.
    pub(super) to_look: RefCell<VecDeque<Token>>,
    bytes: Rc<Cell<usize>>,
}

/// What a claim is for.
pub(super) enum Purpose {
    /// A lock.
    Lock,
    /// An election.
    Campaign(election::Campaign),
}

/// Which answer a claim waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A lease of its own.
    Granting,
    /// Its key.
    Entering,
    /// A new value for the key it had already.
    Proclaiming,
    /// A look at the queue.
    Looking,
    /// The end of the claim before it, by this watcher.
    Watching(i64),
}

/// A call on its way through the queue.
pub struct Claim {
    pub(super) purpose: Purpose,
    pub(super) prefix: Bytes,
    pub(super) key: Bytes,
    pub(super) lease: i64,
    /// Revision that created the key; zero until it is known.
    pub(super) created: i64,
    pub(super) stage: Stage,
    /// The key is not that of an earlier call that may hold the lock: this call made it, or has waited with it.
    pub(super) own: bool,
    /// The client left while the key was being made.
    gone: bool,
    /// Counted against the loop's budget.
    _share: Share,
}

/// Bytes counted while it lives.
struct Share(Rc<Cell<usize>>, usize);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

impl Claims {
    fn share(&self, bytes: usize) -> Result<Share, Status> {
        let bytes = bytes + CLAIM_BYTES;
        if self.bytes.get() + bytes > WAITING_BYTES {
            return Err(status::TOO_MANY_REQUESTS);
        }
        self.bytes.set(self.bytes.get() + bytes);
        Ok(Share(self.bytes.clone(), bytes))
    }
}

/// First key of a queue, and the first one behind it.
pub(super) fn queue(name: &[u8]) -> (Bytes, Bytes) {
    let with = |last: u8| [name, &[last]].concat().into();
    (with(b'/'), with(b'/' + 1))
}

/// A read of everything in a queue, by its first key.
pub(super) fn all_of(prefix: &Bytes) -> RangeRequest {
    let (key, range_end) = queue(&prefix[..prefix.len() - 1]);
    RangeRequest { key, range_end, ..RangeRequest::default() }
}

/// The key of a lease in a queue, as etcd writes it: a negative id has a minus sign.
fn key_of(prefix: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [prefix, format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// Starts a claim for a call.
pub(super) fn begin(this: &Rc<Loop>, call: Call, name: &[u8], lease: i64, purpose: Purpose) {
    let own = match &purpose {
        Purpose::Lock => 0,
        Purpose::Campaign(campaign) => campaign.name.len() + campaign.value.len(),
    };
    let share = match this.claims.share(own + 2 * name.len()) {
        Ok(share) => share,
        Err(full) => return call.reply(status::through_client(full)),
    };
    let (prefix, _) = queue(name);
    let claim = Claim {
        purpose,
        key: key_of(&prefix, lease),
        prefix,
        lease,
        created: 0,
        stage: Stage::Granting,
        own: false,
        gone: false,
        _share: share,
    };
    let Some(token) = defer(this, call) else { return };
    if lease != 0 {
        return enter(this, token, Box::new(claim));
    }
    match grant(this) {
        Ok(command) => propose(this, token, Box::new(claim), Stage::Granting, command),
        Err(why) => fail(this, token, Box::new(claim), why),
    }
}

/// Keeps the call for its answer, and hears when its client gives up. `None` when that has happened already.
fn defer(this: &Rc<Loop>, call: Call) -> Option<Token> {
    let known: Rc<Cell<Option<Token>>> = Rc::default();
    let (told, owner) = (known.clone(), this.clone());
    let token = call.defer_with(move || {
        if let Some(token) = told.get() {
            gone(&owner, token);
        }
    });
    known.set(Some(token.as_u64()));
    this.handle.is_open(token).then(|| token.as_u64())
}

/// The command that makes a lease for a call without one.
pub(super) fn grant(this: &Loop) -> Result<Command, Status> {
    admit_cost(this, check::LEASE_COST)?;
    let id = lease::random_id().ok_or(status::STOPPED)?;
    Ok(Command::LeaseGrant(LeaseGrantRequest { ttl: SESSION_TTL.max(this.config.min_lease_ttl), id }))
}

/// Proposes the next step of a claim.
fn propose(this: &Rc<Loop>, token: Token, mut claim: Box<Claim>, stage: Stage, command: Command) {
    claim.stage = stage;
    match this.propose_for(token, command) {
        Ok(()) => {
            this.waiting.borrow_mut().insert(token, Waiting::Claim(claim));
        }
        Err(why) => fail(this, token, claim, why),
    }
}

/// Makes the key, unless this lease has it already: then its place in the queue is kept.
fn enter(this: &Rc<Loop>, token: Token, claim: Box<Claim>) {
    let value = match &claim.purpose {
        Purpose::Lock => Bytes::new(),
        Purpose::Campaign(campaign) => campaign.value.clone(),
    };
    let put = PutRequest { key: claim.key.clone(), value, lease: claim.lease, ..PutRequest::default() };
    let get = RangeRequest { key: claim.key.clone(), ..RangeRequest::default() };
    let txn = TxnRequest {
        compare: vec![created_at(claim.key.clone(), 0)],
        success: vec![op(RequestUnion::Put(put))],
        failure: vec![op(RequestUnion::Range(get))],
    };
    if let Err(full) = admit_cost(this, check::txn_cost(&txn)) {
        return fail(this, token, claim, full);
    }
    propose(this, token, claim, Stage::Entering, Command::Txn(txn));
}

/// The key exists since this revision; zero: it does not exist.
pub(super) fn created_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key,
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Bytes::new(),
    }
}

/// An operation of a transaction.
pub(super) fn op(request: RequestUnion) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// Deletes a key, if it is still the one that was created then.
pub(super) fn delete_created(key: Bytes, revision: i64) -> Command {
    let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
    let (compare, success) = (vec![created_at(key, revision)], vec![op(RequestUnion::DeleteRange(delete))]);
    Command::Txn(TxnRequest { compare, success, failure: Vec::new() })
}

/// A step was applied, or refused.
pub(super) fn applied(this: &Rc<Loop>, token: Token, mut claim: Box<Claim>, result: Result<Applied, Status>) {
    let outcome = result.and_then(|applied| {
        let revision = applied.revision;
        applied.result.map(|outcome| (revision, outcome)).map_err(status::of_apply)
    });
    let (revision, outcome) = match outcome {
        Ok(done) => done,
        Err(why) => return fail(this, token, claim, why),
    };
    match (claim.stage, outcome) {
        (Stage::Granting, Outcome::LeaseGrant { id, .. }) => {
            (claim.lease, claim.key) = (id, key_of(&claim.prefix, id));
            enter(this, token, claim);
        }
        (Stage::Entering, Outcome::Op(OpOutcome::Txn { succeeded, responses })) => {
            entered(this, token, claim, revision, (!succeeded).then_some(responses));
        }
        (Stage::Proclaiming, Outcome::Op(OpOutcome::Txn { succeeded: true, .. })) => turn::look(this, token, claim),
        // the key was lost between two steps
        _ => fail(this, token, claim, status::ELECTION_NOT_LEADER),
    }
}

/// The claim has a key now, made at `revision` or `found` there.
fn entered(this: &Rc<Loop>, token: Token, mut claim: Box<Claim>, revision: i64, found: Option<Vec<OpOutcome>>) {
    if claim.gone {
        (claim.created, claim.own) = (revision, found.is_none());
        return release(this, &claim);
    }
    let Some(found) = found else {
        (claim.created, claim.own) = (revision, true);
        if let Purpose::Campaign(campaign) = &mut claim.purpose {
            (campaign.revision, campaign.value) = (revision, Bytes::new());
        }
        return turn::look(this, token, claim);
    };
    let Some(kv) = found.first().and_then(first_kv) else { return fail(this, token, claim, status::SESSION_EXPIRED) };
    claim.created = kv.create_revision;
    if let Purpose::Campaign(campaign) = &mut claim.purpose {
        campaign.revision = revision;
        if campaign.value != kv.value {
            let proclaim =
                election::proclaim(claim.key.clone(), kv.create_revision, campaign.value.clone(), claim.lease);
            if let Err(full) = admit_cost(this, check::txn_cost(&proclaim)) {
                return fail(this, token, claim, full);
            }
            return propose(this, token, claim, Stage::Proclaiming, Command::Txn(proclaim));
        }
    }
    turn::look(this, token, claim);
}

/// The first key-value of a range.
pub(super) fn first_kv(outcome: &OpOutcome) -> Option<KeyValue> {
    match outcome {
        // stored bytes were written by us
        OpOutcome::Range(range) => KeyValue::decode(range.kvs.first()?.clone()).ok(),
        _ => None,
    }
}

/// What the pool read for a claim, whole: such a question is for one key-value, so even one that was only measured is not more than
/// a request may bring in.
pub(super) fn whole(result: Result<TxnPlan, ReadError>) -> Result<(i64, OpOutcome), ReadError> {
    let plan = result?;
    let mut responses = Vec::with_capacity(plan.ranges.len());
    for range in plan.ranges {
        responses.push(OpOutcome::Range(match range {
            TxnRange::Read(outcome) => outcome,
            TxnRange::Planned(mut planned) => {
                let fields = planned.source.next(usize::MAX)?.unwrap_or_default();
                // stored bytes were written by us
                let kvs = RangeResponse::decode(fields).map_or_else(|_| Vec::new(), |response| response.kvs);
                let kvs = kvs.iter().map(|kv| kv.encode_to_vec().into()).collect();
                RangeOutcome { kvs, more: planned.more, count: planned.count }
            }
        }));
    }
    Ok((plan.revision, OpOutcome::Txn { succeeded: plan.succeeded, responses }))
}

/// It is the claim's turn: `revision` is that of the view in which nobody was before it.
pub(super) fn granted(this: &Loop, token: Token, claim: &Claim, revision: i64) {
    let answer = match &claim.purpose {
        Purpose::Lock => lock::locked(this.header(revision), &claim.key),
        Purpose::Campaign(campaign) => election::won(this, campaign, claim),
    };
    if !this.handle.complete(CallToken::from_u64(token), answer) {
        release(this, claim);
    }
}

/// Nobody is before the claim, and its own key is gone: the lease has ended, or somebody deleted it.
pub(super) fn lost(this: &Loop, token: Token, claim: &Claim) {
    let why = match &claim.purpose {
        Purpose::Lock => status::SESSION_EXPIRED,
        Purpose::Campaign(_) => status::ELECTION_NOT_LEADER,
    };
    this.complete(token, why);
}

/// Ends a claim with an error; its own key goes as well.
pub(super) fn fail(this: &Loop, token: Token, claim: Box<Claim>, why: Status) {
    release(this, &claim);
    this.complete(token, status::through_client(why));
}

/// Deletes the key of a claim, if it has one of its own.
fn release(this: &Loop, claim: &Claim) {
    if claim.own {
        this.propose_quietly(delete_created(claim.key.clone(), claim.created));
    }
}

/// The client gave up, its time is over or its connection is gone.
fn gone(this: &Loop, token: Token) {
    let waiting = this.waiting.borrow_mut().remove(&token);
    let Some(Waiting::Claim(mut claim)) = waiting else { return };
    match claim.stage {
        // a lease that nobody renews ends by itself
        Stage::Granting => {}
        // whether there will be a key is known when this is applied
        Stage::Entering => {
            claim.gone = true;
            this.waiting.borrow_mut().insert(token, Waiting::Claim(claim));
        }
        Stage::Proclaiming | Stage::Looking => release(this, &claim),
        Stage::Watching(watch) => {
            turn::forget(this, watch);
            release(this, &claim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_etcds() {
        assert_eq!(key_of(b"a/", 0x7b), "a/7b");
        assert_eq!(key_of(b"a/", 0x694d_7c2a_9f0e_1b03), "a/694d7c2a9f0e1b03");
        assert_eq!(key_of(b"a/", -1), "a/-1");
        assert_eq!(key_of(b"/", i64::MIN), "/-8000000000000000");
    }

    #[test]
    fn a_queue_holds_its_own_keys_only() {
        let (from, to) = queue(b"a");
        assert_eq!((&from[..], &to[..]), (&b"a/"[..], &b"a0"[..]));
        assert!(from <= key_of(&from, 1) && key_of(&from, -1) < to);
    }

    #[test]
    fn the_budget_is_given_back() {
        let claims = Claims::default();
        let half = claims.share(WAITING_BYTES / 2).expect("fits");
        assert_eq!(claims.share(WAITING_BYTES / 2).err(), Some(status::TOO_MANY_REQUESTS));
        drop(half);
        assert!(claims.share(WAITING_BYTES - CLAIM_BYTES).is_ok());
    }
}
