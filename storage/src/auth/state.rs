//! Users and roles as of one entry, and what a caller may do by them.
//!
//! The permissions of a user are put together when its roles change, not when it asks. Must never be changed in place: a command
//! makes a new state of it, so that readers keep the one they have.

use super::intervals::Intervals;
use bytes::Bytes;
use model::auth::{Permission, PermissionType, Role, User};
use model::{AuthRefusal, Caller, KeyRange};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The user that is always allowed everything, and the role that allows everything.
pub(super) const ROOT: &str = "root";

/// What somebody wants to do with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// See them.
    Read,
    /// Put or delete them.
    Write,
}

/// What a user may do, by all of its roles together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    read: Intervals,
    write: Intervals,
}

impl Allowed {
    fn by<'a>(permissions: impl Iterator<Item = &'a Permission> + Clone) -> Self {
        let of = |access: PermissionType| {
            let wanted =
                move |p: &&Permission| p.perm_type == access as i32 || p.perm_type == PermissionType::Readwrite as i32;
            let range = |p: &Permission| KeyRange::new(p.key.clone(), p.range_end.clone());
            Intervals::union(permissions.clone().filter(wanted).map(range))
        };
        Self { read: of(PermissionType::Read), write: of(PermissionType::Write) }
    }

    fn contains(&self, access: Access, range: &KeyRange) -> bool {
        match access {
            Access::Read => self.read.contains(range),
            Access::Write => self.write.contains(range),
        }
    }
}

/// A user and what it may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KnownUser {
    pub(super) row: User,
    allowed: Allowed,
}

impl KnownUser {
    pub(super) fn has_role(&self, role: &str) -> bool {
        self.row.roles.iter().any(|own| own == role)
    }
}

/// Users, roles, and whether they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthState {
    pub(super) enabled: bool,
    pub(super) revision: u64,
    pub(super) users: BTreeMap<String, Arc<KnownUser>>,
    pub(super) roles: BTreeMap<String, Arc<Role>>,
}

impl Default for AuthState {
    fn default() -> Self {
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl AuthState {
    /// From everything that is stored.
    pub fn new(enabled: bool, revision: u64, users: Vec<(String, User)>, roles: Vec<(String, Role)>) -> Self {
        let roles = roles.into_iter().map(|(name, role)| (name, Arc::new(role))).collect();
        let mut state = Self { enabled, revision, users: BTreeMap::new(), roles };
        for (name, user) in users {
            state.set_user(name, user);
        }
        state
    }

    /// Whether users and roles count.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Moves with every change of users, roles and permissions.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Puts a user, with what its roles allow as they are now.
    pub(super) fn set_user(&mut self, name: String, row: User) {
        let roles: Vec<_> = row.roles.iter().filter_map(|role| self.roles.get(role)).cloned().collect();
        let allowed = Allowed::by(roles.iter().flat_map(|role| &role.key_permission));
        self.users.insert(name, Arc::new(KnownUser { row, allowed }));
    }

    /// Puts a role, and what it allows to those who have it.
    pub(super) fn set_role(&mut self, name: String, role: Role) {
        self.roles.insert(name.clone(), Arc::new(role));
        let holders = self.users.iter().filter(|(_, user)| user.has_role(&name));
        let holders: Vec<_> = holders.map(|(name, user)| (name.clone(), user.row.clone())).collect();
        for (name, row) in holders {
            self.set_user(name, row);
        }
    }

    /// Whether a caller may do this with every key of a range.
    ///
    /// # Errors
    /// [`AuthRefusal::UserEmpty`], [`AuthRefusal::OldRevision`], [`AuthRefusal::Denied`].
    pub fn check(&self, caller: &Caller, access: Access, range: &KeyRange) -> Result<(), AuthRefusal> {
        let (name, revision) = match caller {
            _ if !self.enabled => return Ok(()),
            Caller::Internal => return Ok(()),
            Caller::Nobody | Caller::User { revision: 0, .. } => return Err(AuthRefusal::UserEmpty),
            Caller::User { name, revision } => (name, *revision),
        };
        if revision < self.revision {
            return Err(AuthRefusal::OldRevision);
        }
        let user = self.users.get(name).ok_or(AuthRefusal::Denied)?;
        match user.has_role(ROOT) || user.allowed.contains(access, range) {
            true => Ok(()),
            false => Err(AuthRefusal::Denied),
        }
    }

    /// Whether a caller may administrate. Does not compare revisions, as in etcd.
    ///
    /// # Errors
    /// [`AuthRefusal::UserEmpty`], [`AuthRefusal::UserNotFound`], [`AuthRefusal::Denied`].
    pub fn check_admin(&self, caller: &Caller) -> Result<(), AuthRefusal> {
        let name = match caller {
            _ if !self.enabled => return Ok(()),
            Caller::Internal => return Ok(()),
            Caller::Nobody => return Err(AuthRefusal::UserEmpty),
            Caller::User { name, .. } if name.is_empty() => return Err(AuthRefusal::UserEmpty),
            Caller::User { name, .. } => name,
        };
        let user = self.users.get(name).ok_or(AuthRefusal::UserNotFound)?;
        if user.has_role(ROOT) { Ok(()) } else { Err(AuthRefusal::Denied) }
    }

    /// Whether a caller has said who he is.
    ///
    /// # Errors
    /// [`AuthRefusal::UserEmpty`].
    pub fn check_known(&self, caller: &Caller) -> Result<(), AuthRefusal> {
        if self.enabled && *caller == Caller::Nobody { Err(AuthRefusal::UserEmpty) } else { Ok(()) }
    }

    /// The hash that the password of a user must match.
    ///
    /// # Errors
    /// [`AuthRefusal::NotEnabled`], [`AuthRefusal::Failed`] when there is no such user, [`AuthRefusal::NoPasswordUser`].
    pub fn password_hash(&self, name: &str) -> Result<Bytes, AuthRefusal> {
        if !self.enabled {
            return Err(AuthRefusal::NotEnabled);
        }
        let user = self.users.get(name).ok_or(AuthRefusal::Failed)?;
        if user.row.has_no_password() { Err(AuthRefusal::NoPasswordUser) } else { Ok(user.row.password.clone()) }
    }

    /// The user of a caller, if there is one.
    pub(super) fn user_of(&self, caller: &Caller) -> Option<&KnownUser> {
        match caller {
            Caller::User { name, .. } => self.users.get(name).map(Arc::as_ref),
            Caller::Nobody | Caller::Internal => None,
        }
    }
}
