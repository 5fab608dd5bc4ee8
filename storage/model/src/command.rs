//! What a log entry can say, and its canonical bytes: etcd's `InternalRaftRequest`.
//!
//! A [`Command`] is trusted: whoever builds one has checked it. The bytes are etcd's field for field, so that the limit
//! on the size of a request means the same here as there.

use crate::auth::*;
use crate::request::*;
use crate::v2;
use bytes::Bytes;
use prost::Message;

/// `etcdserverpb.RequestHeader`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RequestHeader {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    username: String,
    #[prost(uint64, tag = "3")]
    auth_revision: u64,
}

/// `etcdserverpb.InternalRaftRequest`, the part in use.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct InternalRaftRequest {
    #[prost(message, optional, tag = "2")]
    v2: Option<v2::Request>,
    #[prost(message, optional, tag = "100")]
    header: Option<RequestHeader>,
    #[prost(message, optional, tag = "4")]
    put: Option<PutRequest>,
    #[prost(message, optional, tag = "5")]
    delete_range: Option<DeleteRangeRequest>,
    #[prost(message, optional, tag = "6")]
    txn: Option<TxnRequest>,
    #[prost(message, optional, tag = "7")]
    compaction: Option<CompactionRequest>,
    #[prost(message, optional, tag = "8")]
    lease_grant: Option<LeaseGrantRequest>,
    #[prost(message, optional, tag = "9")]
    lease_revoke: Option<LeaseRevokeRequest>,
    #[prost(message, optional, tag = "10")]
    alarm: Option<AlarmRequest>,
    #[prost(message, optional, tag = "11")]
    lease_checkpoint: Option<LeaseCheckpointRequest>,
    #[prost(message, optional, tag = "1000")]
    auth_enable: Option<AuthEnableRequest>,
    #[prost(message, optional, tag = "1011")]
    auth_disable: Option<AuthDisableRequest>,
    #[prost(message, optional, tag = "1012")]
    authenticate: Option<InternalAuthenticateRequest>,
    #[prost(message, optional, tag = "1013")]
    auth_status: Option<AuthStatusRequest>,
    #[prost(message, optional, tag = "1100")]
    auth_user_add: Option<AuthUserAddRequest>,
    #[prost(message, optional, tag = "1101")]
    auth_user_delete: Option<AuthUserDeleteRequest>,
    #[prost(message, optional, tag = "1102")]
    auth_user_get: Option<AuthUserGetRequest>,
    #[prost(message, optional, tag = "1103")]
    auth_user_change_password: Option<AuthUserChangePasswordRequest>,
    #[prost(message, optional, tag = "1104")]
    auth_user_grant_role: Option<AuthUserGrantRoleRequest>,
    #[prost(message, optional, tag = "1105")]
    auth_user_revoke_role: Option<AuthUserRevokeRoleRequest>,
    #[prost(message, optional, tag = "1106")]
    auth_user_list: Option<AuthUserListRequest>,
    #[prost(message, optional, tag = "1107")]
    auth_role_list: Option<AuthRoleListRequest>,
    #[prost(message, optional, tag = "1200")]
    auth_role_add: Option<AuthRoleAddRequest>,
    #[prost(message, optional, tag = "1201")]
    auth_role_delete: Option<AuthRoleDeleteRequest>,
    #[prost(message, optional, tag = "1202")]
    auth_role_get: Option<AuthRoleGetRequest>,
    #[prost(message, optional, tag = "1203")]
    auth_role_grant_permission: Option<AuthRoleGrantPermissionRequest>,
    #[prost(message, optional, tag = "1204")]
    auth_role_revoke_permission: Option<AuthRoleRevokePermissionRequest>,
    #[prost(message, optional, tag = "1300")]
    cluster_version_set: Option<ClusterVersionSetRequest>,
    #[prost(message, optional, tag = "1301")]
    member_attr_set: Option<MemberAttrSetRequest>,
    #[prost(message, optional, tag = "1302")]
    downgrade_info_set: Option<DowngradeInfoSetRequest>,
}

/// One state-machine command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write one key.
    Put(PutRequest),
    /// Delete a range of keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do.
    Txn(TxnRequest),
    /// Forget history up to a revision.
    Compaction(CompactionRequest),
    /// Create a lease (id and minimum TTL resolved).
    LeaseGrant(LeaseGrantRequest),
    /// End a lease and delete its keys.
    LeaseRevoke(LeaseRevokeRequest),
    /// Note the remaining TTL of leases.
    LeaseCheckpoint(LeaseCheckpointRequest),
    /// Raise, disarm or list alarms.
    Alarm(AlarmRequest),
    /// Settle the cluster version.
    ClusterVersionSet(ClusterVersionSetRequest),
    /// Publish a member's name and client URLs.
    MemberAttrSet(MemberAttrSetRequest),
    /// Begin or end a downgrade of the cluster.
    DowngradeInfoSet(DowngradeInfoSetRequest),
    /// Users, roles and tokens.
    Auth(AuthCommand),
    /// A request of the v2 API.
    V2(v2::Request),
}

/// Why bytes are no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf of the expected shape.
    #[error("log entry is not a valid InternalRaftRequest: {0}")]
    Malformed(String),
    /// No known command inside: written by a newer version.
    #[error("log entry holds no command known to this version; run the version that wrote it or a newer one")]
    Unknown,
}

impl InternalRaftRequest {
    fn put_auth(&mut self, command: AuthCommand) {
        match command {
            AuthCommand::Enable(r) => self.auth_enable = Some(r),
            AuthCommand::Disable(r) => self.auth_disable = Some(r),
            AuthCommand::Status(r) => self.auth_status = Some(r),
            AuthCommand::Authenticate(r) => self.authenticate = Some(r),
            AuthCommand::UserAdd(r) => self.auth_user_add = Some(r),
            AuthCommand::UserGet(r) => self.auth_user_get = Some(r),
            AuthCommand::UserList(r) => self.auth_user_list = Some(r),
            AuthCommand::UserDelete(r) => self.auth_user_delete = Some(r),
            AuthCommand::UserChangePassword(r) => self.auth_user_change_password = Some(r),
            AuthCommand::UserGrantRole(r) => self.auth_user_grant_role = Some(r),
            AuthCommand::UserRevokeRole(r) => self.auth_user_revoke_role = Some(r),
            AuthCommand::RoleAdd(r) => self.auth_role_add = Some(r),
            AuthCommand::RoleGet(r) => self.auth_role_get = Some(r),
            AuthCommand::RoleList(r) => self.auth_role_list = Some(r),
            AuthCommand::RoleDelete(r) => self.auth_role_delete = Some(r),
            AuthCommand::RoleGrantPermission(r) => self.auth_role_grant_permission = Some(r),
            AuthCommand::RoleRevokePermission(r) => self.auth_role_revoke_permission = Some(r),
        }
    }

    fn take_auth(&mut self) -> Option<AuthCommand> {
        None.or_else(|| self.authenticate.take().map(AuthCommand::Authenticate))
            .or_else(|| self.auth_enable.take().map(AuthCommand::Enable))
            .or_else(|| self.auth_disable.take().map(AuthCommand::Disable))
            .or_else(|| self.auth_status.take().map(AuthCommand::Status))
            .or_else(|| self.auth_user_add.take().map(AuthCommand::UserAdd))
            .or_else(|| self.auth_user_get.take().map(AuthCommand::UserGet))
            .or_else(|| self.auth_user_list.take().map(AuthCommand::UserList))
            .or_else(|| self.auth_user_delete.take().map(AuthCommand::UserDelete))
            .or_else(|| self.auth_user_change_password.take().map(AuthCommand::UserChangePassword))
            .or_else(|| self.auth_user_grant_role.take().map(AuthCommand::UserGrantRole))
            .or_else(|| self.auth_user_revoke_role.take().map(AuthCommand::UserRevokeRole))
            .or_else(|| self.auth_role_add.take().map(AuthCommand::RoleAdd))
            .or_else(|| self.auth_role_get.take().map(AuthCommand::RoleGet))
            .or_else(|| self.auth_role_list.take().map(AuthCommand::RoleList))
            .or_else(|| self.auth_role_delete.take().map(AuthCommand::RoleDelete))
            .or_else(|| self.auth_role_grant_permission.take().map(AuthCommand::RoleGrantPermission))
            .or_else(|| self.auth_role_revoke_permission.take().map(AuthCommand::RoleRevokePermission))
    }
}

impl Command {
    /// Whether it is about keys or leases, those of the v2 API among them, whose history all members must agree on before anybody may be told what it did.
    pub fn touches_data(&self) -> bool {
        match self {
            Self::Put(_) | Self::DeleteRange(_) | Self::Txn(_) | Self::Compaction(_) => true,
            Self::LeaseGrant(_) | Self::LeaseRevoke(_) | Self::LeaseCheckpoint(_) | Self::V2(_) => true,
            Self::Alarm(_) | Self::ClusterVersionSet(_) | Self::DowngradeInfoSet(_) => false,
            Self::MemberAttrSet(_) | Self::Auth(_) => false,
        }
    }

    /// Canonical bytes, with the request id in the header as etcd has it, on behalf of nobody.
    pub fn encode(self, id: u64) -> Bytes {
        self.encode_for(Caller::Nobody, id)
    }

    /// Canonical bytes of a command on behalf of `caller`.
    pub fn encode_for(self, caller: Caller, id: u64) -> Bytes {
        let (username, auth_revision) = caller.into_header();
        let header = Some(RequestHeader { id, username, auth_revision });
        let mut req = InternalRaftRequest { header, ..Default::default() };
        match self {
            Self::Put(r) => req.put = Some(r),
            Self::DeleteRange(r) => req.delete_range = Some(r),
            Self::Txn(r) => req.txn = Some(r),
            Self::Compaction(r) => req.compaction = Some(r),
            Self::LeaseGrant(r) => req.lease_grant = Some(r),
            Self::LeaseRevoke(r) => req.lease_revoke = Some(r),
            Self::LeaseCheckpoint(r) => req.lease_checkpoint = Some(r),
            Self::Alarm(r) => req.alarm = Some(r),
            Self::ClusterVersionSet(r) => req.cluster_version_set = Some(r),
            Self::MemberAttrSet(r) => req.member_attr_set = Some(r),
            Self::DowngradeInfoSet(r) => req.downgrade_info_set = Some(r),
            Self::Auth(command) => req.put_auth(command),
            Self::V2(r) => req.v2 = Some(r),
        }
        req.encode_to_vec().into()
    }

    /// Reverse of [`Self::encode`]; values share the buffer of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are damaged or of a newer version.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self::decode_with_caller(bytes)?.1)
    }

    /// Reverse of [`Self::encode_for`]; values share the buffer of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are damaged or of a newer version.
    pub fn decode_with_caller(bytes: Bytes) -> Result<(Caller, Self), DecodeError> {
        let mut req = InternalRaftRequest::decode(bytes).map_err(|e| DecodeError::Malformed(e.to_string()))?;
        let header = req.header.take().unwrap_or_default();
        let caller = Caller::from_header(header.username, header.auth_revision);
        let auth = req.take_auth();
        let command = None
            .or(req.put.map(Self::Put))
            .or(req.delete_range.map(Self::DeleteRange))
            .or(req.txn.map(Self::Txn))
            .or(req.compaction.map(Self::Compaction))
            .or(req.lease_grant.map(Self::LeaseGrant))
            .or(req.lease_revoke.map(Self::LeaseRevoke))
            .or(req.lease_checkpoint.map(Self::LeaseCheckpoint))
            .or(req.alarm.map(Self::Alarm))
            .or(req.cluster_version_set.map(Self::ClusterVersionSet))
            .or(req.member_attr_set.map(Self::MemberAttrSet))
            .or(req.downgrade_info_set.map(Self::DowngradeInfoSet))
            .or(req.v2.map(Self::V2))
            .or(auth.map(Self::Auth));
        Ok((caller, command.ok_or(DecodeError::Unknown)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_round_trips_and_has_etcds_bytes() {
        let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        let bytes = Command::Put(put.clone()).encode(1);
        // field 4 (put) {1: "k", 2: "v"}, field 100 (header) {1: 1}: fields ascend, as every canonical encoder writes them
        assert_eq!(&bytes[..], b"\x22\x06\x0a\x01k\x12\x01v\xa2\x06\x02\x08\x01");
        assert_eq!(Command::decode(bytes), Ok(Command::Put(put)));
    }

    #[test]
    fn the_caller_travels_in_etcds_header() {
        let add = Command::Auth(AuthCommand::RoleAdd(AuthRoleAddRequest { name: "r".into() }));
        let caller = Caller::User { name: "root".into(), revision: 3 };
        let bytes = add.clone().encode_for(caller.clone(), 1);
        // field 100 (header) {1: 1, 2: "root", 3: 3}, field 1200 (auth_role_add) {1: "r"}
        assert_eq!(&bytes[..], b"\xa2\x06\x0a\x08\x01\x12\x04root\x18\x03\x82\x4b\x03\x0a\x01r");
        assert_eq!(Command::decode_with_caller(bytes), Ok((caller, add)));
    }

    #[test]
    fn every_command_about_users_and_roles_round_trips() {
        let all = [
            AuthCommand::Enable(Default::default()),
            AuthCommand::Disable(Default::default()),
            AuthCommand::Status(Default::default()),
            AuthCommand::Authenticate(Default::default()),
            AuthCommand::UserAdd(Default::default()),
            AuthCommand::UserGet(Default::default()),
            AuthCommand::UserList(Default::default()),
            AuthCommand::UserDelete(Default::default()),
            AuthCommand::UserChangePassword(Default::default()),
            AuthCommand::UserGrantRole(Default::default()),
            AuthCommand::UserRevokeRole(Default::default()),
            AuthCommand::RoleAdd(Default::default()),
            AuthCommand::RoleGet(Default::default()),
            AuthCommand::RoleList(Default::default()),
            AuthCommand::RoleDelete(Default::default()),
            AuthCommand::RoleGrantPermission(Default::default()),
            AuthCommand::RoleRevokePermission(Default::default()),
        ];
        for command in all.map(Command::Auth) {
            assert_eq!(Command::decode(command.clone().encode(9)), Ok(command));
        }
    }

    #[test]
    fn a_request_of_the_v2_api_has_etcds_field() {
        let request = v2::Request { method: "PUT".into(), path: "/1/k".into(), val: "v".into(), ..Default::default() };
        let bytes = Command::V2(request.clone()).encode(1);
        // field 2 (v2) {2: "PUT", 3: "/1/k", 4: "v"}, field 100 (header) {1: 1}
        assert_eq!(&bytes[..], b"\x12\x0e\x12\x03PUT\x1a\x04/1/k\x22\x01v\xa2\x06\x02\x08\x01");
        assert_eq!(Command::decode(bytes), Ok(Command::V2(request)));
    }

    #[test]
    fn bytes_without_a_command_are_refused() {
        assert_eq!(Command::decode(Bytes::new()), Err(DecodeError::Unknown));
        assert!(matches!(Command::decode(Bytes::from_static(b"\x22\xff")), Err(DecodeError::Malformed(_))));
    }
}
