//! `conclave.Maintenance/Rebuild`: the store of this member is rebuilt from the leader's. Answered when that is done.
//!
//! Must never be open to anybody but root while authentication is on.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::unary::method_on_learners;
use crate::door::{Answer, MethodTable, Status};
use api::conclave as pb;
use bytes::Bytes;
use messages::Token;

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let served = |_: &pb::RebuildRequest| OnLearner::Served;
    method_on_learners(
        services,
        table,
        "/conclave.Maintenance/Rebuild",
        served,
        |services, call, _: pb::RebuildRequest| {
            services.require_admin(call)?;
            services.rebuild(call.take().defer().as_u64(), Rebuild);
            Ok(())
        },
    );
}

/// A rebuild that is on its way.
struct Rebuild;

impl DeferredCall<ClientServices> for Rebuild {
    fn job_done(self: Box<Self>, services: &ClientServices, token: Token) {
        services.complete(token, Answer::message(Bytes::new()));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}
