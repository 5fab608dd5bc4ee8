//! Users and roles. Must never keep a password for longer than its call.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::error::Error;
use crate::range;
use crate::transport::method;
use api::authpb::permission::Type;
use api::authpb::{Permission, UserAddOptions};
use api::etcdserverpb as pb;

/// What a role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Both.
    ReadWrite,
}

/// Users and roles of a cluster: [`Client::auth`].
#[derive(Clone)]
pub struct Auth(Client);

impl Client {
    /// Users and roles. Keys of permissions are within the client's namespace.
    pub fn auth(&self) -> Auth {
        Auth(self.clone())
    }
}

impl Auth {
    /// Makes users count. A user `root` with the role `root` must be there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn enable(&self) -> Result<(), Error> {
        let _: pb::AuthEnableResponse = self.0.call(method::AUTH_ENABLE, pb::AuthEnableRequest {}).await?;
        Ok(())
    }

    /// Lets everybody do everything.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn disable(&self) -> Result<(), Error> {
        let _: pb::AuthDisableResponse = self.0.call(method::AUTH_DISABLE, pb::AuthDisableRequest {}).await?;
        Ok(())
    }

    /// Adds a user; without a password one that shows a certificate.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_user(&self, name: &str, password: Option<&str>) -> Result<(), Error> {
        let options = Some(UserAddOptions { no_password: password.is_none() });
        let password = password.unwrap_or_default().to_owned();
        let request = pb::AuthUserAddRequest { name: name.to_owned(), password, options, ..Default::default() };
        let _: pb::AuthUserAddResponse = self.0.call(method::USER_ADD, request).await?;
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let request = pb::AuthUserDeleteRequest { name: name.to_owned() };
        let _: pb::AuthUserDeleteResponse = self.0.call(method::USER_DELETE, request).await?;
        Ok(())
    }

    /// Gives a user a role.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn grant_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = pb::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() };
        let _: pb::AuthUserGrantRoleResponse = self.0.call(method::USER_GRANT_ROLE, request).await?;
        Ok(())
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = pb::AuthUserRevokeRoleRequest { name: user.to_owned(), role: role.to_owned() };
        let _: pb::AuthUserRevokeRoleResponse = self.0.call(method::USER_REVOKE_ROLE, request).await?;
        Ok(())
    }

    /// Adds a role that may do nothing yet.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_role(&self, name: &str) -> Result<(), Error> {
        let request = pb::AuthRoleAddRequest { name: name.to_owned() };
        let _: pb::AuthRoleAddResponse = self.0.call(method::ROLE_ADD, request).await?;
        Ok(())
    }

    /// Removes a role.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_role(&self, name: &str) -> Result<(), Error> {
        let request = pb::AuthRoleDeleteRequest { role: name.to_owned() };
        let _: pb::AuthRoleDeleteResponse = self.0.call(method::ROLE_DELETE, request).await?;
        Ok(())
    }

    /// Lets a role read or write all keys that begin with a prefix.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn allow(&self, role: &str, access: Access, prefix: impl IntoBytes) -> Result<(), Error> {
        let (mut key, mut range_end) = range::prefix(&prefix.into_bytes());
        self.0.space.enter(&mut key, &mut range_end);
        let perm_type = match access {
            Access::Read => Type::Read,
            Access::Write => Type::Write,
            Access::ReadWrite => Type::Readwrite,
        };
        let perm = Some(Permission { perm_type: perm_type.into(), key, range_end });
        let request = pb::AuthRoleGrantPermissionRequest { name: role.to_owned(), perm };
        let _: pb::AuthRoleGrantPermissionResponse = self.0.call(method::ROLE_GRANT_PERMISSION, request).await?;
        Ok(())
    }
}
