//! The rows in `meta` that keep users and roles, and reading all of them back.
//!
//! Names are part of the keys; values are `authpb.User` and `authpb.Role`, the hashes of passwords among them. Must never be shown
//! to anybody as they are.

use super::state::AuthState;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::schema::{Damaged, meta};
use bytes::{BufMut, Bytes};
use model::auth::{Role, User};
use prost::Message;

/// A row that is put, or deleted when it has no value.
pub type Row = (Bytes, Option<Bytes>);

/// Why the rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRowsError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// One of them does not read back.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

fn damaged(why: &'static str) -> Damaged {
    Damaged { family: "meta", why }
}

fn named(prefix: u8, name: &str) -> Bytes {
    [&[prefix], name.as_bytes()].concat().into()
}

/// The row of a user.
pub(super) fn user(name: &str, user: Option<&User>) -> Row {
    (named(meta::AUTH_USER, name), user.map(|user| user.encode_to_vec().into()))
}

/// The row of a role.
pub(super) fn role(name: &str, role: Option<&Role>) -> Row {
    (named(meta::AUTH_ROLE, name), role.map(|role| role.encode_to_vec().into()))
}

/// The row that says whether users count, and the revision.
pub(super) fn switch(enabled: bool, revision: u64) -> Row {
    let mut value = Vec::with_capacity(9);
    value.put_u8(u8::from(enabled));
    value.put_u64(revision);
    (Bytes::from_static(meta::AUTH), Some(value.into()))
}

/// Reads the row `meta::AUTH`: whether users count, and the revision.
///
/// # Errors
/// [`Damaged`].
pub fn decode_switch(value: &[u8]) -> Result<(bool, u64), Damaged> {
    let bad = || damaged("bad state of authentication");
    let (enabled, revision) = value.split_first().ok_or_else(bad)?;
    let revision = revision.try_into().map(u64::from_be_bytes).map_err(|_| bad())?;
    match enabled {
        0 | 1 => Ok((*enabled == 1, revision)),
        _ => Err(bad()),
    }
}

/// Reads a row with the prefix `meta::AUTH_USER`.
///
/// # Errors
/// [`Damaged`].
pub fn decode_user(key: &[u8], value: &[u8]) -> Result<(String, User), Damaged> {
    let user = User::decode(value).map_err(|_| damaged("bad user"))?;
    Ok((name_of(key, &user.name)?, user))
}

/// Reads a row with the prefix `meta::AUTH_ROLE`.
///
/// # Errors
/// [`Damaged`].
pub fn decode_role(key: &[u8], value: &[u8]) -> Result<(String, Role), Damaged> {
    let role = Role::decode(value).map_err(|_| damaged("bad role"))?;
    Ok((name_of(key, &role.name)?, role))
}

fn name_of(key: &[u8], own: &[u8]) -> Result<String, Damaged> {
    let name = key.get(1..).filter(|name| *name == own).ok_or_else(|| damaged("a user or role under another name"))?;
    String::from_utf8(name.to_vec()).map_err(|_| damaged("bad name of a user or role"))
}

fn table<S: Snapshot, T>(
    snapshot: &S,
    prefix: u8,
    decode: fn(&[u8], &[u8]) -> Result<T, Damaged>,
) -> Result<Vec<T>, ReadRowsError> {
    let mut out = Vec::new();
    let mut scan = snapshot.scan(Family::Meta, &[prefix], Some(&[prefix + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        out.push(decode(key, value)?);
    }
    Ok(out)
}

impl AuthState {
    /// Reads everything. A store in which no command about users was ever applied has none of the rows.
    ///
    /// # Errors
    /// [`ReadRowsError`].
    pub fn read<S: Snapshot>(snapshot: &S) -> Result<Self, ReadRowsError> {
        let switch = snapshot.get(Family::Meta, meta::AUTH)?.map(|value| decode_switch(&value)).transpose()?;
        let default = Self::default();
        let (enabled, revision) = switch.unwrap_or((default.enabled(), default.revision()));
        let users = table(snapshot, meta::AUTH_USER, decode_user)?;
        let roles = table(snapshot, meta::AUTH_ROLE, decode_role)?;
        Ok(Self::new(enabled, revision, users, roles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_read_back() {
        let (_, value) = switch(true, 77);
        assert_eq!(decode_switch(&value.unwrap()), Ok((true, 77)));
        let alice = User { name: "alice".into(), password: "hash".into(), roles: vec!["r".into()], options: None };
        let (key, value) = user("alice", Some(&alice));
        assert_eq!(decode_user(&key, &value.clone().unwrap()), Ok(("alice".into(), alice)));
        assert!(decode_user(b"\xf5bob", &value.unwrap()).is_err(), "under another name");
    }

    proptest! {
        #[test]
        fn damaged_rows_never_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = (decode_switch(&value), decode_user(&key, &value), decode_role(&key, &value));
        }
    }
}
