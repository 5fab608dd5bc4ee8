//! Short calls of locks and elections: one proposal, or two, answered with a header.
//!
//! Must never wait for anybody's turn: that is [`turn`](super::turn)'s.

use super::waiting::Waiting;
use super::{Loop, claim, election, encode, status};
use crate::door::{Answer, Call, Status};
use api::v3electionpb::{LeaderKey, ProclaimRequest};
use messages::Token;
use model::{Applied, Command, OpOutcome, Outcome};
use std::rc::Rc;

/// What a short call waits for.
pub enum Step {
    /// Its one command, whatever that did.
    Done,
    /// A transaction that must have found the leader.
    Proclaim,
    /// A lease, with which it proclaims then.
    Session(Box<ProclaimRequest>),
}

/// Proposes the command of a call.
pub(super) fn start(this: &Rc<Loop>, call: Call, step: Step, command: Command) {
    propose(this, call.defer().as_u64(), step, command);
}

fn propose(this: &Rc<Loop>, token: Token, step: Step, command: Command) {
    match this.propose_for(token, command) {
        Ok(()) => {
            this.waiting.borrow_mut().insert(token, Waiting::Step(step));
        }
        Err(why) => this.complete(token, status::through_client(why)),
    }
}

/// The command was applied, or refused.
pub(super) fn applied(this: &Rc<Loop>, token: Token, step: Step, result: Result<Applied, Status>) {
    let outcome = result.and_then(|a| a.result.map(|outcome| (a.revision, outcome)).map_err(status::of_apply));
    let (revision, outcome) = match outcome {
        Ok(done) => done,
        Err(why) => return this.complete(token, status::through_client(why)),
    };
    match (step, outcome) {
        (Step::Session(mut request), Outcome::LeaseGrant { id, .. }) => {
            request.leader = request.leader.map(|leader| LeaderKey { lease: id, ..leader });
            match election::checked(this, *request) {
                Ok(command) => propose(this, token, Step::Proclaim, command),
                Err(why) => this.complete(token, status::through_client(why)),
            }
        }
        (Step::Proclaim, Outcome::Op(OpOutcome::Txn { succeeded: false, .. })) => {
            this.complete(token, status::ELECTION_NOT_LEADER);
        }
        _ => this.complete(token, Answer::message(encode::header_only(this.header(revision)))),
    }
}

/// A lease for a call that came without one, then the call goes on.
pub(super) fn with_session(this: &Rc<Loop>, call: Call, request: ProclaimRequest) {
    match claim::grant(this) {
        Ok(command) => start(this, call, Step::Session(Box::new(request)), command),
        Err(why) => call.reply(status::through_client(why)),
    }
}
