//! Cluster and health: who is in the cluster, and whether this member serves.
//!
//! Changes of the membership are refused until the cluster is more than one member.

use super::kv::method;
use super::waiting::Waiting;
use super::{Loop, status, waiting};
use crate::door::{Answer, CallMeta, MethodTable, StreamEvents, StreamHandle};
use api::etcdserverpb as pb;
use api::health;
use bytes::Bytes;
use prost::Message as _;
use std::rc::Rc;
use std::sync::atomic::Ordering::Acquire;

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    method(this, table, "/etcdserverpb.Cluster/MemberList", |this, call, request: pb::MemberListRequest| {
        let call = call.take();
        if request.linearizable {
            this.when_readable(call, Waiting::Members);
        } else {
            waiting::serve(this, call, Waiting::Members);
        }
        Ok(())
    });
    method(this, table, "/grpc.health.v1.Health/Check", |this, call, request: health::HealthCheckRequest| {
        if !request.service.is_empty() {
            return Err(status::unknown_health_service());
        }
        call.take().reply(Answer::message(serving(this).encode_to_vec()));
        Ok(())
    });
    let this = this.clone();
    table.server_stream(
        "/grpc.health.v1.Health/Watch",
        move |_: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            if let Err(why) = health::HealthCheckRequest::decode(body) {
                stream.finish(status::malformed(&why));
                return Box::new(Quiet);
            }
            // the status of this member does not change while it serves: one message, then silence until the end
            let _ = stream.try_send(crate::door::Message::from(serving(&this).encode_to_vec()));
            Box::new(Quiet)
        },
    );
}

struct Quiet;

impl StreamEvents for Quiet {}

fn serving(this: &Loop) -> health::HealthCheckResponse {
    use health::health_check_response::ServingStatus;
    let up = this.ports.gauges.serving.load(Acquire) && !this.ports.gauges.stopping.load(Acquire);
    let status = if up { ServingStatus::Serving } else { ServingStatus::NotServing };
    health::HealthCheckResponse { status: status as i32 }
}

/// Members as the newest view has them.
pub(super) fn member_list(this: &Loop) -> Answer {
    match this.ports.reads.members() {
        Err(why) => status::of_read(&why).into(),
        Ok(members) => {
            let members = members
                .into_iter()
                .map(|m| pb::Member {
                    id: m.id,
                    name: m.name,
                    peer_urls: m.peer_urls,
                    client_urls: m.client_urls,
                    is_learner: m.is_learner,
                })
                .collect();
            let header = this.pb_header(0);
            Answer::message(pb::MemberListResponse { header, members }.encode_to_vec())
        }
    }
}
