//! The gRPC codes and texts of all errors, in one table. Clients match on both, byte for byte.
//!
//! Nothing outside this file may write an error text that a client sees. Source: etcd's `rpctypes`, and its package
//! `concurrency` for locks and elections.

use crate::door::{Code, Status};
use messages::RequestError;
use model::{ApplyError, AuthRefusal, MemberRefusal, ReadError};

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Status = Status { code: Code::$code, message: std::borrow::Cow::Borrowed($text) };)*
    };
}

table! {
    /// Empty key.
    EMPTY_KEY = InvalidArgument, "etcdserver: key is not provided";
    /// Empty operation in a transaction, or ignore_value/ignore_lease on a missing key.
    KEY_NOT_FOUND = InvalidArgument, "etcdserver: key not found";
    /// ignore_value with a value.
    VALUE_PROVIDED = InvalidArgument, "etcdserver: value is provided";
    /// ignore_lease with a lease.
    LEASE_PROVIDED = InvalidArgument, "etcdserver: lease is provided";
    /// More operations than `--max-txn-ops`.
    TOO_MANY_OPS = InvalidArgument, "etcdserver: too many operations in txn request";
    /// A key is put twice in one transaction.
    DUPLICATE_KEY = InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// Unknown sort order or target.
    INVALID_SORT = InvalidArgument, "etcdserver: invalid sort option";
    /// The metadata `client-api-version` is not UTF-8.
    INVALID_CLIENT_API_VERSION = InvalidArgument, "etcdserver: invalid client api version";
    /// The log entry would exceed `--max-request-bytes`.
    TOO_LARGE = InvalidArgument, "etcdserver: request is too large";
    /// The revision has been compacted.
    COMPACTED = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision lies in the future.
    FUTURE_REVISION = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// More than any client takes in one message.
    ANSWER_TOO_LARGE = ResourceExhausted, "grpc: trying to send message larger than max";
    /// The quota is used up.
    NO_SPACE = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// A lease TTL above the limit.
    TTL_TOO_LARGE = OutOfRange, "etcdserver: too large lease TTL";
    /// No such lease.
    LEASE_NOT_FOUND = NotFound, "etcdserver: requested lease not found";
    /// The lease exists.
    LEASE_EXISTS = FailedPrecondition, "etcdserver: lease already exists";
    /// Sent with etcd's client-side value, hence the code.
    TOO_MANY_REQUESTS = Unknown, "etcdserver: too many requests";
    /// The door has no room for another call.
    BUSY = ResourceExhausted, "etcdserver: too many requests";
    /// No leader.
    NO_LEADER = Unavailable, "etcdserver: no leader";
    /// Not the leader.
    NOT_LEADER = FailedPrecondition, "etcdserver: not leader";
    /// The leader changed under a read or proposal.
    LEADER_CHANGED = Unavailable, "etcdserver: leader changed";
    /// The server stops.
    STOPPED = Unavailable, "etcdserver: server stopped";
    /// A snapshot, defragmentation or hash failed. etcd sends its reason as the text, with this code.
    JOB_FAILED = Unknown, "etcdserver: the job failed, the log of this member says why";
    /// A fault of ours: see `DeferredCall`.
    UNEXPECTED_REPLY = Internal, "etcdserver: internal error, a call got a reply of the wrong kind";
    /// Unknown outcome.
    TIMEOUT = Unavailable, "etcdserver: request timed out";
    /// Unknown outcome, the leader was lost.
    TIMEOUT_LEADER_LOST = Unavailable, "etcdserver: request timed out, possibly due to previous leader failure";
    /// A rebuild of the only voter. Not etcd's.
    NO_OTHER_MEMBER = FailedPrecondition, "etcdserver: there is no other member to rebuild this one from";
    /// The CORRUPT alarm stands.
    CORRUPT = DataLoss, "etcdserver: corrupt cluster";
    /// RangeStream with a sort order.
    STREAM_SORT = Unimplemented, "RangeStream does not support custom sort orders";
    /// RangeStream with revision filters.
    STREAM_FILTER = Unimplemented, "RangeStream does not support revision filters";
    /// A snapshot was asked for in a format that does not exist. etcd has no choice of them.
    SNAPSHOT_FORMAT = InvalidArgument, "conclave: unknown snapshot format; there are etcd and conclave";
    /// Leadership was to be given to somebody who is not a voter.
    BAD_TRANSFEREE = FailedPrecondition, "etcdserver: bad leader transferee";
    /// A new leader that was asked for does not lead in time. Not among etcd's client errors, hence the code.
    TRANSFER_TIMEOUT = Unknown, "etcdserver: request timed out, leader transfer took too long";
    /// A learner serves serializable ranges, its status and snapshots.
    NOT_FOR_LEARNER = FailedPrecondition, "etcdserver: rpc not supported for learner";
    /// A login while authentication is off.
    AUTH_NOT_ENABLED = FailedPrecondition, "etcdserver: authentication is not enabled";
    /// Authentication is to be turned on, and nobody is called root.
    ROOT_USER_MISSING = FailedPrecondition, "etcdserver: root user does not exist";
    /// Authentication is to be turned on, and root does not have the role root.
    ROOT_ROLE_MISSING = FailedPrecondition, "etcdserver: root user does not have root role";
    /// The user exists.
    USER_EXISTS = FailedPrecondition, "etcdserver: user name already exists";
    /// Nobody is named.
    USER_EMPTY = InvalidArgument, "etcdserver: user name is empty";
    /// No such user.
    USER_NOT_FOUND = FailedPrecondition, "etcdserver: user name not found";
    /// The role exists.
    ROLE_EXISTS = FailedPrecondition, "etcdserver: role name already exists";
    /// No such role.
    ROLE_NOT_FOUND = FailedPrecondition, "etcdserver: role name not found";
    /// A role without a name.
    ROLE_EMPTY = InvalidArgument, "etcdserver: role name is empty";
    /// Wrong name or password.
    AUTH_FAILED = InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    /// A login, or a hash that is none. Not among etcd's client errors, hence the code.
    NO_PASSWORD_USER = Unknown, "auth: authentication failed, password was given for no password user";
    /// A permission is granted without naming one.
    PERMISSION_NOT_GIVEN = InvalidArgument, "etcdserver: permission not given";
    /// The user may not do that.
    PERMISSION_DENIED = PermissionDenied, "etcdserver: permission denied";
    /// The user does not have the role.
    ROLE_NOT_GRANTED = FailedPrecondition, "etcdserver: role is not granted to the user";
    /// The role does not have the permission.
    PERMISSION_NOT_GRANTED = FailedPrecondition, "etcdserver: permission is not granted to the role";
    /// Users and roles have changed since the caller was recognized; clients ask again.
    AUTH_OLD_REVISION = InvalidArgument, "etcdserver: revision of auth store is old";
    /// No such token, or it has ended.
    INVALID_TOKEN = Unauthenticated, "etcdserver: invalid auth token";
    /// What would leave nobody to administrate, or a range that is none.
    INVALID_AUTH_MANAGEMENT = InvalidArgument, "etcdserver: invalid auth management";
    /// The lease of a lock ended while it was waited for.
    SESSION_EXPIRED = Unknown, "mutex: session is expired";
    /// The caller of Proclaim does not lead, or no longer.
    ELECTION_NOT_LEADER = Unknown, "election: not leader";
    /// Nobody takes part in the election.
    ELECTION_NO_LEADER = Unknown, "election: no leader";
    /// Proclaim or Resign without a leader's key.
    MISSING_LEADER = Unknown, "\"leader\" field must be provided";
    /// Health of a service that this server does not know. Source: grpc-go's health server.
    UNKNOWN_HEALTH_SERVICE = NotFound, "unknown service";
    /// A peer URL of a new member that is none, or none at all.
    MEMBER_BAD_URLS = InvalidArgument, "etcdserver: given member URLs are invalid";
    /// No such member, or one that was removed.
    MEMBER_NOT_FOUND = NotFound, "etcdserver: member not found";
    /// The member exists.
    MEMBER_EXISTS = FailedPrecondition, "etcdserver: member ID already exist";
    /// Another member has the peer URL.
    PEER_URL_EXISTS = FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// Somebody is promoted who votes already.
    MEMBER_NOT_LEARNER = FailedPrecondition, "etcdserver: can only promote a learner member";
    /// A learner is promoted too early.
    LEARNER_NOT_READY = FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader";
    /// More learners than `--max-learners`.
    TOO_MANY_LEARNERS = FailedPrecondition, "etcdserver: too many learner members in cluster";
    /// Too few started members. Sent with etcd's client-side value, hence the code.
    NOT_ENOUGH_STARTED = Unknown, "etcdserver: re-configuration failed due to not enough started members";
    /// Too few connected members.
    UNHEALTHY = Unavailable, "etcdserver: unhealthy cluster";
    /// A downgrade to something that is no version.
    DOWNGRADE_VERSION_FORMAT = InvalidArgument, "etcdserver: wrong downgrade target version format";
    /// A downgrade to another version than the one below.
    DOWNGRADE_TARGET = InvalidArgument, "etcdserver: invalid downgrade target version";
    /// A second downgrade.
    DOWNGRADE_IN_PROCESS = FailedPrecondition, "etcdserver: cluster has a downgrade job in progress";
    /// A downgrade of a cluster without a version.
    CLUSTER_VERSION_UNAVAILABLE = FailedPrecondition, "etcdserver: cluster version not found during downgrade";
    /// Something else than to validate, enable or cancel. Not among etcd's client errors, hence the code.
    UNKNOWN_METHOD = Unknown, "etcdserver: unknown method";
}

/// A message that is not the protobuf expected. Source: grpc-go's text.
pub fn malformed(why: &prost::DecodeError) -> Status {
    Status::new(Code::Internal, format!("grpc: error unmarshalling request: {why}"))
}

/// The status of a call of Lock or Election. In etcd these reach the store through a client inside the server: the text
/// stays, the code is lost. The one exception is a server that stops: its clients should try another one.
pub fn through_client(status: Status) -> Status {
    if status == STOPPED { status } else { Status { code: Code::Unknown, ..status } }
}

/// Status of a command that was committed and had no effect.
pub fn of_apply(error: ApplyError) -> Status {
    match error {
        ApplyError::KeyNotFound => KEY_NOT_FOUND,
        ApplyError::LeaseNotFound => LEASE_NOT_FOUND,
        ApplyError::LeaseExists => LEASE_EXISTS,
        ApplyError::Compacted => COMPACTED,
        ApplyError::FutureRevision => FUTURE_REVISION,
        ApplyError::NoSpace => NO_SPACE,
        ApplyError::Corrupt => CORRUPT,
        ApplyError::TooLarge => TOO_LARGE,
        ApplyError::Member(refusal) => of_member(refusal),
        ApplyError::Auth(refusal) => of_auth(refusal),
        ApplyError::StaleTerm => LEADER_CHANGED,
    }
}

/// Status of what a caller may not do, or what makes no sense for users and roles.
pub fn of_auth(refusal: AuthRefusal) -> Status {
    match refusal {
        AuthRefusal::RootUserMissing => ROOT_USER_MISSING,
        AuthRefusal::RootRoleMissing => ROOT_ROLE_MISSING,
        AuthRefusal::UserExists => USER_EXISTS,
        AuthRefusal::UserEmpty => USER_EMPTY,
        AuthRefusal::UserNotFound => USER_NOT_FOUND,
        AuthRefusal::RoleExists => ROLE_EXISTS,
        AuthRefusal::RoleNotFound => ROLE_NOT_FOUND,
        AuthRefusal::RoleEmpty => ROLE_EMPTY,
        AuthRefusal::Failed => AUTH_FAILED,
        AuthRefusal::NoPasswordUser => NO_PASSWORD_USER,
        AuthRefusal::PermissionNotGiven => PERMISSION_NOT_GIVEN,
        AuthRefusal::Denied => PERMISSION_DENIED,
        AuthRefusal::RoleNotGranted => ROLE_NOT_GRANTED,
        AuthRefusal::PermissionNotGranted => PERMISSION_NOT_GRANTED,
        AuthRefusal::NotEnabled => AUTH_NOT_ENABLED,
        AuthRefusal::OldRevision => AUTH_OLD_REVISION,
        AuthRefusal::InvalidToken => INVALID_TOKEN,
        AuthRefusal::InvalidManagement => INVALID_AUTH_MANAGEMENT,
    }
}

/// What a watch that is refused says: Go's text of the status.
pub fn in_go(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code, status.message)
}

/// Status of a password or token that could not be computed: etcd sends the reason as it is.
pub fn of_password(why: String) -> Status {
    Status::new(Code::Unknown, why)
}

/// Status of a change of the membership that is refused.
pub fn of_member(refusal: MemberRefusal) -> Status {
    match refusal {
        MemberRefusal::Removed | MemberRefusal::NotFound => MEMBER_NOT_FOUND,
        MemberRefusal::Exists => MEMBER_EXISTS,
        MemberRefusal::PeerUrlTaken => PEER_URL_EXISTS,
        MemberRefusal::NotLearner => MEMBER_NOT_LEARNER,
        MemberRefusal::TooManyLearners => TOO_MANY_LEARNERS,
        MemberRefusal::NotEnoughStarted | MemberRefusal::Impossible => NOT_ENOUGH_STARTED,
        MemberRefusal::Unhealthy => UNHEALTHY,
        MemberRefusal::LearnerNotReady => LEARNER_NOT_READY,
        MemberRefusal::Pending => TOO_MANY_REQUESTS,
    }
}

/// Status of a refused read.
pub fn of_read(error: &ReadError) -> Status {
    match error {
        ReadError::Compacted => COMPACTED,
        ReadError::FutureRevision => FUTURE_REVISION,
        ReadError::Corrupt => CORRUPT,
        ReadError::TooLarge => ANSWER_TOO_LARGE,
        ReadError::Busy => TOO_MANY_REQUESTS,
        ReadError::Auth(refusal) => of_auth(*refusal),
        ReadError::Store(why) => Status::new(Code::Unknown, format!("etcdserver: {why}")),
    }
}

/// Status of a request that was not carried out, or is not known to have been.
pub fn of_request(error: RequestError) -> Status {
    match error {
        RequestError::NoLeader => NO_LEADER,
        RequestError::LeaderChanged => LEADER_CHANGED,
        RequestError::NotLeader => NOT_LEADER,
        RequestError::BadTransferee => BAD_TRANSFEREE,
        RequestError::TransferTimeout => TRANSFER_TIMEOUT,
        RequestError::TooManyRequests | RequestError::Busy => TOO_MANY_REQUESTS,
        RequestError::TooLarge => TOO_LARGE,
        RequestError::Timeout => TIMEOUT,
        RequestError::TimeoutLeaderLost => TIMEOUT_LEADER_LOST,
        RequestError::Member(refusal) => of_member(refusal),
        RequestError::NoOtherMember => NO_OTHER_MEMBER,
        RequestError::Failed => JOB_FAILED,
        RequestError::Stopped => STOPPED,
    }
}
