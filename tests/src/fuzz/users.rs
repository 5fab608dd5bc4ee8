//! Rows of users and roles: any rows are read or refused, and what somebody may do by them is what the single permissions say.

use model::auth::{Permission, PermissionType, Role, User};
use model::{AuthRefusal, Caller, KeyRange};
use prost::Message as _;
use storage::auth::rows::{decode_role, decode_switch, decode_user};
use storage::auth::{Access, AuthState};

/// Prefixes of the rows. Source: `storage/src/schema.rs`.
const USER: u8 = storage::schema::meta::AUTH_USER;
const ROLE: u8 = storage::schema::meta::AUTH_ROLE;
/// Rows of one input.
const MOST: usize = 32;

/// A list of rows, each with the lengths of its key and value before it; the last bytes are what is asked.
pub fn run(mut data: &[u8]) {
    let (mut users, mut roles) = (Vec::new(), Vec::new());
    for _ in 0..MOST {
        let Some((key, rest)) = field(data) else { break };
        let Some((value, rest)) = field(rest) else { break };
        data = rest;
        match key.first() {
            Some(&USER) => users.extend(decode_user(key, value).ok().inspect(|user| user_reads_back(key, user))),
            Some(&ROLE) => roles.extend(decode_role(key, value).ok().inspect(|role| role_reads_back(key, role))),
            _ => drop(decode_switch(value)),
        }
    }
    let Some((key, rest)) = field(data) else { return };
    let end = field(rest).map_or(&[][..], |(end, _)| end);
    check(users, roles, &KeyRange::new(key.to_vec().into(), end.to_vec().into()));
}

/// A field of at most 255 bytes, and what follows.
fn field(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn user_reads_back(key: &[u8], (name, user): &(String, User)) {
    let again = decode_user(key, &user.encode_to_vec()).expect("what was read can be written");
    assert_eq!((&again.0, &again.1), (name, user));
}

fn role_reads_back(key: &[u8], (name, role): &(String, Role)) {
    let again = decode_role(key, &role.encode_to_vec()).expect("what was read can be written");
    assert_eq!((&again.0, &again.1), (name, role));
}

/// Asks for every user, both ways, and compares with a look at each permission.
fn check(users: Vec<(String, User)>, roles: Vec<(String, Role)>, range: &KeyRange) {
    let state = AuthState::new(true, 7, users.clone(), roles.clone());
    for (name, _) in &users {
        // of rows with one name the last one counts
        let row = &users.iter().rfind(|(of, _)| of == name).expect("just listed").1;
        let own = |role: &&(String, Role)| row.roles.iter().any(|of| *of == role.0);
        let last = |role: &&(String, Role)| roles.iter().rfind(|of| of.0 == role.0).is_some_and(|of| of == *role);
        let permissions: Vec<&Permission> =
            roles.iter().filter(own).filter(last).flat_map(|role| &role.1.key_permission).collect();
        let is_root = row.roles.iter().any(|role| role == "root");
        for (access, kind) in [(Access::Read, PermissionType::Read), (Access::Write, PermissionType::Write)] {
            let caller = Caller::User { name: name.clone(), revision: 7 };
            let allowed = state.check(&caller, access, range);
            let old = Caller::User { name: name.clone(), revision: 6 };
            assert_eq!(state.check(&old, access, range), Err(AuthRefusal::OldRevision));
            let counts =
                |p: &&&Permission| p.perm_type == kind as i32 || p.perm_type == PermissionType::Readwrite as i32;
            let mut of_kind = permissions.iter().filter(counts);
            if range.is_single() {
                let within = |p: &&Permission| KeyRange::new(p.key.clone(), p.range_end.clone()).contains(&range.key);
                let wanted = is_root || of_kind.any(within);
                assert_eq!(allowed.is_ok(), wanted, "{name} {access:?} {range:?} by {permissions:?}");
            } else if !is_root && of_kind.next().is_none() && !range.is_empty() {
                assert_eq!(allowed, Err(AuthRefusal::Denied), "{name} {access:?} {range:?} without any permission");
            }
        }
        let _ = (state.password_hash(name), state.check_admin(&Caller::User { name: name.clone(), revision: 1 }));
    }
}

fn row(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[key.len() as u8], key, &[value.len() as u8], value].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let permission = |kind: PermissionType, key: &'static str, end: &'static str| Permission {
        perm_type: kind as i32,
        key: key.into(),
        range_end: end.into(),
    };
    let user = |name: &str, roles: &[&str]| {
        let row_of = User {
            name: name.to_owned().into(),
            password: "$2a$10$hash".into(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            options: None,
        };
        row(&[&[USER], name.as_bytes()].concat(), &row_of.encode_to_vec())
    };
    let role = |name: &str, key_permission: Vec<Permission>| {
        let row_of = Role { name: name.to_owned().into(), key_permission };
        row(&[&[ROLE], name.as_bytes()].concat(), &row_of.encode_to_vec())
    };
    let readers =
        role("r", vec![permission(PermissionType::Read, "a", "c"), permission(PermissionType::Read, "c", "")]);
    let writers = role("w", vec![permission(PermissionType::Readwrite, "b", "\0")]);
    let asked =
        |key: &str, end: &str| [&[key.len() as u8], key.as_bytes(), &[end.len() as u8], end.as_bytes()].concat();
    let switch = row(b"\xf0", b"\x01\0\0\0\0\0\0\0\x07");
    vec![
        [readers.clone(), user("alice", &["r"]), asked("b", "")].concat(),
        [readers.clone(), writers.clone(), user("bob", &["w", "r"]), asked("a", "z")].concat(),
        [switch, user("root", &["root"]), asked("\0", "\0")].concat(),
        [writers, user("carol", &["w", "gone"]), asked("a", "")].concat(),
        [user("dave", &["r"]), readers, asked("c", "b")].concat(),
    ]
}
