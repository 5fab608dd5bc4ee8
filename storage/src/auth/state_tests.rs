//! Random commands: the state that each makes of the one before is the state that its rows make, and what it allows is what a naive
//! look at all roles of a user allows.

use super::rows::{decode_role, decode_switch, decode_user};
use super::state::{Access, AuthState};
use crate::schema::meta;
use bytes::Bytes;
use model::auth::*;
use model::{AuthCommand, Caller, KeyRange};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The state as a start reads it.
fn read_back(rows: &BTreeMap<Bytes, Bytes>) -> AuthState {
    let (mut users, mut roles) = (Vec::new(), Vec::new());
    let mut switch = (false, 1);
    for (key, value) in rows {
        match key[..] {
            [meta::AUTH_USER, ..] => users.push(decode_user(key, value).expect("reads back")),
            [meta::AUTH_ROLE, ..] => roles.push(decode_role(key, value).expect("reads back")),
            _ => switch = decode_switch(value).expect("reads back"),
        }
    }
    AuthState::new(switch.0, switch.1, users, roles)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&["root", "a", "b", "c"][..]).prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(prop::sample::select(&b"abc"[..]), 1..3).prop_map(Bytes::from)
}

fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(Bytes::new()), Just(Bytes::from_static(&[0])), key()]
}

fn command() -> impl Strategy<Value = AuthCommand> {
    let add = |name| {
        AuthCommand::UserAdd(AuthUserAddRequest { name, hashed_password: "aGFzaA==".into(), ..Default::default() })
    };
    prop_oneof![
        1 => Just(AuthCommand::Enable(AuthEnableRequest {})),
        1 => Just(AuthCommand::Disable(AuthDisableRequest {})),
        4 => name().prop_map(add),
        1 => name().prop_map(|name| AuthCommand::UserDelete(AuthUserDeleteRequest { name })),
        6 => (name(), name())
            .prop_map(|(user, role)| AuthCommand::UserGrantRole(AuthUserGrantRoleRequest { user, role })),
        1 => (name(), name())
            .prop_map(|(name, role)| AuthCommand::UserRevokeRole(AuthUserRevokeRoleRequest { name, role })),
        4 => name().prop_map(|name| AuthCommand::RoleAdd(AuthRoleAddRequest { name })),
        1 => name().prop_map(|role| AuthCommand::RoleDelete(AuthRoleDeleteRequest { role })),
        8 => (name(), key(), end(), 0..3).prop_map(|(name, key, range_end, perm_type)| {
            let perm = Some(Permission { perm_type, key, range_end });
            AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest { name, perm })
        }),
        2 => (name(), key(), end()).prop_map(|(role, key, range_end)| {
            AuthCommand::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key, range_end })
        }),
    ]
}

/// Whether a user may do this with one key, by a look at everything.
fn naive(state: &AuthState, user: &str, access: Access, key: &[u8]) -> bool {
    let Some(known) = state.users.get(user) else { return false };
    let fits = |kind: i32| match access {
        Access::Read => kind != PermissionType::Write as i32,
        Access::Write => kind != PermissionType::Read as i32,
    };
    let allows = |p: &Permission| fits(p.perm_type) && KeyRange::new(p.key.clone(), p.range_end.clone()).contains(key);
    known
        .row
        .roles
        .iter()
        .any(|role| role == "root" || state.roles.get(role).is_some_and(|role| role.key_permission.iter().any(allows)))
}

proptest! {
    #[test]
    fn every_state_is_what_its_rows_make_and_allows_what_its_roles_say(
        commands in prop::collection::vec(command(), 1..40),
        asked in prop::collection::vec(key(), 1..8),
    ) {
        let mut state = AuthState::default();
        let mut rows = BTreeMap::new();
        for (index, command) in commands.iter().enumerate() {
            let Ok(change) = state.apply(&Caller::Internal, command, index as u64) else { continue };
            prop_assert_eq!(change.state.is_some(), !change.rows.is_empty());
            for (key, value) in change.rows {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
            if let Some(next) = change.state {
                prop_assert!(next.revision() >= state.revision());
                state = next;
            }
            prop_assert_eq!(&read_back(&rows), &state, "after {:?}", command);
        }
        let enabled = AuthState { enabled: true, ..state.clone() };
        for user in ["root", "a", "b", "nobody"] {
            let caller = Caller::User { name: user.into(), revision: enabled.revision() };
            for key in &asked {
                for access in [Access::Read, Access::Write] {
                    let allowed = enabled.check(&caller, access, &KeyRange::new(key.clone(), Bytes::new())).is_ok();
                    prop_assert_eq!(allowed, naive(&enabled, user, access, key), "{} {:?} {:?}", user, access, key);
                }
            }
        }
    }
}
