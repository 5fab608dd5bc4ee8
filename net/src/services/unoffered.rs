//! Methods of etcd that are not implemented yet. They answer with an error of etcd's, so that tools print something sensible
//! instead of "unknown service".

use super::client_services::ClientServices;
use super::status;
use super::unary::method;
use crate::door::{Answer, Call, MethodTable};
use api::etcdserverpb as pb;
use bytes::Bytes;
use prost::Message as _;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    table.unary("/etcdserverpb.Maintenance/Downgrade", |call: Call, _: Bytes| call.reply(status::NOT_CAPABLE));
    // auth is off: its state can be queried, a login gets etcd's answer, and everything else is refused
    method(services, table, "/etcdserverpb.Auth/AuthStatus", |services, call, _: pb::AuthStatusRequest| {
        let header = services.pb_header_now();
        let status = pb::AuthStatusResponse { header, enabled: false, auth_revision: 1 };
        call.take().reply(Answer::message(status.encode_to_vec()));
        Ok(())
    });
    table.unary("/etcdserverpb.Auth/Authenticate", |call: Call, _: Bytes| call.reply(status::AUTH_NOT_ENABLED));
    const ADMINISTRATION: [&str; 14] = [
        "AuthEnable",
        "AuthDisable",
        "UserAdd",
        "UserGet",
        "UserList",
        "UserDelete",
        "UserChangePassword",
        "UserGrantRole",
        "UserRevokeRole",
        "RoleAdd",
        "RoleGet",
        "RoleList",
        "RoleDelete",
        "RoleGrantPermission",
    ];
    for name in ADMINISTRATION.into_iter().chain(["RoleRevokePermission"]) {
        table.unary(&format!("/etcdserverpb.Auth/{name}"), |call: Call, _: Bytes| call.reply(status::NOT_CAPABLE));
    }
}
