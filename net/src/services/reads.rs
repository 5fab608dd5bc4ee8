//! Unary reads: granted a read index where they are linearizable, then served on the loop or by somebody else.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use crate::door::{Answer, Call, Status};
use messages::Token;

/// A unary read. It is served from the newest view.
pub(super) trait ReadCall: 'static {
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

/// Asks somebody else, under the token of the deferred call that the reply is for.
type Question = Box<dyn FnOnce(&ClientServices, Token)>;

impl Served {
    /// See [`Self::Later`].
    pub(super) fn later(ask: impl FnOnce(&ClientServices, Token) + 'static) -> Self {
        Self::Later(Box::new(ask))
    }
}

impl<A: Into<Answer>> From<A> for Served {
    fn from(answer: A) -> Self {
        Self::Now(answer.into())
    }
}

/// Serves a read now, whether it is linearizable or not.
pub(super) fn serve(services: &ClientServices, call: Call, read: impl ReadCall) {
    match read.serve(services) {
        Served::Now(answer) => call.reply(answer),
        Served::Later(ask) => ask(services, call.defer().as_u64()),
    }
}

/// Serves a read as soon as a linearizable read is allowed.
pub(super) fn serve_linearizable(services: &ClientServices, call: Call, read: impl ReadCall) {
    if services.reads_are_free() {
        return serve(services, call, read);
    }
    services.request_read_index(call.defer().as_u64(), AwaitsReadIndex(read));
}

/// A read that may be served when its read index is granted.
struct AwaitsReadIndex<R>(R);

impl<R: ReadCall> DeferredCall<ClientServices> for AwaitsReadIndex<R> {
    fn read_granted(self: Box<Self>, services: &ClientServices, token: Token) {
        match self.0.serve(services) {
            Served::Now(answer) => services.complete(token, answer),
            Served::Later(ask) => ask(services, token),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, R::refusal(why));
    }
}
