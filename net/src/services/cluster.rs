//! Cluster: who is a member, and changes of that.
//!
//! What only replicated state or the core can tell is refused there; here a request is checked for what it says itself.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::reads::{self, ReadCall, Served};
use super::unary::method;
use super::{member_urls, status};
use crate::door::{Answer, MethodTable, Status};
use api::etcdserverpb as pb;
use messages::Token;
use messages::auth::AuthRules;
use model::{AuthRefusal, Caller, MemberChange, MemberInfo, Outcome};
use prost::Message as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let path = |name: &str| format!("/etcdserverpb.Cluster/{name}");
    method(services, table, &path("MemberList"), |services, call, request: pb::MemberListRequest| {
        if request.linearizable {
            reads::serve_linearizable(services, call.take(), MemberList);
        } else {
            reads::serve(services, call.take(), MemberList);
        }
        Ok(())
    });
    method(services, table, &path("MemberAdd"), |services, call, request: pb::MemberAddRequest| {
        let peer_urls = member_urls::checked(&request.peer_urls).map_err(|_| status::MEMBER_BAD_URLS)?;
        services.require_admin(call)?;
        let change = MemberChange::Add { peer_urls, learner: request.is_learner, unix_seconds: unix_seconds() };
        services.change_membership(call.take().defer().as_u64(), change, Change(added));
        Ok(())
    });
    method(services, table, &path("MemberRemove"), |services, call, request: pb::MemberRemoveRequest| {
        services.require_admin(call)?;
        let change = MemberChange::Remove { id: request.id };
        services.change_membership(call.take().defer().as_u64(), change, Change(removed));
        Ok(())
    });
    method(services, table, &path("MemberUpdate"), |services, call, request: pb::MemberUpdateRequest| {
        services.require_admin(call)?;
        let change = MemberChange::Update { id: request.id, peer_urls: request.peer_urls };
        services.change_membership(call.take().defer().as_u64(), change, Change(updated));
        Ok(())
    });
    method(services, table, &path("MemberPromote"), |services, call, request: pb::MemberPromoteRequest| {
        services.require_admin(call)?;
        let change = MemberChange::Promote { id: request.id };
        services.change_membership(call.take().defer().as_u64(), change, Change(promoted));
        Ok(())
    });
}

fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// A change of the membership that is on its way, and how its answer is written. Headers of the service have no revision, as in etcd.
struct Change(fn(Option<pb::ResponseHeader>, u64, Vec<pb::Member>) -> Vec<u8>);

impl DeferredCall<ClientServices> for Change {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, _: i64, outcome: Outcome) {
        let Outcome::Members { changed, members } = outcome else {
            return services.complete(token, status::UNEXPECTED_REPLY);
        };
        let members = members.into_iter().map(member).collect();
        services.complete(token, Answer::message((self.0)(services.pb_header(0), changed, members)));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

fn added(header: Option<pb::ResponseHeader>, id: u64, members: Vec<pb::Member>) -> Vec<u8> {
    let new = members.iter().find(|member| member.id == id).cloned();
    pb::MemberAddResponse { header, member: new, members }.encode_to_vec()
}

fn removed(header: Option<pb::ResponseHeader>, _: u64, members: Vec<pb::Member>) -> Vec<u8> {
    pb::MemberRemoveResponse { header, members }.encode_to_vec()
}

fn updated(header: Option<pb::ResponseHeader>, _: u64, members: Vec<pb::Member>) -> Vec<u8> {
    pb::MemberUpdateResponse { header, members }.encode_to_vec()
}

fn promoted(header: Option<pb::ResponseHeader>, _: u64, members: Vec<pb::Member>) -> Vec<u8> {
    pb::MemberPromoteResponse { header, members }.encode_to_vec()
}

fn member(m: MemberInfo) -> pb::Member {
    let MemberInfo { id, name, peer_urls, client_urls, is_learner } = m;
    pb::Member { id, name, peer_urls, client_urls, is_learner }
}

/// A call for the members as the newest view has them.
struct MemberList;

impl ReadCall for MemberList {
    const READS_KEYS: bool = false;

    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        rules.check_known(caller)
    }

    fn serve(self, services: &ClientServices) -> Served {
        let members = match services.ports().reads.members() {
            Ok(members) => members,
            Err(why) => return status::of_read(&why).into(),
        };
        let members = members.into_iter().map(member).collect();
        let response = pb::MemberListResponse { header: services.pb_header(0), members };
        Answer::message(response.encode_to_vec()).into()
    }
}
