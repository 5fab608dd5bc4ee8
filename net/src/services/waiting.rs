//! What deferred calls wait for, and the way back to them: linearizable reads, outcomes of commands, pulled chunks.
//!
//! Every entry is removed by exactly one answer. Must never answer a call twice: tokens of finished calls find nothing.

use super::pulled::{self, Pull};
use super::{Loop, check, cluster, encode, kv, lease, maintenance, range_stream, status, watch};
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
fn fail(this: &Loop, token: Token, what: Waiting, status: Status) {
    match what {
        Waiting::Stream(streamed) => streamed.fail(status),
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
        // everything else is answered at once or waits for its own kind of reply
        what => {
            this.waiting.borrow_mut().insert(token, what);
        }
    }
}

/// The pool evaluated a read-only transaction; what is big in it is read while it is sent.
pub(super) fn txn_planned(this: &Rc<Loop>, token: Token, result: Result<TxnPlan, ReadError>) {
    match result {
        Err(why) => this.complete(token, status::of_read(&why)),
        Ok(plan) => {
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

/// Answer to a command that was applied.
pub(super) fn applied_answer(this: &Loop, token: Token, applied: Applied) -> Answer {
    this.waiting.borrow_mut().remove(&token);
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
