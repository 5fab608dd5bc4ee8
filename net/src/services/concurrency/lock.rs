//! Lock: a key in the queue of a name, answered when it is the oldest. Unlock deletes a key.

use super::entry;
use super::queue::WaitQueue;
use super::short;
use super::waiter::Purpose;
use crate::door::MethodTable;
use crate::services::client_services::ClientServices;
use crate::services::unary::method;
use crate::services::{check, status};
use api::v3lockpb as pb;
use model::Command;
use model::request::DeleteRangeRequest;
use std::rc::Rc;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, queue: &Rc<WaitQueue>, table: &mut MethodTable) {
    let queue = queue.clone();
    method(services, table, "/v3lockpb.Lock/Lock", move |services, call, request: pb::LockRequest| {
        entry::begin(services, &queue, call.take(), &request.name, request.lease, Purpose::Lock);
        Ok(())
    });
    method(services, table, "/v3lockpb.Lock/Unlock", |services, call, request: pb::UnlockRequest| {
        let delete = DeleteRangeRequest { key: request.key, ..DeleteRangeRequest::default() };
        check::delete_range(&delete).map_err(status::through_client)?;
        short::propose(services, call.take(), Command::DeleteRange(delete));
        Ok(())
    });
}
