//! Unary reads: granted a read index where they are linearizable, then served on the loop or by somebody else.
//!
//! Whether the caller may read is asked when the read is served, and once more whether that still holds when it was.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::identity::{Credentials, Permit};
use crate::door::{Answer, Call, Status};
use messages::Token;
use messages::auth::AuthRules;
use messages::lease::LeaseReply;
use messages::read::{RangePlan, TxnPlan};
use model::{AuthRefusal, Caller};

/// A unary read. It is served from the newest view.
pub(super) trait ReadCall: 'static {
    /// Keys are read: a caller who was recognized at an earlier revision of users and roles is refused. Nobody else is, as in etcd.
    const READS_KEYS: bool = true;

    /// Whether a caller may read this. Asked while authentication is on.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal>;

    /// Serves the read.
    fn serve(self, services: &ClientServices) -> Served;

    /// What the client is told when the read is refused with `why`.
    fn refusal(why: Status) -> Status {
        why
    }
}

/// How a read is answered.
pub(super) enum Served {
    /// With this.
    Now(Answer),
    /// By the reply to a question.
    Later(Question),
}

/// Asks somebody else, under the token of the deferred call that the reply is for, on behalf of who was permitted to read.
type Question = Box<dyn FnOnce(&ClientServices, Token, Permit)>;

impl Served {
    /// See [`Self::Later`].
    pub(super) fn later(ask: impl FnOnce(&ClientServices, Token, Permit) + 'static) -> Self {
        Self::Later(Box::new(ask))
    }
}

impl<A: Into<Answer>> From<A> for Served {
    fn from(answer: A) -> Self {
        Self::Now(answer.into())
    }
}

/// Serves a read if the caller may read it.
fn serve_permitted<R: ReadCall>(
    services: &ClientServices,
    read: R,
    credentials: impl FnOnce() -> Credentials,
) -> (Served, Permit) {
    let permit = match services.permit(credentials, |rules, caller| read.check(rules, caller)) {
        Ok(permit) if R::READS_KEYS => permit,
        Ok(_) => Permit::NONE,
        Err(why) => return (R::refusal(why).into(), Permit::NONE),
    };
    match read.serve(services) {
        Served::Now(answer) => match services.still_permitted(permit) {
            Ok(()) => (Served::Now(answer), permit),
            Err(why) => (R::refusal(why).into(), permit),
        },
        later => (later, permit),
    }
}

/// Serves a read now, whether it is linearizable or not.
pub(super) fn serve(services: &ClientServices, call: Call, read: impl ReadCall) {
    match serve_permitted(services, read, || services.credentials(&call)) {
        (Served::Now(answer), _) => call.reply(answer),
        (Served::Later(ask), permit) => ask(services, call.defer().as_u64(), permit),
    }
}

/// Serves a read as soon as a linearizable read is allowed.
pub(super) fn serve_linearizable(services: &ClientServices, call: Call, read: impl ReadCall) {
    if services.reads_are_free() {
        return serve(services, call, read);
    }
    let credentials = services.credentials(&call);
    services.request_read_index(call.defer().as_u64(), AwaitsReadIndex { read, credentials });
}

/// A read that may be served when its read index is granted.
struct AwaitsReadIndex<R> {
    read: R,
    credentials: Credentials,
}

impl<R: ReadCall> DeferredCall<ClientServices> for AwaitsReadIndex<R> {
    fn read_granted(self: Box<Self>, services: &ClientServices, token: Token) {
        let Self { read, credentials } = *self;
        match serve_permitted(services, read, || credentials) {
            (Served::Now(answer), _) => services.complete(token, answer),
            (Served::Later(ask), permit) => ask(services, token, permit),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, R::refusal(why));
    }
}

/// A call whose reply is only for who may still see it when it comes.
pub(super) struct Guarded<C> {
    pub(super) permit: Permit,
    pub(super) call: C,
}

impl<C: DeferredCall<ClientServices>> Guarded<C> {
    fn pass(self, services: &ClientServices, token: Token, go_on: impl FnOnce(Box<C>)) {
        let Self { permit, call } = self;
        match services.still_permitted(permit) {
            Ok(()) => go_on(Box::new(call)),
            Err(why) => Box::new(call).failed(services, token, why),
        }
    }
}

impl<C: DeferredCall<ClientServices>> DeferredCall<ClientServices> for Guarded<C> {
    fn range_planned(self: Box<Self>, services: &ClientServices, token: Token, plan: RangePlan) {
        self.pass(services, token, |call| call.range_planned(services, token, plan));
    }

    fn txn_read(self: Box<Self>, services: &ClientServices, token: Token, plan: TxnPlan) {
        self.pass(services, token, |call| call.txn_read(services, token, plan));
    }

    fn lease_replied(self: Box<Self>, services: &ClientServices, token: Token, reply: LeaseReply) {
        self.pass(services, token, |call| call.lease_replied(services, token, reply));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        Box::new(self.call).failed(services, token, why);
    }
}
