//! Users and roles of the v2 API: kept in the tree as etcd keeps them, changed through the log like every node.
//!
//! Must never be mixed up with the users of the v3 API, which know nothing of these. A password enters the tree as its hash alone.

use super::json;
use crate::door::Status;
use crate::services::ClientServices;
use http::StatusCode;
use messages::auth::{PasswordAnswer, PasswordJob};
use model::v2::{AUTH, Error, Request, code, method};
use serde_json::Value;

/// The role that may everything.
pub(super) const ROOT: &str = "root";
/// The role of whoever names nobody.
pub(super) const GUEST: &str = "guest";

/// Why something about users cannot be done.
#[derive(Debug)]
pub(super) enum Refused {
    /// With this status and text.
    Text(StatusCode, String),
    /// By the tree.
    Tree(Error),
    /// The server could not do it.
    Failed(Status),
}

pub(super) type Done<T> = Result<T, Refused>;

fn refused<T>(status: StatusCode, text: String) -> Done<T> {
    Err(Refused::Text(status, format!("auth: {text}")))
}

/// A list of names; `None` is Go's nil, which JSON shows as null.
type Names = Option<Vec<String>>;

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    /// The hash of a kept one, the password of a request.
    pub(super) password: String,
    pub(super) roles: Names,
    pub(super) grant: Names,
    pub(super) revoke: Names,
}

/// What a role may do: patterns of paths, a star at the end stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) read: Names,
    pub(super) write: Names,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) permissions: Permissions,
    pub(super) grant: Option<Permissions>,
    pub(super) revoke: Option<Permissions>,
}

/// JSON that is no user or role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadJson;

fn text(value: &Value, name: &str) -> Result<String, BadJson> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(BadJson),
    }
}

fn names(value: &Value, name: &str) -> Result<Names, BadJson> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => {
            list.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>().map(Some).ok_or(BadJson)
        }
        Some(_) => Err(BadJson),
    }
}

fn write_names(out: &mut String, names: &Names) {
    let Some(names) = names else { return out.push_str("null") };
    out.push('[');
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::string(out, name.as_bytes());
    }
    out.push(']');
}

fn parse(text: &[u8]) -> Result<Value, BadJson> {
    // the first value counts, as in Go
    let first = serde_json::Deserializer::from_slice(text).into_iter::<Value>().next();
    first.and_then(Result::ok).filter(Value::is_object).ok_or(BadJson)
}

impl User {
    /// Reads one.
    pub(super) fn parse(text_of: &[u8]) -> Result<Self, BadJson> {
        let value = parse(text_of)?;
        Ok(Self {
            name: text(&value, "user")?,
            password: text(&value, "password")?,
            roles: names(&value, "roles")?,
            grant: names(&value, "grant")?,
            revoke: names(&value, "revoke")?,
        })
    }

    /// Its JSON.
    pub(super) fn json(&self) -> String {
        let mut out = String::from("{\"user\":");
        json::string(&mut out, self.name.as_bytes());
        if !self.password.is_empty() {
            out.push_str(",\"password\":");
            json::string(&mut out, self.password.as_bytes());
        }
        out.push_str(",\"roles\":");
        write_names(&mut out, &self.roles);
        for (name, list) in [("grant", &self.grant), ("revoke", &self.revoke)] {
            if list.as_ref().is_some_and(|list| !list.is_empty()) {
                out.push_str(&format!(",\"{name}\":"));
                write_names(&mut out, list);
            }
        }
        out.push('}');
        out
    }

    /// Root has its role whatever else is said.
    fn with_root_role(mut self) -> Self {
        if self.name == ROOT {
            let roles = self.roles.get_or_insert_default();
            if !roles.iter().any(|role| role == ROOT) {
                roles.push(ROOT.into());
            }
        }
        self
    }
}

impl Permissions {
    fn parse(value: &Value) -> Result<Self, BadJson> {
        let Some(kv) = value.get("kv").filter(|kv| !kv.is_null()) else { return Ok(Self::default()) };
        Ok(Self { read: names(kv, "read")?, write: names(kv, "write")? })
    }

    fn write_json(&self, out: &mut String) {
        out.push_str("{\"kv\":{\"read\":");
        write_names(out, &self.read);
        out.push_str(",\"write\":");
        write_names(out, &self.write);
        out.push_str("}}");
    }

    /// Whether nothing is permitted.
    pub(super) fn is_empty(&self) -> bool {
        let none = |names: &Names| names.as_ref().is_none_or(Vec::is_empty);
        none(&self.read) && none(&self.write)
    }

    /// Whether a path may be read or written, and with `recursive` everything below it.
    pub(super) fn allow(&self, key: &[u8], write: bool, recursive: bool) -> bool {
        let patterns = if write { &self.write } else { &self.read };
        patterns.iter().flatten().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix.as_bytes()),
            None => !recursive && key == pattern.as_bytes(),
        })
    }

    fn granted(&self, more: &Self) -> Done<Self> {
        let add = |what: &str, names: &Names, more: &Names| {
            let mut out = names.clone().unwrap_or_default();
            for name in more.iter().flatten() {
                if out.contains(name) {
                    return refused(StatusCode::CONFLICT, format!("Granting duplicate {what} permission {name}"));
                }
                out.push(name.clone());
            }
            out.sort_unstable();
            Ok(Some(out))
        };
        Ok(Self { read: add("read", &self.read, &more.read)?, write: add("write", &self.write, &more.write)? })
    }

    fn revoked(&self, less: &Self) -> Self {
        let take = |names: &Names, less: &Names| {
            let mut out = names.clone().unwrap_or_default();
            out.retain(|name| !less.iter().flatten().any(|gone| gone == name));
            out.sort_unstable();
            Some(out)
        };
        Self { read: take(&self.read, &less.read), write: take(&self.write, &less.write) }
    }
}

impl Role {
    /// Reads one.
    pub(super) fn parse(text_of: &[u8]) -> Result<Self, BadJson> {
        let value = parse(text_of)?;
        let part = |name: &str| value.get(name).filter(|part| !part.is_null()).map(Permissions::parse).transpose();
        Ok(Self {
            name: text(&value, "role")?,
            permissions: part("permissions")?.unwrap_or_default(),
            grant: part("grant")?,
            revoke: part("revoke")?,
        })
    }

    /// Its JSON.
    pub(super) fn json(&self) -> String {
        let mut out = String::from("{\"role\":");
        json::string(&mut out, self.name.as_bytes());
        out.push_str(",\"permissions\":");
        self.permissions.write_json(&mut out);
        for (name, part) in [("grant", &self.grant), ("revoke", &self.revoke)] {
            if let Some(part) = part {
                out.push_str(&format!(",\"{name}\":"));
                part.write_json(&mut out);
            }
        }
        out.push('}');
        out
    }

    /// One that may everything.
    fn of_everything(name: &str) -> Self {
        let all = || Some(vec!["/*".to_owned()]);
        let permissions = Permissions { read: all(), write: all() };
        Self { name: name.into(), permissions, ..Self::default() }
    }
}

/// The users of the tree.
pub(super) struct Users<'s>(pub(super) &'s ClientServices);

impl Users<'_> {
    async fn resource(&self, name: &str) -> Done<Option<Vec<u8>>> {
        let held = self.0.v2_list(format!("{AUTH}/{name}").as_bytes(), false).await.map_err(Refused::Failed)?;
        match held.listing.result {
            Ok(nodes) => Ok(nodes.first().and_then(|node| node.node.value.as_ref()).map(|value| value.to_vec())),
            Err(missing) if missing.code == code::KEY_NOT_FOUND => Ok(None),
            Err(other) => Err(Refused::Tree(other)),
        }
    }

    async fn all(&self, table: &str) -> Done<Vec<String>> {
        let held = self.0.v2_list(format!("{AUTH}/{table}").as_bytes(), false).await.map_err(Refused::Failed)?;
        let nodes = match held.listing.result {
            Ok(nodes) => nodes,
            Err(missing) if missing.code == code::KEY_NOT_FOUND => return Ok(Vec::new()),
            Err(other) => return Err(Refused::Tree(other)),
        };
        let name = |key: &[u8]| String::from_utf8_lossy(key.rsplit(|b| *b == b'/').next().unwrap_or_default()).into();
        Ok(nodes.iter().skip(1).map(|node| name(&node.node.key)).collect())
    }

    async fn write(&self, request: Request) -> Done<()> {
        let outcome = self.0.v2_write(request).await.map_err(Refused::Failed)?;
        outcome.result.map(drop).map_err(Refused::Tree)
    }

    /// Makes what all of it stands in, where it is missing.
    async fn ensure(&self) -> Done<()> {
        let exists = |done: Done<()>| match done {
            Err(Refused::Tree(error)) if error.code == code::NODE_EXIST => Ok(()),
            other => other,
        };
        for (name, dir) in [("", true), ("/users", true), ("/roles", true), ("/enabled", false)] {
            let val = if dir { "" } else { "false" };
            exists(self.write(put(&format!("{AUTH}{name}"), val, false, dir)).await)?;
        }
        Ok(())
    }

    async fn set(&self, name: &str, value: &str, exists: bool) -> Done<()> {
        if self.resource("enabled").await?.is_none() {
            self.ensure().await?;
        }
        self.write(put(&format!("{AUTH}/{name}"), value, exists, false)).await
    }

    async fn delete(&self, name: &str) -> Done<()> {
        let path = format!("{AUTH}/{name}").into();
        self.write(Request { method: method::DELETE.into(), path, prev_exist: Some(true), ..Request::default() }).await
    }

    /// Whether they count.
    pub(super) async fn enabled(&self) -> Done<bool> {
        Ok(self.resource("enabled").await?.as_deref() == Some(b"true"))
    }

    /// Their names, ascending.
    pub(super) async fn users(&self) -> Done<Vec<String>> {
        self.all("users").await
    }

    /// Names of the roles, ascending, root among them.
    pub(super) async fn roles(&self) -> Done<Vec<String>> {
        let mut names = self.all("roles").await?;
        names.push(ROOT.into());
        names.sort_unstable();
        Ok(names)
    }

    /// One user.
    pub(super) async fn user(&self, name: &str) -> Done<User> {
        let Some(value) = self.resource(&format!("users/{name}")).await? else {
            return refused(StatusCode::NOT_FOUND, format!("User {name} does not exist."));
        };
        User::parse(&value)
            .map(User::with_root_role)
            .map_err(|BadJson| Refused::Text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".into()))
    }

    /// One role.
    pub(super) async fn role(&self, name: &str) -> Done<Role> {
        if name == ROOT {
            return Ok(Role::of_everything(ROOT));
        }
        let Some(value) = self.resource(&format!("roles/{name}")).await? else {
            return refused(StatusCode::NOT_FOUND, format!("Role {name} does not exist."));
        };
        Role::parse(&value)
            .map_err(|BadJson| Refused::Text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".into()))
    }

    async fn hash(&self, password: &str) -> Done<String> {
        let job = PasswordJob::Hash { password: password.into(), cost: self.0.config().bcrypt_cost };
        match self.0.v2_password(job).await.map_err(Refused::Failed)? {
            PasswordAnswer::Hashed(Ok(hash)) => Ok(hash),
            PasswordAnswer::Hashed(Err(why)) => refused(StatusCode::BAD_REQUEST, why),
            _ => Err(Refused::Failed(crate::services::status::UNEXPECTED_REPLY)),
        }
    }

    /// Makes a user.
    pub(super) async fn create_user(&self, user: User) -> Done<User> {
        let mut user = user.with_root_role();
        if user.password.is_empty() {
            let text = format!("Cannot create user {} with an empty password", user.name);
            return refused(StatusCode::BAD_REQUEST, text);
        }
        user.password = self.hash(&user.password).await?;
        match self.set(&format!("users/{}", user.name), &user.json(), false).await {
            Err(Refused::Tree(error)) if error.code == code::NODE_EXIST => {
                refused(StatusCode::CONFLICT, format!("User {} already exists.", user.name))
            }
            done => done.map(|()| user),
        }
    }

    /// Changes a user's password or roles.
    pub(super) async fn update_user(&self, change: &User) -> Done<User> {
        self.0.v2_catch_up().await.map_err(Refused::Failed)?;
        let old = self.user(&change.name).await?;
        let password = match change.password.is_empty() {
            true => old.password.clone(),
            false => self.hash(&change.password).await?,
        };
        let mut roles = old.roles.clone().unwrap_or_default();
        for role in change.grant.iter().flatten() {
            if roles.contains(role) {
                let text = format!("Granting duplicate role {role} for user {}", change.name);
                return refused(StatusCode::CONFLICT, text);
            }
            roles.push(role.clone());
        }
        for role in change.revoke.iter().flatten() {
            if !roles.contains(role) {
                let text = format!("Revoking ungranted role {role} for user {}", change.name);
                return refused(StatusCode::CONFLICT, text);
            }
            roles.retain(|kept| kept != role);
        }
        roles.sort_unstable();
        let new = User { name: old.name.clone(), password, roles: Some(roles), ..User::default() };
        if new == old {
            let text = "User not updated. Use grant/revoke/password to update the user.";
            return refused(StatusCode::BAD_REQUEST, text.into());
        }
        self.set(&format!("users/{}", new.name), &new.json(), true).await?;
        Ok(new)
    }

    /// Deletes a user.
    pub(super) async fn delete_user(&self, name: &str) -> Done<()> {
        if name == ROOT && self.enabled().await? {
            return refused(StatusCode::FORBIDDEN, "Cannot delete root user while auth is enabled.".into());
        }
        match self.delete(&format!("users/{name}")).await {
            Err(Refused::Tree(error)) if error.code == code::KEY_NOT_FOUND => {
                refused(StatusCode::NOT_FOUND, format!("User {name} does not exist"))
            }
            done => done,
        }
    }

    fn not_root(name: &str) -> Done<()> {
        if name != ROOT {
            return Ok(());
        }
        refused(StatusCode::FORBIDDEN, format!("Cannot modify role {name}: is root role."))
    }

    /// Makes a role.
    pub(super) async fn create_role(&self, role: &Role) -> Done<()> {
        Self::not_root(&role.name)?;
        match self.set(&format!("roles/{}", role.name), &role.json(), false).await {
            Err(Refused::Tree(error)) if error.code == code::NODE_EXIST => {
                refused(StatusCode::CONFLICT, format!("Role {} already exists.", role.name))
            }
            done => done,
        }
    }

    /// Changes what a role may do.
    pub(super) async fn update_role(&self, change: &Role) -> Done<Role> {
        Self::not_root(&change.name)?;
        self.0.v2_catch_up().await.map_err(Refused::Failed)?;
        let old = self.role(&change.name).await?;
        let mut permissions = old.permissions.clone();
        if let Some(grant) = &change.grant {
            permissions = permissions.granted(grant)?;
        }
        if let Some(revoke) = &change.revoke {
            permissions = permissions.revoked(revoke);
        }
        let new = Role { name: old.name.clone(), permissions, ..Role::default() };
        if new == old {
            let text = "Role not updated. Use grant/revoke to update the role.";
            return refused(StatusCode::BAD_REQUEST, text.into());
        }
        self.set(&format!("roles/{}", new.name), &new.json(), true).await?;
        Ok(new)
    }

    /// Deletes a role.
    pub(super) async fn delete_role(&self, name: &str) -> Done<()> {
        Self::not_root(name)?;
        match self.delete(&format!("roles/{name}")).await {
            Err(Refused::Tree(error)) if error.code == code::KEY_NOT_FOUND => {
                refused(StatusCode::NOT_FOUND, format!("Role {name} doesn't exist."))
            }
            done => done,
        }
    }

    /// Makes users count.
    pub(super) async fn enable(&self) -> Done<()> {
        if self.enabled().await? {
            return refused(StatusCode::CONFLICT, "already enabled".into());
        }
        self.0.v2_catch_up().await.map_err(Refused::Failed)?;
        if self.user(ROOT).await.is_err() {
            return refused(StatusCode::CONFLICT, "No root user available, please create one".into());
        }
        if self.role(GUEST).await.is_err() {
            self.create_role(&Role::of_everything(GUEST)).await?;
        }
        self.set("enabled", "true", true).await
    }

    /// Makes them count no more.
    pub(super) async fn disable(&self) -> Done<()> {
        if !self.enabled().await? {
            return refused(StatusCode::CONFLICT, "already disabled".into());
        }
        self.set("enabled", "false", true).await
    }
}

fn put(path: &str, value: &str, exists: bool, dir: bool) -> Request {
    let (path, val) = (path.to_owned().into(), value.to_owned().into());
    Request { method: method::PUT.into(), path, val, dir, prev_exist: Some(exists), ..Request::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_roles_are_etcds_json() {
        let user = User { name: "u".into(), password: "h".into(), ..User::default() };
        assert_eq!(user.json(), r#"{"user":"u","password":"h","roles":null}"#);
        let guest = Role::of_everything(GUEST);
        let json = r#"{"role":"guest","permissions":{"kv":{"read":["/*"],"write":["/*"]}}}"#;
        assert_eq!((guest.json(), Role::parse(json.as_bytes())), (json.to_owned(), Ok(guest)));
        assert_eq!(User::parse(br#"{"user":"u","roles":"x"}"#), Err(BadJson));
        assert_eq!(User::parse(br#"["u"]"#), Err(BadJson));
    }

    #[test]
    fn a_star_stands_for_anything_and_is_needed_for_everything_below() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let may = Permissions { read: names(&["/a", "/b/*", ""]), write: None };
        assert!(may.allow(b"/a", false, false) && !may.allow(b"/a", false, true));
        assert!(may.allow(b"/b/c", false, true) && !may.allow(b"/b", false, false));
        assert!(!may.allow(b"/a", true, false) && !may.allow(b"/c", false, false));
    }

    #[test]
    fn what_is_granted_twice_is_refused_and_what_was_never_granted_is_no_loss() {
        let names = |name: &str| Some(vec![name.to_owned()]);
        let old = Permissions { read: names("/a"), write: None };
        assert!(old.granted(&Permissions { read: names("/a"), write: None }).is_err());
        let more = old.granted(&Permissions { read: names("/0"), write: names("/w") }).unwrap();
        assert_eq!(more.read, Some(vec!["/0".to_owned(), "/a".to_owned()]));
        assert_eq!(more.revoked(&Permissions { read: names("/x"), write: names("/w") }).write, Some(vec![]));
    }
}
