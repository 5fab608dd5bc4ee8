//! What commands do to users and roles: etcd's rules and refusals, in its order.
//!
//! A command either makes a new state with the rows for it, or has no effect at all. Must never depend on anything but the state,
//! the command, its caller and its index in the log.

use super::rows::{self, Row};
use super::state::{AuthState, ROOT};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::auth::{
    AuthCommand, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, InternalAuthenticateRequest,
    Permission, PermissionType, Role, User,
};
use model::{AuthOutcome, AuthRefusal, Caller, KeyRange};
use std::sync::Arc;

/// What a command does to the tokens that members hold in memory.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenChange {
    /// A user was given one.
    Given {
        /// The user.
        user: String,
        /// The token.
        token: String,
    },
    /// Those of a user end.
    UserEnded {
        /// The user.
        user: String,
    },
    /// All end.
    AllEnded,
}

impl std::fmt::Debug for TokenChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given { user, .. } => write!(f, "Given({user:?}, ..)"),
            Self::UserEnded { user } => write!(f, "UserEnded({user:?})"),
            Self::AllEnded => f.write_str("AllEnded"),
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthChange {
    /// The answer.
    pub outcome: AuthOutcome,
    /// The state from now on; `None` when it stays.
    pub state: Option<AuthState>,
    /// Rows to write.
    pub rows: Vec<Row>,
    /// What becomes of tokens.
    pub tokens: Option<TokenChange>,
}

/// An answer without an effect.
fn only(outcome: AuthOutcome) -> Result<AuthChange, AuthRefusal> {
    Ok(AuthChange { outcome, state: None, rows: Vec::new(), tokens: None })
}

/// The state on its way to the next one.
struct AuthUpdate {
    state: AuthState,
    rows: Vec<Row>,
    tokens: Option<TokenChange>,
}

impl AuthUpdate {
    fn of(state: &AuthState) -> Self {
        Self { state: state.clone(), rows: Vec::new(), tokens: None }
    }

    fn user(&mut self, name: &str, user: User) {
        self.rows.push(rows::user(name, Some(&user)));
        self.state.set_user(name.into(), user);
    }

    fn role(&mut self, name: &str, role: Role) {
        self.rows.push(rows::role(name, Some(&role)));
        self.state.set_role(name.into(), role);
    }

    /// The next state, at the next revision.
    fn done(mut self) -> Result<AuthChange, AuthRefusal> {
        self.state.revision += 1;
        self.switched()
    }

    /// The next state, at the same revision.
    fn switched(mut self) -> Result<AuthChange, AuthRefusal> {
        self.rows.push(rows::switch(self.state.enabled, self.state.revision));
        let Self { state, rows, tokens } = self;
        Ok(AuthChange { outcome: AuthOutcome::Done, state: Some(state), rows, tokens })
    }
}

/// The hash that a request carries.
fn hash_of(password: &str, hashed: &str) -> Result<Bytes, AuthRefusal> {
    // hashed here it would come out differently on every member
    if hashed.is_empty() && !password.is_empty() {
        return Err(AuthRefusal::NoPasswordUser);
    }
    STANDARD.decode(hashed).map(Bytes::from).map_err(|_| AuthRefusal::NoPasswordUser)
}

/// Whether a permission for the range means anything.
fn is_grantable(permission: &Permission) -> bool {
    let range = KeyRange::new(permission.key.clone(), permission.range_end.clone());
    !range.key.is_empty() && !range.is_empty()
}

impl AuthState {
    /// Whether a caller may give a command.
    ///
    /// # Errors
    /// Those of [`Self::check_admin`].
    pub fn check_command(&self, caller: &Caller, command: &AuthCommand) -> Result<(), AuthRefusal> {
        let name = if let Caller::User { name, .. } = caller { name } else { "" };
        match command {
            AuthCommand::Status(_) | AuthCommand::Authenticate(_) => Ok(()),
            // everybody may look at himself and at his roles
            AuthCommand::UserGet(get) if get.name == name => Ok(()),
            AuthCommand::RoleGet(get) if self.user_of(caller).is_some_and(|user| user.has_role(&get.role)) => Ok(()),
            _ => self.check_admin(caller),
        }
    }

    /// What a command does. Whether its caller may give it was checked before.
    ///
    /// # Errors
    /// [`AuthRefusal`]: it has no effect.
    pub fn apply(&self, caller: &Caller, command: &AuthCommand, index: u64) -> Result<AuthChange, AuthRefusal> {
        match command {
            AuthCommand::Enable(_) => self.enable(),
            AuthCommand::Disable(_) => self.disable(),
            AuthCommand::Status(_) => only(AuthOutcome::Status { enabled: self.enabled, revision: self.revision }),
            AuthCommand::Authenticate(request) => self.authenticate(caller, request, index),
            AuthCommand::UserAdd(request) => self.user_add(request),
            AuthCommand::UserGet(request) => {
                let user = self.users.get(&request.name).ok_or(AuthRefusal::UserNotFound)?;
                only(AuthOutcome::Names(user.row.roles.clone()))
            }
            AuthCommand::UserList(_) => only(AuthOutcome::Names(self.users.keys().cloned().collect())),
            AuthCommand::UserDelete(request) => self.user_delete(&request.name),
            AuthCommand::UserChangePassword(request) => self.user_change_password(request),
            AuthCommand::UserGrantRole(request) => self.user_grant_role(request),
            AuthCommand::UserRevokeRole(request) => self.user_revoke_role(request),
            AuthCommand::RoleAdd(request) => self.role_add(&request.name),
            AuthCommand::RoleGet(request) => self.role_get(&request.role),
            AuthCommand::RoleList(_) => only(AuthOutcome::Names(self.roles.keys().cloned().collect())),
            AuthCommand::RoleDelete(request) => self.role_delete(&request.role),
            AuthCommand::RoleGrantPermission(request) => self.role_grant_permission(request),
            AuthCommand::RoleRevokePermission(request) => self.role_revoke_permission(request),
        }
    }

    fn user(&self, name: &str) -> Result<User, AuthRefusal> {
        self.users.get(name).map(|user| user.row.clone()).ok_or(AuthRefusal::UserNotFound)
    }

    fn role(&self, name: &str) -> Result<Role, AuthRefusal> {
        self.roles.get(name).map(|role| Role::clone(role)).ok_or(AuthRefusal::RoleNotFound)
    }

    fn enable(&self) -> Result<AuthChange, AuthRefusal> {
        if self.enabled {
            return only(AuthOutcome::Done);
        }
        let root = self.users.get(ROOT).ok_or(AuthRefusal::RootUserMissing)?;
        if !root.has_role(ROOT) {
            return Err(AuthRefusal::RootRoleMissing);
        }
        let mut next = AuthUpdate::of(self);
        next.state.enabled = true;
        next.switched()
    }

    fn disable(&self) -> Result<AuthChange, AuthRefusal> {
        if !self.enabled {
            return only(AuthOutcome::Done);
        }
        let mut next = AuthUpdate::of(self);
        next.state.enabled = false;
        next.tokens = Some(TokenChange::AllEnded);
        next.done()
    }

    /// The password was checked by the member that was asked, at the revision that stands with the caller. If the rules have changed
    /// since, that may have been an old password, and no token is given.
    fn authenticate(
        &self,
        caller: &Caller,
        request: &InternalAuthenticateRequest,
        index: u64,
    ) -> Result<AuthChange, AuthRefusal> {
        if !self.enabled {
            return Err(AuthRefusal::NotEnabled);
        }
        let user = self.users.get(&request.name).ok_or(AuthRefusal::Failed)?;
        if user.row.has_no_password() {
            return Err(AuthRefusal::Failed);
        }
        if matches!(caller, Caller::User { revision, .. } if *revision != self.revision) {
            return Err(AuthRefusal::OldRevision);
        }
        let token = match request.simple_token.is_empty() {
            true => String::new(),
            false => format!("{}.{index}", request.simple_token),
        };
        let given = || TokenChange::Given { user: request.name.clone(), token: token.clone() };
        Ok(AuthChange {
            tokens: (!token.is_empty()).then(given),
            outcome: AuthOutcome::Token { token, revision: self.revision },
            state: None,
            rows: Vec::new(),
        })
    }

    fn user_add(&self, request: &AuthUserAddRequest) -> Result<AuthChange, AuthRefusal> {
        if request.name.is_empty() {
            return Err(AuthRefusal::UserEmpty);
        }
        if self.users.contains_key(&request.name) {
            return Err(AuthRefusal::UserExists);
        }
        let options = request.options.unwrap_or_default();
        let password = match options.no_password {
            true => Bytes::new(),
            false => hash_of(&request.password, &request.hashed_password)?,
        };
        let name = request.name.clone().into();
        let mut next = AuthUpdate::of(self);
        next.user(&request.name, User { name, password, roles: Vec::new(), options: Some(options) });
        next.done()
    }

    fn user_delete(&self, name: &str) -> Result<AuthChange, AuthRefusal> {
        if self.enabled && name == ROOT {
            return Err(AuthRefusal::InvalidManagement);
        }
        self.user(name)?;
        let mut next = AuthUpdate::of(self);
        next.state.users.remove(name);
        next.rows.push(rows::user(name, None));
        next.tokens = Some(TokenChange::UserEnded { user: name.into() });
        next.done()
    }

    fn user_change_password(&self, request: &AuthUserChangePasswordRequest) -> Result<AuthChange, AuthRefusal> {
        let user = self.user(&request.name)?;
        let password = match user.has_no_password() {
            true => Bytes::new(),
            false => hash_of(&request.password, &request.hashed_password)?,
        };
        let mut next = AuthUpdate::of(self);
        next.user(&request.name, User { password, ..user });
        next.tokens = Some(TokenChange::UserEnded { user: request.name.clone() });
        next.done()
    }

    fn user_grant_role(&self, request: &AuthUserGrantRoleRequest) -> Result<AuthChange, AuthRefusal> {
        let mut user = self.user(&request.user)?;
        // root need not exist as a role
        if request.role != ROOT {
            self.role(&request.role)?;
        }
        let Err(at) = user.roles.binary_search(&request.role) else { return only(AuthOutcome::Done) };
        user.roles.insert(at, request.role.clone());
        let mut next = AuthUpdate::of(self);
        next.user(&request.user, user);
        next.done()
    }

    fn user_revoke_role(&self, request: &AuthUserRevokeRoleRequest) -> Result<AuthChange, AuthRefusal> {
        if self.enabled && request.name == ROOT && request.role == ROOT {
            return Err(AuthRefusal::InvalidManagement);
        }
        let mut user = self.user(&request.name)?;
        let before = user.roles.len();
        user.roles.retain(|role| *role != request.role);
        if user.roles.len() == before {
            return Err(AuthRefusal::RoleNotGranted);
        }
        let mut next = AuthUpdate::of(self);
        next.user(&request.name, user);
        next.done()
    }

    fn role_add(&self, name: &str) -> Result<AuthChange, AuthRefusal> {
        if name.is_empty() {
            return Err(AuthRefusal::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(AuthRefusal::RoleExists);
        }
        let mut next = AuthUpdate::of(self);
        next.role(name, Role { name: name.to_owned().into(), key_permission: Vec::new() });
        next.done()
    }

    fn role_get(&self, name: &str) -> Result<AuthChange, AuthRefusal> {
        let role = self.role(name)?;
        let everything = Permission {
            perm_type: PermissionType::Readwrite as i32,
            key: Bytes::new(),
            range_end: Bytes::from_static(&[0]),
        };
        let permissions = if name == ROOT { vec![everything] } else { role.key_permission };
        only(AuthOutcome::Permissions(permissions))
    }

    fn role_delete(&self, name: &str) -> Result<AuthChange, AuthRefusal> {
        if self.enabled && name == ROOT {
            return Err(AuthRefusal::InvalidManagement);
        }
        self.role(name)?;
        let mut next = AuthUpdate::of(self);
        next.state.roles.remove(name);
        next.rows.push(rows::role(name, None));
        let holders = self.users.iter().filter(|(_, user)| user.has_role(name));
        for (holder, user) in holders {
            let mut user = User::clone(&Arc::as_ref(user).row);
            user.roles.retain(|role| role != name);
            next.user(holder, user);
        }
        next.done()
    }

    fn role_grant_permission(&self, request: &AuthRoleGrantPermissionRequest) -> Result<AuthChange, AuthRefusal> {
        let permission = request.perm.as_ref().ok_or(AuthRefusal::PermissionNotGiven)?;
        if !is_grantable(permission) {
            return Err(AuthRefusal::InvalidManagement);
        }
        let mut role = self.role(&request.name)?;
        let same = |p: &&mut Permission| p.key == permission.key && p.range_end == permission.range_end;
        match role.key_permission.iter_mut().find(same) {
            Some(granted) => granted.perm_type = permission.perm_type,
            None => {
                let at = role.key_permission.partition_point(|p| p.key <= permission.key);
                role.key_permission.insert(at, permission.clone());
            }
        }
        let mut next = AuthUpdate::of(self);
        next.role(&request.name, role);
        next.done()
    }

    fn role_revoke_permission(&self, request: &AuthRoleRevokePermissionRequest) -> Result<AuthChange, AuthRefusal> {
        let mut role = self.role(&request.role)?;
        let before = role.key_permission.len();
        role.key_permission.retain(|p| p.key != request.key || p.range_end != request.range_end);
        if role.key_permission.len() == before {
            return Err(AuthRefusal::PermissionNotGranted);
        }
        let mut next = AuthUpdate::of(self);
        next.role(&request.role, role);
        next.done()
    }
}
