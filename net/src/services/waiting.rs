//! What deferred calls wait for, and the way back to them: linearizable reads, outcomes of commands, pulled chunks.
//!
//! Every entry is removed by exactly one answer. Must never answer a call twice: tokens of finished calls find nothing.

use super::pulled::{self, Pull};
use super::{
    Loop, check, claim, cluster, election, encode, kv, lease, maintenance, observe, range_stream, status, step, turn,
    watch,
};
use crate::door::{Answer, Call, Status};
use bytes::Bytes;
use messages::read::{ChunkSource, TxnPlan, Work};
use messages::{RequestError, Token};
use model::request::{RangeRequest, TxnRequest};
use model::{Applied, OpOutcome, Outcome, ReadError};
use std::cell::RefCell;
use std::rc::Rc;

/// What a call waits for.
pub enum Waiting {
    /// A range, until it may be read.
    Range(RangeRequest),
    /// A read-only transaction, until it may be read.
    ReadTxn(TxnRequest),
    /// A range to be streamed.
    Stream(range_stream::Streamed),
    /// The list of members.
    Members,
    /// A lease's time to live, with its keys where asked for.
    TimeToLive(lease::TtlCall),
    /// The keys of a lease; the rest of the answer is at hand.
    LeaseKeys(api::etcdserverpb::LeaseTimeToLiveResponse),
    /// Chunks for an answer on its way.
    Pull(Rc<RefCell<Pull>>),
    /// A hash: true for HashKV.
    Hash(bool),
    /// The end of a defragmentation.
    Defragment,
    /// A health check that only wants to know whether it may read.
    Probe(tokio::sync::oneshot::Sender<Result<(), RequestError>>),
    /// Alarms of the whole cluster, until they may be read.
    Alarms(model::request::AlarmRequest),
    /// A lock or a campaign, on its way through the queue.
    Claim(Box<claim::Claim>),
    /// A short call of a lock or an election.
    Step(step::Step),
    /// The leader of the election with this prefix.
    Leader(Bytes),
    /// An observer that asks who leads.
    Observe,
}

/// Leave to read came, or was refused.
pub(super) fn read_granted(this: &Rc<Loop>, token: Token, result: Result<(), RequestError>) {
    let Some(what) = this.waiting.borrow_mut().remove(&token) else { return };
    if let Waiting::Probe(granted) = what {
        // a probe that gave up is none of our business any more
        let _ = granted.send(result);
        return;
    }
    match result {
        Ok(()) => serve_deferred(this, token, what),
        Err(why) => fail(this, token, what, status::of_request(why)),
    }
}

/// A call ends before it was served.
pub(super) fn fail(this: &Loop, token: Token, what: Waiting, status: Status) {
    match what {
        Waiting::Stream(streamed) => streamed.fail(status),
        Waiting::Claim(claim) => claim::fail(this, token, claim, status),
        Waiting::Leader(_) => this.complete(token, status::through_client(status)),
        Waiting::Observe => observe::end(this, token),
        _ => this.complete(token, status),
    }
}

/// Serves a call from the newest view, now.
pub(super) fn serve(this: &Rc<Loop>, call: Call, what: Waiting) {
    match answer_now(this, &what) {
        Some(answer) => call.reply(answer),
        None => {
            let token = call.defer().as_u64();
            serve_later(this, token, what);
        }
    }
}

/// As [`serve`], for a call that was deferred.
pub(super) fn serve_deferred(this: &Rc<Loop>, token: Token, what: Waiting) {
    match answer_now(this, &what) {
        Some(answer) => this.complete(token, answer),
        None => serve_later(this, token, what),
    }
}

fn answer_now(this: &Loop, what: &Waiting) -> Option<Answer> {
    match what {
        Waiting::Range(request) => kv::try_range(this, request),
        Waiting::ReadTxn(request) if check::is_small(request) => {
            Some(txn_answer(this, this.ports.reads.read_txn(request, this.inline_bytes())?))
        }
        Waiting::Members => Some(cluster::member_list(this)),
        Waiting::Alarms(request) => Some(maintenance::alarm_list(this, request)),
        Waiting::Leader(prefix) => election::oldest(this, prefix).map(|oldest| election::leader(this, oldest)),
        _ => None,
    }
}

fn serve_later(this: &Rc<Loop>, token: Token, what: Waiting) {
    match what {
        Waiting::Range(request) => kv::plan_range(this, token, request),
        Waiting::ReadTxn(request) => {
            if !this.query(token, Work::ReadTxn(request)) {
                this.complete(token, status::TOO_MANY_REQUESTS);
            }
        }
        Waiting::Stream(streamed) => range_stream::start(this, streamed),
        Waiting::TimeToLive(ttl) => lease::ask_ttl(this, token, ttl),
        Waiting::Claim(claim) => turn::look(this, token, claim),
        Waiting::Leader(prefix) => election::leader_later(this, token, prefix),
        Waiting::Observe => observe::look_now(this, token),
        // everything else is answered at once or waits for its own kind of reply
        what => {
            this.waiting.borrow_mut().insert(token, what);
        }
    }
}

/// The pool evaluated a read-only transaction; what is big in an answer is read while it is sent.
pub(super) fn txn_planned(this: &Rc<Loop>, token: Token, result: Result<TxnPlan, ReadError>) {
    let waiting = this.waiting.borrow_mut().remove(&token);
    turn::next_looks(this, token);
    match (waiting, result) {
        (Some(Waiting::Claim(claim)), result) => turn::looked(this, token, claim, claim::whole(result)),
        (Some(Waiting::Leader(_)), result) => {
            this.complete(token, election::leader(this, election::oldest_found(claim::whole(result))));
        }
        (Some(Waiting::Observe), result) => {
            observe::looked(this, token, election::oldest_found(claim::whole(result)));
        }
        (_, Err(why)) => this.complete(token, status::of_read(&why)),
        (_, Ok(plan)) => {
            let header = this.header(plan.revision);
            this.complete(token, pulled::answer(this, encode::txn_parts(header, plan)));
        }
    }
}

/// Answer to a read-only transaction.
fn txn_answer(this: &Loop, result: Result<(i64, OpOutcome), ReadError>) -> Answer {
    match result {
        Ok((revision, outcome)) => Answer::message(encode::op(this.header(revision), &outcome)),
        Err(why) => status::of_read(&why).into(),
    }
}

/// A command was applied, certainly was not, or its outcome is unknown.
pub(super) fn applied(this: &Rc<Loop>, token: Token, result: Result<Applied, RequestError>) {
    let waiting = this.waiting.borrow_mut().remove(&token);
    let result = result.map_err(status::of_request);
    match waiting {
        Some(Waiting::Claim(claim)) => claim::applied(this, token, claim, result),
        Some(Waiting::Step(step)) => step::applied(this, token, step, result),
        _ => this.complete(token, result.map_or_else(Answer::from, |applied| applied_answer(this, applied))),
    }
}

/// Answer to a command that was applied.
fn applied_answer(this: &Loop, applied: Applied) -> Answer {
    let outcome = match applied.result {
        Ok(outcome) => outcome,
        Err(why) => return status::of_apply(why).into(),
    };
    let header = this.header(applied.revision);
    Answer::message(match outcome {
        Outcome::Op(op) => encode::op(header, &op),
        Outcome::LeaseGrant { id, ttl } => lease::granted(header, id, ttl),
        Outcome::Alarm(alarms) => maintenance::alarms(header, &alarms),
        Outcome::Compaction | Outcome::LeaseRevoke | Outcome::LeaseCheckpoint | Outcome::Done => {
            encode::header_only(header)
        }
    })
}

/// A chunk came back from the pool.
pub(super) fn chunk(
    this: &Rc<Loop>,
    token: Token,
    source: Box<dyn ChunkSource>,
    chunk: Result<Option<Bytes>, ReadError>,
) {
    // the borrow must end here: an answer can close its stream at once, and that removes its entries
    let pull = match this.waiting.borrow().get(&token) {
        Some(Waiting::Pull(pull)) => Some(pull.clone()),
        _ => None,
    };
    let Some(pull) = pull else {
        let (flows, watches) = (this.flows.borrow().contains_key(&token), this.streams.borrow().contains_key(&token));
        return match (flows, watches) {
            (true, _) => range_stream::chunk(this, token, source, chunk),
            (_, true) => watch::chunk(this, token, source, chunk),
            _ => maintenance::snapshot_chunk(this, token, source, chunk),
        };
    };
    pull.borrow_mut().fill(source, chunk.map_err(|why| status::of_read(&why)));
}
