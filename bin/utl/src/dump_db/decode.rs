//! Rows of etcd's database in the words of etcd-dump-db. Must never print a row in part.

use crate::failure::Failure;
use crate::proto_text;
use model::auth::{Permission, PermissionType, Role, User};
use model::{KeyValue, Revision};
use prost::Message;
use units::quote;

/// `leasepb.Lease`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(int64, tag = "3")]
    remaining: i64,
}

/// Key and value in quotes.
pub fn plain(key: &[u8], value: &[u8]) -> String {
    format!("key={}, value={}", quote(key), quote(value))
}

/// What a row means, by its bucket.
///
/// # Errors
/// [`Failure`] for a row that etcd would not have written.
pub fn row(bucket: &str, key: &[u8], value: &[u8]) -> Result<String, Failure> {
    let read = match bucket {
        "key" => version(key, value),
        "lease" => lease(key, value),
        "auth" => auth(key, value),
        "authRoles" => role(value),
        "authUsers" => user(value),
        "meta" => meta(key, value),
        _ => Some(plain(key, value)),
    };
    read.ok_or_else(|| Failure::new(format!("the row {} in bucket {bucket} does not read back", quote(key))))
}

/// The revision that a key of the bucket `key` is, and whether it is that of a tombstone.
pub fn revision(key: &[u8]) -> Option<(Revision, bool)> {
    let tombstone = match key.get(17..)? {
        [] => false,
        [b't'] => true,
        _ => return None,
    };
    let int = |at: usize| key.get(at..at + 8)?.try_into().ok().map(i64::from_be_bytes);
    (key[8] == b'_').then_some((Revision::new(int(0)?, int(9)?), tombstone))
}

fn version(key: &[u8], value: &[u8]) -> Option<String> {
    let (Revision { main, sub }, tombstone) = revision(key)?;
    let kv = KeyValue::decode(value).ok()?;
    Some(format!(
        "rev={{Revision:{{Main:{main} Sub:{sub}}} tombstone:{tombstone}}}, value=[key {} | val {} | created {} | mod {} | ver {}]",
        quote(&kv.key),
        quote(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    ))
}

fn lease(key: &[u8], value: &[u8]) -> Option<String> {
    let id = number(key)?;
    let lease = Lease::decode(value).ok()?;
    Some(format!("lease ID={id:016x}, TTL={}s, remaining TTL={}s", lease.ttl, lease.remaining))
}

fn auth(key: &[u8], value: &[u8]) -> Option<String> {
    let shown = if key == b"authRevision" { number(value)?.to_string() } else { list(value.iter()) };
    Some(format!("key={}, value={shown}", quote(key)))
}

fn role(value: &[u8]) -> Option<String> {
    let role = Role::decode(value).ok()?;
    let permissions = list(role.key_permission.iter().map(permission));
    Some(format!("role={}, keyPermission={permissions}", quote(&role.name)))
}

fn permission(permission: &Permission) -> String {
    let kind = PermissionType::try_from(permission.perm_type).ok();
    let kind = match kind {
        Some(PermissionType::Read) => None,
        Some(PermissionType::Write) => Some("WRITE".to_owned()),
        Some(PermissionType::Readwrite) => Some("READWRITE".to_owned()),
        None => Some(permission.perm_type.to_string()),
    };
    let mut parts: Vec<String> = kind.map(|kind| format!("permType:{kind}")).into_iter().collect();
    for (name, bytes) in [("key", &permission.key), ("range_end", &permission.range_end)] {
        if !bytes.is_empty() {
            parts.push(format!("{name}:{}", proto_text::quoted(bytes)));
        }
    }
    parts.join("  ")
}

fn user(value: &[u8]) -> Option<String> {
    let user = User::decode(value).ok()?;
    let options = match user.options {
        None => "<nil>",
        Some(options) if options.no_password => "no_password:true",
        Some(_) => "",
    };
    let roles = list(user.roles.iter().map(|role| quote(role.as_bytes())));
    Some(format!("user={}, roles={roles}, option={options}", quote(&user.name)))
}

fn meta(key: &[u8], value: &[u8]) -> Option<String> {
    let shown = match key {
        b"consistent_index" | b"term" => number(value)?.to_string(),
        b"scheduledCompactRev" | b"finishedCompactRev" => {
            let (Revision { main, sub }, _) = revision(value)?;
            format!("{{{main} {sub}}}")
        }
        _ => return Some(plain(key, value)),
    };
    Some(format!("key={}, value={shown}", quote(key)))
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// As Go prints a list.
fn list<T: ToString>(parts: impl Iterator<Item = T>) -> String {
    format!("[{}]", parts.map(|part| part.to_string()).collect::<Vec<_>>().join(" "))
}
