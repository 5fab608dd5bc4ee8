//! Unary methods: decode, admit (in this order, as grpc-go does), handle, and answer what a handler refuses.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::status;
use crate::door::{Call, MethodTable, Status};
use bytes::Bytes;

/// A call that its handler takes when it goes on with it. Otherwise the handler's error is its answer.
pub(super) struct PendingCall(Option<Call>);

impl PendingCall {
    /// Takes the call.
    ///
    /// # Panics
    /// When taken twice: a programming error.
    pub(super) fn take(&mut self) -> Call {
        self.0.take().expect("a call is taken once")
    }
}

/// Registers a unary method of a service. A learner does not serve it.
pub(super) fn method<R: prost::Message + Default + 'static>(
    services: &ClientServices,
    table: &mut MethodTable,
    path: &str,
    handle: impl Fn(&ClientServices, &mut PendingCall, R) -> Result<(), Status> + 'static,
) {
    method_on_learners(services, table, path, |_| OnLearner::Refused, handle);
}

/// Registers a unary method of which a learner serves some requests.
pub(super) fn method_on_learners<R: prost::Message + Default + 'static>(
    services: &ClientServices,
    table: &mut MethodTable,
    path: &str,
    on_learner: fn(&R) -> OnLearner,
    handle: impl Fn(&ClientServices, &mut PendingCall, R) -> Result<(), Status> + 'static,
) {
    let services = services.clone();
    table.unary(path, move |call: Call, body: Bytes| {
        let decoded = R::decode(body).map_err(|why| status::malformed(&why));
        let admitted = decoded.and_then(|request| {
            services.admit(&call, on_learner(&request))?;
            Ok(request)
        });
        let mut pending = PendingCall(Some(call));
        let handled = admitted.and_then(|request| handle(&services, &mut pending, request));
        if let (Err(why), Some(call)) = (handled, pending.0.take()) {
            call.reply(why);
        }
    });
}
