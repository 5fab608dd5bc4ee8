//! The gRPC health service: whether this member serves.

use super::client_services::ClientServices;
use super::status;
use super::unary::method;
use crate::door::{Answer, CallMeta, Message, MethodTable, StreamEvents, StreamHandle};
use api::health::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
use bytes::Bytes;
use prost::Message as _;
use std::sync::atomic::Ordering::Acquire;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    method(services, table, "/grpc.health.v1.Health/Check", |services, call, request: HealthCheckRequest| {
        if !request.service.is_empty() {
            return Err(status::unknown_health_service());
        }
        call.take().reply(Answer::message(serving(services).encode_to_vec()));
        Ok(())
    });
    let services = services.clone();
    table.server_stream(
        "/grpc.health.v1.Health/Watch",
        move |_: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            if let Err(why) = HealthCheckRequest::decode(body) {
                stream.finish(status::malformed(&why));
                return Box::new(Quiet);
            }
            // the status of this member does not change while it serves: one message, then silence until the end
            let _ = stream.try_send(Message::from(serving(&services).encode_to_vec()));
            Box::new(Quiet)
        },
    );
}

struct Quiet;

impl StreamEvents for Quiet {}

fn serving(services: &ClientServices) -> HealthCheckResponse {
    let gauges = &services.ports().gauges;
    let up = gauges.serving.load(Acquire) && !gauges.stopping.load(Acquire);
    let status = if up { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status as i32 }
}
