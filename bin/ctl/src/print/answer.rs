//! Everything that can be printed.

use api::etcdserverpb as pb;
use api::mvccpb::Event;

/// An answer, with what the printers need to know beside it.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// `get`, and what `lock` and `elect` hold.
    Get(&'a pb::RangeResponse),
    /// `put`.
    Put(&'a pb::PutResponse),
    /// `del`.
    Del(&'a pb::DeleteRangeResponse),
    /// `txn`.
    Txn(&'a pb::TxnResponse),
    /// `watch`.
    Watch(&'a Watched),
    /// `lease grant`.
    Grant(&'a pb::LeaseGrantResponse),
    /// `lease revoke`, with the lease.
    Revoke(i64, &'a pb::LeaseRevokeResponse),
    /// `lease keep-alive`.
    KeepAlive(&'a pb::LeaseKeepAliveResponse),
    /// `lease timetolive`, and whether keys were asked for.
    TimeToLive(&'a pb::LeaseTimeToLiveResponse, bool),
    /// `lease list`.
    Leases(&'a pb::LeaseLeasesResponse),
    /// `member add`.
    MemberAdd(&'a pb::MemberAddResponse),
    /// `member remove`, with the member.
    MemberRemove(u64, &'a pb::MemberRemoveResponse),
    /// `member update`, with the member.
    MemberUpdate(u64, &'a pb::MemberUpdateResponse),
    /// `member promote`, with the member.
    MemberPromote(u64, &'a pb::MemberPromoteResponse),
    /// `member list`.
    MemberList(&'a pb::MemberListResponse),
    /// `endpoint health`.
    Health(&'a [Health]),
    /// `endpoint status`: endpoint and answer.
    Status(&'a [(String, pb::StatusResponse)]),
    /// `endpoint hashkv`: endpoint and answer.
    HashKv(&'a [(String, pb::HashKvResponse)]),
    /// `move-leader`: from, to.
    MoveLeader(u64, u64),
    /// `downgrade`, with what was done.
    Downgrade(&'static str, &'a pb::DowngradeResponse),
    /// `alarm list` and `alarm disarm`.
    Alarm(&'a pb::AlarmResponse),
    /// `role …`.
    Role(&'a str, RoleAnswer<'a>),
    /// `role list`.
    RoleList(&'a pb::AuthRoleListResponse),
    /// `user …`.
    User(&'a str, UserAnswer<'a>),
    /// `user list`.
    UserList(&'a pb::AuthUserListResponse),
    /// `auth status`.
    AuthStatus(&'a pb::AuthStatusResponse),
}

/// What was done with a role.
#[derive(Clone, Copy, Debug)]
pub enum RoleAnswer<'a> {
    /// Added.
    Add(&'a pb::AuthRoleAddResponse),
    /// Read.
    Get(&'a pb::AuthRoleGetResponse),
    /// Deleted.
    Delete(&'a pb::AuthRoleDeleteResponse),
    /// Permission given.
    Grant(&'a pb::AuthRoleGrantPermissionResponse),
    /// Permission taken: key, end.
    Revoke(&'a [u8], &'a [u8], &'a pb::AuthRoleRevokePermissionResponse),
}

/// What was done with a user.
#[derive(Clone, Copy, Debug)]
pub enum UserAnswer<'a> {
    /// Added.
    Add(&'a pb::AuthUserAddResponse),
    /// Read.
    Get(&'a pb::AuthUserGetResponse),
    /// Deleted.
    Delete(&'a pb::AuthUserDeleteResponse),
    /// Password changed.
    Password(&'a pb::AuthUserChangePasswordResponse),
    /// Role given.
    Grant(&'a str, &'a pb::AuthUserGrantRoleResponse),
    /// Role taken.
    Revoke(&'a str, &'a pb::AuthUserRevokeRoleResponse),
}

/// What a watcher hands to its reader.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Its header.
    pub header: pb::ResponseHeader,
    /// Events; `None` when there are none, which JSON shows as `null`.
    pub events: Option<Vec<Event>>,
    /// Oldest revision that is left, when the watch asked for an older one.
    pub compact_revision: i64,
    /// Whether the watch is over.
    pub canceled: bool,
    /// Why.
    pub cancel_reason: String,
    /// Why, when the stream itself ended.
    pub error: Option<String>,
}

impl Watched {
    /// Whether it only says how far the watcher is.
    pub fn is_progress(&self) -> bool {
        self.events.is_none() && !self.canceled && self.compact_revision == 0 && self.header.revision != 0
    }

    /// Why the watch is over, in words.
    pub fn reason(&self) -> String {
        if let Some(error) = &self.error {
            return error.clone();
        }
        if self.compact_revision != 0 {
            return "etcdserver: mvcc: required revision has been compacted".into();
        }
        if self.cancel_reason.is_empty() {
            return "etcdserver: mvcc: required revision is a future revision".into();
        }
        let status = tonic::Status::failed_precondition(self.cancel_reason.clone());
        crate::client::Failure::Status(status).to_string()
    }
}

/// How an endpoint is.
#[derive(Clone, Debug)]
pub struct Health {
    /// The endpoint.
    pub endpoint: String,
    /// Whether it is well.
    pub healthy: bool,
    /// How long the answer took, as Go prints it.
    pub took: String,
    /// Why it is not.
    pub error: String,
}
