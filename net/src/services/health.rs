//! The gRPC health service: whether this member serves. Answers are those of grpc-go's health server, which etcd uses.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::StreamCall;
use super::status;
use super::unary::method;
use crate::door::{Answer, CallMeta, CallToken, Message, MethodTable, StreamEvents, StreamHandle};
use api::health::health_check_response::ServingStatus;
use api::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bytes::Bytes;
use messages::Token;
use prost::Message as _;
use std::rc::Rc;
use std::sync::atomic::Ordering::Acquire;

/// The one service whose health is known: the whole server.
const WHOLE_SERVER: &str = "";

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    method(services, table, "/grpc.health.v1.Health/Check", |services, call, request: HealthCheckRequest| {
        if request.service != WHOLE_SERVER {
            return Err(status::UNKNOWN_HEALTH_SERVICE);
        }
        call.take().reply(Answer::message(response(serving(services)).encode_to_vec()));
        Ok(())
    });
    method(services, table, "/grpc.health.v1.Health/List", |services, call, _: HealthListRequest| {
        let statuses = [(WHOLE_SERVER.to_owned(), response(serving(services)))].into();
        call.take().reply(Answer::message(HealthListResponse { statuses }.encode_to_vec()));
        Ok(())
    });
    let services = services.clone();
    table.server_stream(
        "/grpc.health.v1.Health/Watch",
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            match services.admit_stream(&meta, &stream, OnLearner::Refused) {
                Ok(()) => watch(&services, body, &stream),
                Err(refused) => stream.finish(refused),
            }
            Box::new(Events { services: services.clone(), token: stream.token().as_u64() })
        },
    );
}

fn watch(services: &ClientServices, body: Bytes, stream: &StreamHandle) {
    match HealthCheckRequest::decode(body) {
        Ok(request) if request.service == WHOLE_SERVER => {
            services.insert_stream(stream.token().as_u64(), Rc::new(Watch));
            send(stream, serving(services));
        }
        // it may become known one day, so the stream stays open, as gRPC's rules for this service say
        Ok(_) => send(stream, ServingStatus::ServiceUnknown),
        Err(why) => stream.finish(status::malformed(&why)),
    }
}

/// A client that wants to hear of changes. A member that serves goes on serving until it stops.
struct Watch;

impl StreamCall<ClientServices> for Watch {
    fn stopping(self: Rc<Self>, services: &ClientServices, token: Token) {
        if let Some(stream) = services.handle().stream(CallToken::from_u64(token)) {
            send(&stream, ServingStatus::NotServing);
        }
    }
}

fn send(stream: &StreamHandle, status: ServingStatus) {
    // a stream that has no room for a few bytes has lost its client
    let _ = stream.try_send(Message::from(response(status).encode_to_vec()));
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

fn serving(services: &ClientServices) -> ServingStatus {
    let gauges = &services.ports().gauges;
    let serves = gauges.serving.load(Acquire) && !gauges.stopping.load(Acquire);
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

struct Events {
    services: ClientServices,
    token: Token,
}

impl StreamEvents for Events {}

impl Drop for Events {
    fn drop(&mut self) {
        self.services.remove_stream(self.token);
    }
}
