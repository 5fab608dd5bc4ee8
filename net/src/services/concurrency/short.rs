//! Short calls of locks and elections: a proposal that is answered with a header. They never wait for anybody's turn.

use crate::door::{Answer, Call, Status};
use crate::services::client_services::ClientServices;
use crate::services::deferred::DeferredCall;
use crate::services::quota::admit_cost;
use crate::services::{check, encode, lease, status};
use messages::Token;
use model::request::LeaseGrantRequest;
use model::{Command, Outcome};

/// Seconds of the lease that is granted to a call without one (etcd's session). Nobody renews it.
const SESSION_TTL: i64 = 60;

/// The command that makes a lease for a call without one.
///
/// # Errors
/// No space, or no randomness.
pub(super) fn session_lease(services: &ClientServices) -> Result<Command, Status> {
    admit_cost(services, check::LEASE_COST)?;
    let id = lease::random_id().ok_or(status::STOPPED)?;
    let ttl = SESSION_TTL.max(services.config().min_lease_ttl);
    Ok(Command::LeaseGrant(LeaseGrantRequest { ttl, id }))
}

/// Proposes a command for a call that is answered with a header, whatever the command did.
pub(super) fn propose(services: &ClientServices, call: Call, command: Command) {
    match services.caller(&call) {
        Ok(caller) => services.propose_for(caller, call.defer().as_u64(), command, AnyOutcome),
        Err(why) => call.reply(status::through_client(why)),
    }
}

/// Answers with a header alone.
pub(super) fn answer(services: &ClientServices, token: Token, revision: i64) {
    services.complete(token, Answer::message(encode::header_only(services.header(revision))));
}

/// Ends a short call with an error.
pub(super) fn fail(services: &ClientServices, token: Token, why: Status) {
    services.complete(token, status::through_client(why));
}

/// A call that is answered with a header, whatever its command did.
struct AnyOutcome;

impl DeferredCall<ClientServices> for AnyOutcome {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, revision: i64, _: Outcome) {
        answer(services, token, revision);
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        fail(services, token, why);
    }
}
