//! Users, roles and permissions, and the commands about them, in etcd's `authpb` and `etcdserverpb` encoding.
//!
//! Wire structs, as in [`request`](crate::request). What is secret (a password, its hash, a token) must never be in a `Debug` text.

use bytes::Bytes;
use std::fmt;

/// `authpb.UserAddOptions`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
#[allow(missing_docs)]
pub struct UserAddOptions {
    #[prost(bool, tag = "1")]
    pub no_password: bool,
}

/// `authpb.User`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct User {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// The hash of its password; empty for a user without one.
    #[prost(bytes = "bytes", tag = "2")]
    pub password: Bytes,
    /// Names of its roles, ascending.
    #[prost(string, repeated, tag = "3")]
    pub roles: Vec<String>,
    /// How it was added.
    #[prost(message, optional, tag = "4")]
    pub options: Option<UserAddOptions>,
}

impl User {
    /// True when it can only be somebody who shows a certificate.
    pub fn has_no_password(&self) -> bool {
        self.options.is_some_and(|options| options.no_password)
    }
}

/// `authpb.Permission.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PermissionType {
    /// To read.
    Read = 0,
    /// To write.
    Write = 1,
    /// Both.
    Readwrite = 2,
}

impl PermissionType {
    /// Its name in protobuf.
    pub fn as_str_name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Readwrite => "READWRITE",
        }
    }
}

/// `authpb.Permission`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Permission {
    /// What may be done.
    #[prost(enumeration = "PermissionType", tag = "1")]
    pub perm_type: i32,
    /// With which key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// Empty: only that key. One zero byte: every key from it on. Otherwise the first key that is not meant.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}

/// `authpb.Role`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Role {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// What it may do, ascending by key.
    #[prost(message, repeated, tag = "2")]
    pub key_permission: Vec<Permission>,
}

/// Declares messages without a secret.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, prost::Message)]
        #[allow(missing_docs)]
        pub struct $name { $($(#[$attribute])* pub $field: $type,)* }
    )*};
}

messages! {
    /// `etcdserverpb.AuthEnableRequest`.
    AuthEnableRequest {}
    /// `etcdserverpb.AuthDisableRequest`.
    AuthDisableRequest {}
    /// `etcdserverpb.AuthStatusRequest`.
    AuthStatusRequest {}
    /// `etcdserverpb.AuthUserGetRequest`.
    AuthUserGetRequest {
        #[prost(string, tag = "1")]
        name: String,
    }
    /// `etcdserverpb.AuthUserListRequest`.
    AuthUserListRequest {}
    /// `etcdserverpb.AuthUserDeleteRequest`.
    AuthUserDeleteRequest {
        #[prost(string, tag = "1")]
        name: String,
    }
    /// `etcdserverpb.AuthUserGrantRoleRequest`.
    AuthUserGrantRoleRequest {
        #[prost(string, tag = "1")]
        user: String,
        #[prost(string, tag = "2")]
        role: String,
    }
    /// `etcdserverpb.AuthUserRevokeRoleRequest`.
    AuthUserRevokeRoleRequest {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        role: String,
    }
    /// `etcdserverpb.AuthRoleAddRequest`.
    AuthRoleAddRequest {
        #[prost(string, tag = "1")]
        name: String,
    }
    /// `etcdserverpb.AuthRoleGetRequest`.
    AuthRoleGetRequest {
        #[prost(string, tag = "1")]
        role: String,
    }
    /// `etcdserverpb.AuthRoleListRequest`.
    AuthRoleListRequest {}
    /// `etcdserverpb.AuthRoleDeleteRequest`.
    AuthRoleDeleteRequest {
        #[prost(string, tag = "1")]
        role: String,
    }
    /// `etcdserverpb.AuthRoleGrantPermissionRequest`.
    AuthRoleGrantPermissionRequest {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        perm: Option<Permission>,
    }
    /// `etcdserverpb.AuthRoleRevokePermissionRequest`.
    AuthRoleRevokePermissionRequest {
        #[prost(string, tag = "1")]
        role: String,
        #[prost(bytes = "bytes", tag = "2")]
        key: Bytes,
        #[prost(bytes = "bytes", tag = "3")]
        range_end: Bytes,
    }
}

/// `etcdserverpb.InternalAuthenticateRequest`: somebody has shown the right password.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
#[allow(missing_docs)]
pub struct InternalAuthenticateRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    /// Never set: passwords do not enter the log.
    #[prost(string, tag = "2")]
    pub password: String,
    /// The hash of the secret part of the token that is to be given; empty when the asked member signs one instead.
    #[prost(string, tag = "3")]
    pub simple_token: String,
}

/// `etcdserverpb.AuthUserAddRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
#[allow(missing_docs)]
pub struct AuthUserAddRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    /// In a log entry always empty.
    #[prost(string, tag = "2")]
    pub password: String,
    #[prost(message, optional, tag = "3")]
    pub options: Option<UserAddOptions>,
    /// In base64.
    #[prost(string, tag = "4")]
    pub hashed_password: String,
}

/// `etcdserverpb.AuthUserChangePasswordRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
#[allow(missing_docs)]
pub struct AuthUserChangePasswordRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    /// In a log entry always empty.
    #[prost(string, tag = "2")]
    pub password: String,
    /// In base64.
    #[prost(string, tag = "3")]
    pub hashed_password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("User");
        text.field("name", &self.name).field("roles", &self.roles).field("options", &self.options);
        text.finish_non_exhaustive()
    }
}

impl fmt::Debug for InternalAuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InternalAuthenticateRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthUserAddRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("AuthUserAddRequest");
        text.field("name", &self.name).field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthUserChangePasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthUserChangePasswordRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A command about users, roles or tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthCommand {
    /// Turn authentication on.
    Enable(AuthEnableRequest),
    /// Turn it off.
    Disable(AuthDisableRequest),
    /// Whether it is on.
    Status(AuthStatusRequest),
    /// Give a token to a user whose password was checked.
    Authenticate(InternalAuthenticateRequest),
    /// Add a user.
    UserAdd(AuthUserAddRequest),
    /// The roles of a user.
    UserGet(AuthUserGetRequest),
    /// All users.
    UserList(AuthUserListRequest),
    /// Delete a user.
    UserDelete(AuthUserDeleteRequest),
    /// Change the password of a user.
    UserChangePassword(AuthUserChangePasswordRequest),
    /// Grant a role to a user.
    UserGrantRole(AuthUserGrantRoleRequest),
    /// Take a role from a user.
    UserRevokeRole(AuthUserRevokeRoleRequest),
    /// Add a role.
    RoleAdd(AuthRoleAddRequest),
    /// The permissions of a role.
    RoleGet(AuthRoleGetRequest),
    /// All roles.
    RoleList(AuthRoleListRequest),
    /// Delete a role.
    RoleDelete(AuthRoleDeleteRequest),
    /// Grant a permission to a role.
    RoleGrantPermission(AuthRoleGrantPermissionRequest),
    /// Take a permission from a role.
    RoleRevokePermission(AuthRoleRevokePermissionRequest),
}

/// What came of an [`AuthCommand`].
#[derive(Clone, PartialEq, Eq)]
pub enum AuthOutcome {
    /// It was done, and there is nothing to say.
    Done,
    /// Whether authentication is on, and the revision of the rules.
    Status {
        /// It is on.
        enabled: bool,
        /// Revision of the rules.
        revision: u64,
    },
    /// A user was given this token, empty when the asked member signs one; and the revision of the rules.
    Token {
        /// The token.
        token: String,
        /// Revision of the rules.
        revision: u64,
    },
    /// Names, ascending: roles of a user, all users, or all roles.
    Names(Vec<String>),
    /// Permissions of a role.
    Permissions(Vec<Permission>),
}

impl fmt::Debug for AuthOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Status { enabled, revision } => write!(f, "Status({enabled}, {revision})"),
            Self::Token { revision, .. } => write!(f, "Token(.., {revision})"),
            Self::Names(names) => f.debug_tuple("Names").field(names).finish(),
            Self::Permissions(permissions) => f.debug_tuple("Permissions").field(permissions).finish(),
        }
    }
}

/// Why somebody may not do something, or a command about users and roles has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthRefusal {
    /// Nobody is called root.
    #[error("root user does not exist")]
    RootUserMissing,
    /// The user root does not have the role root.
    #[error("root user does not have root role")]
    RootRoleMissing,
    /// The user exists.
    #[error("user name already exists")]
    UserExists,
    /// Nobody is named, although somebody must be.
    #[error("user name is empty")]
    UserEmpty,
    /// There is no such user.
    #[error("user name not found")]
    UserNotFound,
    /// The role exists.
    #[error("role name already exists")]
    RoleExists,
    /// There is no such role.
    #[error("role name not found")]
    RoleNotFound,
    /// The name of a new role is empty.
    #[error("role name is empty")]
    RoleEmpty,
    /// Wrong name or password.
    #[error("authentication failed, invalid user ID or password")]
    Failed,
    /// A password was given for a user without one.
    #[error("authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// A permission is to be granted, and none is named.
    #[error("permission not given")]
    PermissionNotGiven,
    /// The user may not do that.
    #[error("permission denied")]
    Denied,
    /// The user does not have the role.
    #[error("role is not granted to the user")]
    RoleNotGranted,
    /// The role does not have the permission.
    #[error("permission is not granted to the role")]
    PermissionNotGranted,
    /// Authentication is off.
    #[error("authentication is not enabled")]
    NotEnabled,
    /// The rules have changed since the caller was recognized.
    #[error("revision of auth store is old")]
    OldRevision,
    /// The token is none, or has ended.
    #[error("invalid auth token")]
    InvalidToken,
    /// It would make the cluster unmanageable, or the range is none.
    #[error("invalid auth management")]
    InvalidManagement,
}

/// On whose behalf something is done, as recognized by the member that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Nobody has said who he is.
    #[default]
    Nobody,
    /// The cluster itself, or the program that a member is embedded in: everything is allowed. Never a client.
    Internal,
    /// A user.
    User {
        /// Its name.
        name: String,
        /// Revision of the rules when it was recognized.
        revision: u64,
    },
}

/// What an entry on behalf of [`Caller::Internal`] has for a revision: no user is ever recognized at it.
const INTERNAL_REVISION: u64 = u64::MAX;

impl Caller {
    /// Name and revision for the header of an entry.
    pub(crate) fn into_header(self) -> (String, u64) {
        match self {
            Self::Nobody => (String::new(), 0),
            Self::Internal => (String::new(), INTERNAL_REVISION),
            Self::User { name, revision } => (name, revision.min(INTERNAL_REVISION - 1)),
        }
    }

    /// Reverse of [`Self::into_header`].
    pub(crate) fn from_header(name: String, revision: u64) -> Self {
        match revision {
            0 if name.is_empty() => Self::Nobody,
            INTERNAL_REVISION => Self::Internal,
            _ => Self::User { name, revision },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_survive_the_header_and_no_user_becomes_internal() {
        let user = |name: &str, revision| Caller::User { name: name.into(), revision };
        for caller in [Caller::Nobody, Caller::Internal, user("a", 0), user("", 3), user("root", 7)] {
            let (name, revision) = caller.clone().into_header();
            assert_eq!(Caller::from_header(name, revision), caller);
        }
        let (name, revision) = user("mallory", u64::MAX).into_header();
        assert_eq!(Caller::from_header(name, revision), user("mallory", u64::MAX - 1));
    }

    #[test]
    fn secrets_are_in_no_debug_text() {
        let secret = "s3cret".to_owned();
        let add = AuthUserAddRequest {
            name: "n".into(),
            password: secret.clone(),
            hashed_password: secret.clone(),
            options: None,
        };
        let change = AuthUserChangePasswordRequest {
            name: "n".into(),
            password: secret.clone(),
            hashed_password: secret.clone(),
        };
        let login =
            InternalAuthenticateRequest { name: "n".into(), password: secret.clone(), simple_token: secret.clone() };
        let user = User { name: "n".into(), password: secret.clone().into(), ..Default::default() };
        let token = AuthOutcome::Token { token: secret, revision: 1 };
        for text in [
            format!("{:?}", crate::Command::Auth(AuthCommand::UserAdd(add))),
            format!("{:?}", AuthCommand::UserChangePassword(change)),
            format!("{:?}", AuthCommand::Authenticate(login)),
            format!("{user:?}"),
            format!("{token:?}"),
        ] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
