//! Cluster: who is a member.
//!
//! Changes of the membership are refused until the cluster can have more than one member.

use super::client_services::ClientServices;
use super::reads::{self, ReadCall, Served};
use super::status;
use super::unary::method;
use crate::door::{Answer, MethodTable};
use api::etcdserverpb as pb;
use prost::Message as _;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    method(services, table, "/etcdserverpb.Cluster/MemberList", |services, call, request: pb::MemberListRequest| {
        if request.linearizable {
            reads::serve_linearizable(services, call.take(), MemberList);
        } else {
            reads::serve(services, call.take(), MemberList);
        }
        Ok(())
    });
}

/// A call for the members as the newest view has them.
struct MemberList;

impl ReadCall for MemberList {
    fn serve(self, services: &ClientServices) -> Served {
        let members = match services.ports().reads.members() {
            Ok(members) => members,
            Err(why) => return status::of_read(&why).into(),
        };
        let members = members.into_iter().map(|m| pb::Member {
            id: m.id,
            name: m.name,
            peer_urls: m.peer_urls,
            client_urls: m.client_urls,
            is_learner: m.is_learner,
        });
        let header = services.pb_header(0);
        let response = pb::MemberListResponse { header, members: members.collect() };
        Answer::message(response.encode_to_vec()).into()
    }
}
