//! Users and roles by a second hand: what commands about them lead to while they do not count, by etcd's rules.
//!
//! Must never look at what the store under test has made of them.

use bytes::Bytes;
use model::auth::{Permission, Role, User, UserAddOptions};
use model::{AuthCommand, AuthOutcome, AuthRefusal};
use std::collections::{BTreeMap, BTreeSet};
use storage::auth::AuthState;

/// See the file header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    revision: u64,
    /// Users and the roles of each.
    users: BTreeMap<String, BTreeSet<String>>,
    /// Roles, and what each allows with which single keys.
    roles: BTreeMap<String, BTreeMap<Bytes, i32>>,
}

impl Default for Users {
    fn default() -> Self {
        Self { revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl Users {
    /// What the store should hold.
    pub fn state(&self) -> AuthState {
        let user = |(name, roles): (&String, &BTreeSet<String>)| {
            let options = Some(UserAddOptions { no_password: true });
            let roles = roles.iter().cloned().collect();
            (name.clone(), User { name: name.clone().into(), password: Bytes::new(), roles, options })
        };
        let role = |(name, keys): (&String, &BTreeMap<Bytes, i32>)| {
            let permission = |(key, kind): (&Bytes, &i32)| Permission {
                perm_type: *kind,
                key: key.clone(),
                range_end: Bytes::new(),
            };
            (name.clone(), Role { name: name.clone().into(), key_permission: keys.iter().map(permission).collect() })
        };
        let (users, roles) = (self.users.iter().map(user).collect(), self.roles.iter().map(role).collect());
        AuthState::new(false, self.revision, users, roles)
    }

    /// Carries out a command, one of those that simulated clients give.
    ///
    /// # Errors
    /// Why it has no effect.
    ///
    /// # Panics
    /// When it is another one.
    pub fn run(&mut self, command: &AuthCommand) -> Result<AuthOutcome, AuthRefusal> {
        match command {
            AuthCommand::UserList(_) => return Ok(AuthOutcome::Names(self.users.keys().cloned().collect())),
            AuthCommand::UserAdd(request) if self.users.contains_key(&request.name) => {
                return Err(AuthRefusal::UserExists);
            }
            AuthCommand::UserAdd(request) => drop(self.users.insert(request.name.clone(), BTreeSet::new())),
            AuthCommand::UserDelete(request) => {
                self.users.remove(&request.name).ok_or(AuthRefusal::UserNotFound)?;
            }
            AuthCommand::UserGrantRole(request) => {
                let roles = self.users.get_mut(&request.user).ok_or(AuthRefusal::UserNotFound)?;
                if !self.roles.contains_key(&request.role) {
                    return Err(AuthRefusal::RoleNotFound);
                }
                if !roles.insert(request.role.clone()) {
                    // nothing changes, and nothing is counted
                    return Ok(AuthOutcome::Done);
                }
            }
            AuthCommand::UserRevokeRole(request) => {
                let roles = self.users.get_mut(&request.name).ok_or(AuthRefusal::UserNotFound)?;
                if !roles.remove(&request.role) {
                    return Err(AuthRefusal::RoleNotGranted);
                }
            }
            AuthCommand::RoleAdd(request) if self.roles.contains_key(&request.name) => {
                return Err(AuthRefusal::RoleExists);
            }
            AuthCommand::RoleAdd(request) => drop(self.roles.insert(request.name.clone(), BTreeMap::new())),
            AuthCommand::RoleDelete(request) => {
                self.roles.remove(&request.role).ok_or(AuthRefusal::RoleNotFound)?;
                for roles in self.users.values_mut() {
                    roles.remove(&request.role);
                }
            }
            AuthCommand::RoleGrantPermission(request) => {
                let permission = request.perm.as_ref().expect("clients name one");
                let keys = self.roles.get_mut(&request.name).ok_or(AuthRefusal::RoleNotFound)?;
                // counted each time: what makes an entry that is carried out twice show
                keys.insert(permission.key.clone(), permission.perm_type);
            }
            AuthCommand::RoleRevokePermission(request) => {
                let keys = self.roles.get_mut(&request.role).ok_or(AuthRefusal::RoleNotFound)?;
                keys.remove(&request.key).ok_or(AuthRefusal::PermissionNotGranted)?;
            }
            other => panic!("no simulated client sends {other:?}"),
        }
        self.revision += 1;
        Ok(AuthOutcome::Done)
    }
}
