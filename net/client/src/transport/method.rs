//! The calls of the API, and which of them may be sent again.

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Service and name.
    pub path: &'static str,
    /// Whether sending it twice does no harm. Others are sent again only when they cannot have arrived.
    pub repeatable: bool,
}

const fn read(path: &'static str) -> Method {
    Method { path, repeatable: true }
}

const fn write(path: &'static str) -> Method {
    Method { path, repeatable: false }
}

macro_rules! methods {
    ($($name:ident $kind:ident $path:literal;)*) => {
        $(#[doc = concat!("`", $path, "`")] pub const $name: Method = $kind(concat!("/", $path));)*
    };
}

methods! {
    RANGE read "etcdserverpb.KV/Range";
    RANGE_STREAM write "etcdserverpb.KV/RangeStream";
    PUT write "etcdserverpb.KV/Put";
    DELETE_RANGE write "etcdserverpb.KV/DeleteRange";
    TXN write "etcdserverpb.KV/Txn";
    COMPACT write "etcdserverpb.KV/Compact";
    WATCH write "etcdserverpb.Watch/Watch";
    LEASE_GRANT read "etcdserverpb.Lease/LeaseGrant";
    LEASE_REVOKE read "etcdserverpb.Lease/LeaseRevoke";
    LEASE_KEEP_ALIVE write "etcdserverpb.Lease/LeaseKeepAlive";
    LEASE_TIME_TO_LIVE read "etcdserverpb.Lease/LeaseTimeToLive";
    LEASE_LEASES read "etcdserverpb.Lease/LeaseLeases";
    MEMBER_ADD write "etcdserverpb.Cluster/MemberAdd";
    MEMBER_REMOVE write "etcdserverpb.Cluster/MemberRemove";
    MEMBER_UPDATE write "etcdserverpb.Cluster/MemberUpdate";
    MEMBER_LIST read "etcdserverpb.Cluster/MemberList";
    MEMBER_PROMOTE write "etcdserverpb.Cluster/MemberPromote";
    ALARM read "etcdserverpb.Maintenance/Alarm";
    STATUS read "etcdserverpb.Maintenance/Status";
    DEFRAGMENT write "etcdserverpb.Maintenance/Defragment";
    HASH_KV read "etcdserverpb.Maintenance/HashKV";
    SNAPSHOT write "etcdserverpb.Maintenance/Snapshot";
    MOVE_LEADER read "etcdserverpb.Maintenance/MoveLeader";
    REBUILD read "conclave.Maintenance/Rebuild";
    DOWNGRADE write "etcdserverpb.Maintenance/Downgrade";
    AUTH_ENABLE write "etcdserverpb.Auth/AuthEnable";
    AUTH_DISABLE write "etcdserverpb.Auth/AuthDisable";
    AUTH_STATUS write "etcdserverpb.Auth/AuthStatus";
    AUTHENTICATE write "etcdserverpb.Auth/Authenticate";
    USER_ADD write "etcdserverpb.Auth/UserAdd";
    USER_GET read "etcdserverpb.Auth/UserGet";
    USER_LIST read "etcdserverpb.Auth/UserList";
    USER_DELETE write "etcdserverpb.Auth/UserDelete";
    USER_CHANGE_PASSWORD write "etcdserverpb.Auth/UserChangePassword";
    USER_GRANT_ROLE write "etcdserverpb.Auth/UserGrantRole";
    USER_REVOKE_ROLE write "etcdserverpb.Auth/UserRevokeRole";
    ROLE_ADD write "etcdserverpb.Auth/RoleAdd";
    ROLE_GET read "etcdserverpb.Auth/RoleGet";
    ROLE_LIST read "etcdserverpb.Auth/RoleList";
    ROLE_DELETE write "etcdserverpb.Auth/RoleDelete";
    ROLE_GRANT_PERMISSION write "etcdserverpb.Auth/RoleGrantPermission";
    ROLE_REVOKE_PERMISSION write "etcdserverpb.Auth/RoleRevokePermission";
}
