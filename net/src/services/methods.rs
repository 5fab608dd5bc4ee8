//! The methods of all services.

use super::client_services::ClientServices;
use super::{
    auth, cluster, concurrency, downgrade, health, kv, lease, login, maintenance, range_stream, rebuild, snapshot,
    watch,
};
use crate::door::MethodTable;

/// The table of methods that the door serves on one connection thread.
pub fn methods(services: &ClientServices) -> MethodTable {
    let mut table = MethodTable::new();
    kv::register(services, &mut table);
    range_stream::register(services, &mut table);
    watch::register(services, &mut table);
    lease::register(services, &mut table);
    maintenance::register(services, &mut table);
    snapshot::register(services, &mut table);
    cluster::register(services, &mut table);
    auth::register(services, &mut table);
    login::register(services, &mut table);
    health::register(services, &mut table);
    rebuild::register(services, &mut table);
    concurrency::register(services, &mut table);
    downgrade::register(services, &mut table);
    table
}
