//! The rules one by one, with etcd's refusals.

use super::commands::{AuthChange, TokenChange};
use super::state::{Access, AuthState};
use model::auth::*;
use model::{AuthCommand, AuthOutcome, AuthRefusal, Caller, KeyRange};

/// A state that commands are given to by nobody.
#[derive(Default)]
struct Users(AuthState);

fn hashed(name: &str) -> AuthUserAddRequest {
    AuthUserAddRequest { name: name.into(), hashed_password: "aGFzaA==".into(), ..Default::default() }
}

fn user(name: &str, revision: u64) -> Caller {
    Caller::User { name: name.into(), revision }
}

fn range(key: &str, end: &str) -> KeyRange {
    KeyRange::new(key.to_owned().into(), end.to_owned().into())
}

impl Users {
    fn give(&mut self, command: AuthCommand) -> Result<AuthChange, AuthRefusal> {
        let change = self.0.apply(&Caller::Nobody, &command, 9)?;
        if let Some(state) = change.state.clone() {
            self.0 = state;
        }
        Ok(change)
    }

    fn ok(&mut self, command: AuthCommand) -> AuthChange {
        self.give(command.clone()).unwrap_or_else(|why| panic!("{command:?}: {why}"))
    }

    fn refused(&mut self, command: AuthCommand) -> AuthRefusal {
        let before = self.0.clone();
        let why = self.give(command.clone()).map(|change| change.outcome).expect_err("refused");
        assert_eq!(before, self.0, "{command:?} is refused and has an effect");
        why
    }

    fn add(&mut self, name: &str) {
        self.ok(AuthCommand::UserAdd(hashed(name)));
    }

    fn grant(&mut self, user: &str, role: &str) {
        self.ok(grant(user, role));
    }

    fn permit(&mut self, role: &str, kind: PermissionType, key: &str, end: &str) {
        self.ok(permit(role, kind, key, end));
    }

    /// With authentication on: root, and alice who may read and write `a` to `c`.
    fn enabled() -> Self {
        let mut users = Self::default();
        users.add("root");
        users.grant("root", "root");
        users.add("alice");
        users.ok(role_add("r"));
        users.grant("alice", "r");
        users.permit("r", PermissionType::Readwrite, "a", "c");
        users.ok(AuthCommand::Enable(AuthEnableRequest {}));
        users
    }

    fn names(&mut self, command: AuthCommand) -> Vec<String> {
        match self.ok(command).outcome {
            AuthOutcome::Names(names) => names,
            other => panic!("no names: {other:?}"),
        }
    }
}

fn role_add(name: &str) -> AuthCommand {
    AuthCommand::RoleAdd(AuthRoleAddRequest { name: name.into() })
}

fn role_delete(role: &str) -> AuthCommand {
    AuthCommand::RoleDelete(AuthRoleDeleteRequest { role: role.into() })
}

fn user_delete(name: &str) -> AuthCommand {
    AuthCommand::UserDelete(AuthUserDeleteRequest { name: name.into() })
}

fn grant(user: &str, role: &str) -> AuthCommand {
    AuthCommand::UserGrantRole(AuthUserGrantRoleRequest { user: user.into(), role: role.into() })
}

fn revoke(name: &str, role: &str) -> AuthCommand {
    AuthCommand::UserRevokeRole(AuthUserRevokeRoleRequest { name: name.into(), role: role.into() })
}

fn permit(role: &str, kind: PermissionType, key: &str, end: &str) -> AuthCommand {
    let range_end = end.to_owned().into();
    let perm = Some(Permission { perm_type: kind as i32, key: key.to_owned().into(), range_end });
    AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: role.into(), perm })
}

fn forbid(role: &str, key: &str, end: &str) -> AuthCommand {
    let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
    AuthCommand::RoleRevokePermission(AuthRoleRevokePermissionRequest { role: role.into(), key, range_end })
}

fn permissions(users: &mut Users, role: &str) -> Vec<(String, String, i32)> {
    let get = AuthCommand::RoleGet(AuthRoleGetRequest { role: role.into() });
    let AuthOutcome::Permissions(all) = users.ok(get).outcome else { panic!("no permissions") };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    all.iter().map(|p| (text(&p.key), text(&p.range_end), p.perm_type)).collect()
}

#[test]
fn authentication_needs_a_root_user_with_the_root_role() {
    let mut users = Users::default();
    let enable = || AuthCommand::Enable(AuthEnableRequest {});
    assert_eq!(users.refused(enable()), AuthRefusal::RootUserMissing);
    users.add("root");
    assert_eq!(users.refused(enable()), AuthRefusal::RootRoleMissing);
    // the role itself need not exist
    users.grant("root", "root");
    let revision = users.0.revision();
    users.ok(enable());
    assert!(users.0.enabled());
    assert_eq!(users.0.revision(), revision, "turning it on moves nothing");
    assert_eq!(users.ok(enable()).state, None, "twice is once");
}

#[test]
fn turning_it_off_moves_the_revision_once_and_ends_all_tokens() {
    let mut users = Users::enabled();
    let revision = users.0.revision();
    let change = users.ok(AuthCommand::Disable(AuthDisableRequest {}));
    assert_eq!((change.tokens, users.0.revision()), (Some(TokenChange::AllEnded), revision + 1));
    let again = users.ok(AuthCommand::Disable(AuthDisableRequest {}));
    assert_eq!((again.state, again.tokens), (None, None));
}

#[test]
fn a_new_store_has_revision_one_and_each_change_moves_it_by_one() {
    let mut users = Users::default();
    assert_eq!(users.0.revision(), 1);
    let commands = [
        AuthCommand::UserAdd(hashed("a")),
        role_add("r"),
        grant("a", "r"),
        permit("r", PermissionType::Read, "k", ""),
        forbid("r", "k", ""),
        revoke("a", "r"),
        AuthCommand::UserChangePassword(AuthUserChangePasswordRequest { name: "a".into(), ..Default::default() }),
        role_delete("r"),
        user_delete("a"),
    ];
    for (n, command) in commands.into_iter().enumerate() {
        users.ok(command);
        assert_eq!(users.0.revision(), n as u64 + 2);
    }
    let revision = users.0.revision();
    users.names(AuthCommand::UserList(AuthUserListRequest {}));
    assert_eq!(users.0.revision(), revision, "questions move nothing");
}

#[test]
fn users_are_added_once_under_a_name() {
    let mut users = Users::default();
    assert_eq!(users.refused(AuthCommand::UserAdd(hashed(""))), AuthRefusal::UserEmpty);
    users.add("a");
    assert_eq!(users.refused(AuthCommand::UserAdd(hashed("a"))), AuthRefusal::UserExists);
    assert_eq!(users.refused(user_delete("b")), AuthRefusal::UserNotFound);
    let get = |name: &str| AuthCommand::UserGet(AuthUserGetRequest { name: name.into() });
    assert_eq!(users.refused(get("b")), AuthRefusal::UserNotFound);
    assert_eq!(users.names(get("a")), Vec::<String>::new());
    users.add("0");
    assert_eq!(users.names(AuthCommand::UserList(AuthUserListRequest {})), ["0", "a"]);
}

#[test]
fn what_is_no_hash_is_refused_and_a_plain_password_is_never_hashed_here() {
    let mut users = Users::default();
    let bad = AuthUserAddRequest { hashed_password: "no base64!".into(), ..hashed("a") };
    assert_eq!(users.refused(AuthCommand::UserAdd(bad)), AuthRefusal::NoPasswordUser);
    let plain = AuthUserAddRequest { name: "a".into(), password: "p".into(), ..Default::default() };
    assert_eq!(users.refused(AuthCommand::UserAdd(plain)), AuthRefusal::NoPasswordUser);
}

#[test]
fn a_user_without_password_gets_none_by_a_change() {
    let mut users = Users::enabled();
    let options = Some(UserAddOptions { no_password: true });
    users.ok(AuthCommand::UserAdd(AuthUserAddRequest { options, ..hashed("cert") }));
    let change =
        AuthUserChangePasswordRequest { name: "cert".into(), hashed_password: "aGFzaA==".into(), ..Default::default() };
    users.ok(AuthCommand::UserChangePassword(change));
    assert_eq!(users.0.password_hash("cert"), Err(AuthRefusal::NoPasswordUser));
    assert_eq!(users.0.password_hash("nobody"), Err(AuthRefusal::Failed));
    assert_eq!(users.0.password_hash("alice").as_deref(), Ok(&b"hash"[..]));
    users.ok(AuthCommand::Disable(AuthDisableRequest {}));
    assert_eq!(users.0.password_hash("alice"), Err(AuthRefusal::NotEnabled));
}

#[test]
fn roles_are_granted_once_and_taken_once() {
    let mut users = Users::default();
    users.add("a");
    assert_eq!(users.refused(grant("a", "r")), AuthRefusal::RoleNotFound);
    assert_eq!(users.refused(grant("b", "r")), AuthRefusal::UserNotFound);
    assert_eq!(users.refused(role_add("")), AuthRefusal::RoleEmpty);
    users.ok(role_add("r"));
    assert_eq!(users.refused(role_add("r")), AuthRefusal::RoleExists);
    users.grant("a", "r");
    assert_eq!(users.ok(grant("a", "r")).state, None, "a duplicate moves nothing");
    users.ok(role_add("q"));
    users.grant("a", "q");
    let get = || AuthCommand::UserGet(AuthUserGetRequest { name: "a".into() });
    assert_eq!(users.names(get()), ["q", "r"]);
    users.ok(revoke("a", "r"));
    assert_eq!(users.refused(revoke("a", "r")), AuthRefusal::RoleNotGranted);
    assert_eq!(users.refused(revoke("b", "r")), AuthRefusal::UserNotFound);
    users.ok(role_delete("q"));
    assert_eq!(users.refused(role_delete("q")), AuthRefusal::RoleNotFound);
    assert_eq!(users.names(get()), Vec::<String>::new(), "a role that is gone is nobody's");
    assert_eq!(users.names(AuthCommand::RoleList(AuthRoleListRequest {})), ["r"]);
}

#[test]
fn root_cannot_be_lost_while_authentication_is_on() {
    let mut users = Users::enabled();
    users.ok(role_add("root"));
    for command in [user_delete("root"), role_delete("root"), revoke("root", "root")] {
        assert_eq!(users.refused(command), AuthRefusal::InvalidManagement);
    }
    users.ok(AuthCommand::Disable(AuthDisableRequest {}));
    for command in [revoke("root", "root"), role_delete("root"), user_delete("root")] {
        users.ok(command);
    }
}

#[test]
fn permissions_are_kept_by_range_and_replaced_by_the_same_range() {
    use PermissionType::{Read, Readwrite, Write};
    let mut users = Users::default();
    assert_eq!(users.refused(permit("r", Read, "a", "")), AuthRefusal::RoleNotFound);
    users.ok(role_add("r"));
    for (key, end) in [("", ""), ("", "b"), ("b", "a"), ("b", "b")] {
        assert_eq!(users.refused(permit("r", Read, key, end)), AuthRefusal::InvalidManagement, "{key}..{end}");
    }
    let none = AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: "r".into(), perm: None });
    assert_eq!(users.refused(none), AuthRefusal::PermissionNotGiven);
    for (kind, key, end) in [(Read, "b", ""), (Write, "a", "c"), (Read, "a", ""), (Readwrite, "a", "\0")] {
        users.permit("r", kind, key, end);
    }
    let text = |key: &str, end: &str, kind: PermissionType| (key.to_owned(), end.to_owned(), kind as i32);
    let all = [text("a", "c", Write), text("a", "", Read), text("a", "\0", Readwrite), text("b", "", Read)];
    assert_eq!(permissions(&mut users, "r"), all);
    // not only the first one with that key
    users.permit("r", Read, "a", "\0");
    assert_eq!(permissions(&mut users, "r")[2], text("a", "\0", Read));
    users.ok(forbid("r", "a", ""));
    assert_eq!(users.refused(forbid("r", "a", "")), AuthRefusal::PermissionNotGranted);
    assert_eq!(users.refused(forbid("q", "a", "")), AuthRefusal::RoleNotFound);
    assert_eq!(permissions(&mut users, "r").len(), 3);
    users.ok(role_add("root"));
    assert_eq!(permissions(&mut users, "root"), [text("", "\0", Readwrite)]);
}

#[test]
fn a_token_is_given_at_the_revision_of_the_check_alone() {
    let mut users = Users::enabled();
    let login = |simple_token: &str, name: &str| {
        AuthCommand::Authenticate(InternalAuthenticateRequest {
            name: name.into(),
            simple_token: simple_token.into(),
            ..Default::default()
        })
    };
    let checked = user("alice", users.0.revision());
    let change = users.0.apply(&checked, &login("secret", "alice"), 17).expect("given");
    let token = "secret.17".to_owned();
    assert_eq!(change.tokens, Some(TokenChange::Given { user: "alice".into(), token: token.clone() }));
    assert_eq!(change.outcome, AuthOutcome::Token { token, revision: users.0.revision() });
    assert_eq!(change.state, None);
    let signed = users.0.apply(&checked, &login("", "alice"), 17).expect("given");
    assert_eq!(signed.tokens, None, "the asked member signs one");
    users.ok(role_add("q"));
    assert_eq!(users.0.apply(&checked, &login("secret", "alice"), 18), Err(AuthRefusal::OldRevision));
    assert_eq!(users.refused(login("s", "nobody")), AuthRefusal::Failed);
    users.ok(AuthCommand::Disable(AuthDisableRequest {}));
    assert_eq!(users.refused(login("s", "alice")), AuthRefusal::NotEnabled);
}

#[test]
fn changing_or_deleting_a_user_ends_its_tokens_and_deleting_a_role_does_not() {
    let mut users = Users::enabled();
    let ended = || Some(TokenChange::UserEnded { user: "alice".into() });
    let change = AuthUserChangePasswordRequest { name: "alice".into(), ..Default::default() };
    assert_eq!(users.ok(AuthCommand::UserChangePassword(change)).tokens, ended());
    assert_eq!(users.ok(role_delete("r")).tokens, None);
    assert_eq!(users.ok(user_delete("alice")).tokens, ended());
}

#[test]
fn callers_are_told_apart_as_in_etcd() {
    let users = Users::enabled();
    let state = &users.0;
    let now = state.revision();
    let check = |caller: &Caller| state.check(caller, Access::Read, &range("a", ""));
    assert_eq!(check(&Caller::Nobody), Err(AuthRefusal::UserEmpty));
    assert_eq!(check(&user("alice", 0)), Err(AuthRefusal::UserEmpty));
    assert_eq!(check(&user("alice", now - 1)), Err(AuthRefusal::OldRevision));
    assert_eq!(check(&user("nobody", now)), Err(AuthRefusal::Denied));
    assert_eq!(check(&user("", now)), Err(AuthRefusal::Denied), "an empty common name");
    assert_eq!(check(&user("alice", now)), Ok(()));
    assert_eq!(check(&user("root", now)), Ok(()));
    assert_eq!(check(&Caller::Internal), Ok(()));
    let admin = |caller: &Caller| state.check_admin(caller);
    assert_eq!(admin(&Caller::Nobody), Err(AuthRefusal::UserEmpty));
    assert_eq!(admin(&user("", now)), Err(AuthRefusal::UserEmpty));
    assert_eq!(admin(&user("nobody", now)), Err(AuthRefusal::UserNotFound));
    assert_eq!(admin(&user("alice", now)), Err(AuthRefusal::Denied));
    assert_eq!(admin(&user("root", 1)), Ok(()), "revisions are not compared");
    assert_eq!(state.check_known(&Caller::Nobody), Err(AuthRefusal::UserEmpty));
    assert_eq!(state.check_known(&user("", now)), Ok(()));
    let off = AuthState::default();
    assert_eq!(off.check(&Caller::Nobody, Access::Write, &range("a", "")), Ok(()));
    assert_eq!((off.check_admin(&Caller::Nobody), off.check_known(&Caller::Nobody)), (Ok(()), Ok(())));
}

#[test]
fn everybody_may_look_at_himself_and_at_his_roles() {
    let users = Users::enabled();
    let (state, now) = (&users.0, users.0.revision());
    let get = |name: &str| AuthCommand::UserGet(AuthUserGetRequest { name: name.into() });
    let role = |role: &str| AuthCommand::RoleGet(AuthRoleGetRequest { role: role.into() });
    let alice = user("alice", now);
    assert_eq!(state.check_command(&alice, &get("alice")), Ok(()));
    assert_eq!(state.check_command(&alice, &get("root")), Err(AuthRefusal::Denied));
    assert_eq!(state.check_command(&alice, &role("r")), Ok(()));
    assert_eq!(state.check_command(&alice, &role("q")), Err(AuthRefusal::Denied));
    assert_eq!(state.check_command(&Caller::Nobody, &role("r")), Err(AuthRefusal::UserEmpty));
    assert_eq!(state.check_command(&alice, &role_add("q")), Err(AuthRefusal::Denied));
    assert_eq!(state.check_command(&user("root", now), &role_add("q")), Ok(()));
    let status = AuthCommand::Status(AuthStatusRequest {});
    assert_eq!(state.check_command(&Caller::Nobody, &status), Ok(()));
}
