//! Lock: a claim under a name, answered when it is the oldest; Unlock deletes a key.
//!
//! Errors carry the code Unknown, as those of etcd, where this service is a client of the store. The way of a claim is in
//! [`claim`](super::claim).

use super::claim::{self, Purpose};
use super::encode::{self, Header};
use super::kv::method;
use super::step::{self, Step};
use super::{Loop, check, status};
use crate::door::{Answer, Message, MethodTable};
use api::v3lockpb as pb;
use bytes::{Bytes, BytesMut};
use model::Command;
use model::request::DeleteRangeRequest;
use std::rc::Rc;

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    method(this, table, "/v3lockpb.Lock/Lock", |this, call, request: pb::LockRequest| {
        claim::begin(this, call.take(), &request.name, request.lease, Purpose::Lock);
        Ok(())
    });
    method(this, table, "/v3lockpb.Lock/Unlock", |this, call, request: pb::UnlockRequest| {
        let delete = DeleteRangeRequest { key: request.key, ..DeleteRangeRequest::default() };
        check::delete_range(&delete).map_err(status::through_client)?;
        step::start(this, call.take(), Step::Done, Command::DeleteRange(delete));
        Ok(())
    });
}

/// `LockResponse`.
pub(super) fn locked(header: Header, key: &Bytes) -> Answer {
    let mut out = BytesMut::from(&encode::range_head(header)[..]);
    encode::put_bytes(&mut out, 2, key);
    Answer::message(Message::One(out.freeze()))
}
