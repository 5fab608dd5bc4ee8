//! Methods of etcd that are not implemented yet. They answer with an error of etcd's, so that tools print something sensible
//! instead of "unknown service". Who may call them is looked at as if they were.

use super::client_services::ClientServices;
use super::status;
use super::unary::method;
use crate::door::MethodTable;
use api::etcdserverpb as pb;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    method(services, table, "/etcdserverpb.Maintenance/Downgrade", |services, call, _: pb::DowngradeRequest| {
        services.require_admin(call)?;
        Err(status::NOT_CAPABLE)
    });
}
