//! Users and roles of the source are made at the destination. Must never remove one that is there.
//!
//! Passwords are not readable through the API: they come from a file, or users have none until somebody sets one.

use super::cluster::Cluster;
use super::passwords::Passwords;
use crate::client::Failure;
use crate::client::method::{
    AUTH_STATUS, ROLE_ADD, ROLE_GET, ROLE_GRANT_PERMISSION, ROLE_LIST, ROLE_REVOKE_PERMISSION, USER_ADD, USER_GET,
    USER_GRANT_ROLE, USER_LIST, USER_REVOKE_ROLE,
};
use api::authpb::UserAddOptions;
use api::etcdserverpb as pb;
use tonic::Code;

/// What was made.
#[derive(Debug, Default)]
pub struct Copied {
    /// Roles of the source.
    pub roles: usize,
    /// Users of the source.
    pub users: usize,
    /// Users that were made without a password.
    pub without_password: Vec<String>,
}

/// Copies roles, then users.
///
/// # Errors
/// What waiting does not mend.
pub async fn copy(source: &Cluster, destination: &Cluster, passwords: &Passwords) -> Result<Copied, Failure> {
    let mut copied = Copied::default();
    let (here, there) = (roles(source).await?, roles(destination).await?);
    for role in &here {
        copy_role(source, destination, role, there.contains(role)).await?;
    }
    copied.roles = here.len();
    let (here, there) = (users(source).await?, users(destination).await?);
    for user in &here {
        if !there.contains(user) {
            let password = passwords.of(user);
            if password.is_none() {
                copied.without_password.push(user.clone());
            }
            let request = pb::AuthUserAddRequest {
                name: user.clone(),
                password: password.unwrap_or_default().to_owned(),
                options: Some(UserAddOptions { no_password: password.is_none() }),
                ..Default::default()
            };
            let added = destination.ask::<_, pb::AuthUserAddResponse>(USER_ADD, request).await;
            done_before(added, "user name already exists")?;
        }
        copy_grants(source, destination, user).await?;
    }
    copied.users = here.len();
    Ok(copied)
}

/// Whether users count; none when the server does not tell (etcd before 3.5).
///
/// # Errors
/// What waiting does not mend.
pub async fn are_on(cluster: &Cluster) -> Result<Option<bool>, Failure> {
    let asked: Result<pb::AuthStatusResponse, _> = cluster.ask(AUTH_STATUS, pb::AuthStatusRequest {}).await;
    match asked {
        Ok(answer) => Ok(Some(answer.enabled)),
        Err(why) if why.code() == Some(Code::Unimplemented) => Ok(None),
        Err(why) => Err(why),
    }
}

async fn roles(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let answer: pb::AuthRoleListResponse = cluster.ask(ROLE_LIST, pb::AuthRoleListRequest {}).await?;
    Ok(answer.roles)
}

async fn users(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let answer: pb::AuthUserListResponse = cluster.ask(USER_LIST, pb::AuthUserListRequest {}).await?;
    Ok(answer.users)
}

async fn copy_role(source: &Cluster, destination: &Cluster, role: &str, there: bool) -> Result<(), Failure> {
    if !there {
        let added =
            destination.ask::<_, pb::AuthRoleAddResponse>(ROLE_ADD, pb::AuthRoleAddRequest { name: role.into() }).await;
        done_before(added, "role name already exists")?;
    }
    let get = || pb::AuthRoleGetRequest { role: role.to_owned() };
    let here: pb::AuthRoleGetResponse = source.ask(ROLE_GET, get()).await?;
    let there: pb::AuthRoleGetResponse = destination.ask(ROLE_GET, get()).await?;
    for old in there.perm.iter().filter(|old| !here.perm.contains(old)) {
        let (key, range_end) = (old.key.clone(), old.range_end.clone());
        let request = pb::AuthRoleRevokePermissionRequest { role: role.to_owned(), key, range_end };
        let revoked = destination.ask::<_, pb::AuthRoleRevokePermissionResponse>(ROLE_REVOKE_PERMISSION, request).await;
        done_before(revoked, "permission is not granted to the role")?;
    }
    for new in here.perm.iter().filter(|new| !there.perm.contains(new)) {
        let request = pb::AuthRoleGrantPermissionRequest { name: role.to_owned(), perm: Some(new.clone()) };
        let _: pb::AuthRoleGrantPermissionResponse = destination.ask(ROLE_GRANT_PERMISSION, request).await?;
    }
    Ok(())
}

async fn copy_grants(source: &Cluster, destination: &Cluster, user: &str) -> Result<(), Failure> {
    let get = || pb::AuthUserGetRequest { name: user.to_owned() };
    let here: pb::AuthUserGetResponse = source.ask(USER_GET, get()).await?;
    let there: pb::AuthUserGetResponse = destination.ask(USER_GET, get()).await?;
    for role in there.roles.iter().filter(|role| !here.roles.contains(role)) {
        let request = pb::AuthUserRevokeRoleRequest { name: user.to_owned(), role: role.clone() };
        let revoked = destination.ask::<_, pb::AuthUserRevokeRoleResponse>(USER_REVOKE_ROLE, request).await;
        done_before(revoked, "role is not granted to the user")?;
    }
    for role in here.roles.iter().filter(|role| !there.roles.contains(role)) {
        let request = pb::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.clone() };
        let _: pb::AuthUserGrantRoleResponse = destination.ask(USER_GRANT_ROLE, request).await?;
    }
    Ok(())
}

/// A change that was sent twice, because its first answer was lost, says that it is done already.
fn done_before<T>(answer: Result<T, Failure>, text: &str) -> Result<(), Failure> {
    match answer {
        Err(why) if !why.is(text) => Err(why),
        _ => Ok(()),
    }
}
