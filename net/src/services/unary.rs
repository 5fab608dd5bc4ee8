//! Unary methods: decode, admit (in this order, as grpc-go does), handle, and answer what a handler refuses.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::status;
use crate::door::{Call, CallMeta, CallRecord, MethodTable, Status};
use bytes::Bytes;
use std::ops::Deref;
use std::rc::Rc;

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

    /// Where to note what is done about it, if anybody wants to see that.
    pub(super) fn record(&mut self) -> Option<&mut CallRecord> {
        self.0.as_mut()?.record()
    }
}

impl Deref for PendingCall {
    type Target = CallMeta;

    /// What came with the call.
    ///
    /// # Panics
    /// When the call was taken: a programming error.
    fn deref(&self) -> &CallMeta {
        self.0.as_ref().expect("looked at before it is taken")
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
    let handle = Rc::new(handle);
    table.unary(path, move |call: Call, body: Bytes| {
        let decoded = R::decode(body).map_err(|why| status::malformed(&why));
        let admitted = decoded.and_then(|request| {
            services.admit(&call, on_learner(&request))?;
            Ok(request)
        });
        let request = match admitted {
            Ok(request) => request,
            Err(why) => return call.reply(why),
        };
        if services.awaited_index(&call).is_none() {
            return run(&services, call, request, &*handle);
        }
        let (own_services, handle, meta) = (services.clone(), handle.clone(), CallMeta::clone(&call));
        services.when_token_is_known(&meta, move || run(&own_services, call, request, &*handle));
    });
}

fn run<R>(
    services: &ClientServices,
    call: Call,
    request: R,
    handle: &impl Fn(&ClientServices, &mut PendingCall, R) -> Result<(), Status>,
) {
    let mut pending = PendingCall(Some(call));
    if let (Err(why), Some(call)) = (handle(services, &mut pending, request), pending.0.take()) {
        call.reply(why);
    }
}
