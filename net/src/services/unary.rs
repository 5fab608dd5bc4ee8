//! Unary methods: decode, admit, handle, and answer what a handler refuses.

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

/// Registers a unary method of a service.
pub(super) fn method<R: prost::Message + Default + 'static>(
    services: &ClientServices,
    table: &mut MethodTable,
    path: &str,
    handle: impl Fn(&ClientServices, &mut PendingCall, R) -> Result<(), Status> + 'static,
) {
    let services = services.clone();
    table.unary(path, move |call: Call, body: Bytes| {
        let admitted = services.admit(&call);
        let mut pending = PendingCall(Some(call));
        let handled = admitted.and_then(|()| {
            let request = R::decode(body).map_err(|why| status::malformed(&why))?;
            handle(&services, &mut pending, request)
        });
        if let (Err(why), Some(call)) = (handled, pending.0.take()) {
            call.reply(why);
        }
    });
}
