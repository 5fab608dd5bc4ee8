//! Requests of etcd's log as Go prints protobuf: on one line, two spaces between fields, fields that are not set left out.
//!
//! Must never show a password, its hash, or a token.

use Kind::{Bool, Bytes, Enum, Int, List, Nested, Secret, Sub, Text, Uint};
use std::fmt::Write;

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A number with a sign.
    Int,
    /// A number without.
    Uint,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// A text that nobody may see.
    Secret,
    /// One of these names, by number.
    Enum(&'static [&'static str]),
    /// A message.
    Sub(&'static [Field]),
    /// A transaction inside of one.
    Nested,
    /// Several.
    List(&'static Kind),
}

/// Number, name and contents of a field.
pub type Field = (u32, &'static str, Kind);

const HEADER: &[Field] = &[(1, "ID", Uint), (2, "username", Text), (3, "auth_revision", Uint)];
const RANGE: &[Field] = &[
    (1, "key", Bytes),
    (2, "range_end", Bytes),
    (3, "limit", Int),
    (4, "revision", Int),
    (5, "sort_order", Enum(&["NONE", "ASCEND", "DESCEND"])),
    (6, "sort_target", Enum(&["KEY", "VERSION", "CREATE", "MOD", "VALUE"])),
    (7, "serializable", Bool),
    (8, "keys_only", Bool),
    (9, "count_only", Bool),
    (10, "min_mod_revision", Int),
    (11, "max_mod_revision", Int),
    (12, "min_create_revision", Int),
    (13, "max_create_revision", Int),
];
const PUT: &[Field] = &[
    (1, "key", Bytes),
    (2, "value", Bytes),
    (3, "lease", Int),
    (4, "prev_kv", Bool),
    (5, "ignore_value", Bool),
    (6, "ignore_lease", Bool),
];
const DELETE: &[Field] = &[(1, "key", Bytes), (2, "range_end", Bytes), (3, "prev_kv", Bool)];
const COMPARE: &[Field] = &[
    (1, "result", Enum(&["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])),
    (2, "target", Enum(&["VERSION", "CREATE", "MOD", "VALUE", "LEASE"])),
    (3, "key", Bytes),
    (4, "version", Int),
    (5, "create_revision", Int),
    (6, "mod_revision", Int),
    (7, "value", Bytes),
    (8, "lease", Int),
    (64, "range_end", Bytes),
];
const OP: &[Field] = &[
    (1, "request_range", Sub(RANGE)),
    (2, "request_put", Sub(PUT)),
    (3, "request_delete_range", Sub(DELETE)),
    (4, "request_txn", Nested),
];
const TXN: &[Field] =
    &[(1, "compare", List(&Sub(COMPARE))), (2, "success", List(&Sub(OP))), (3, "failure", List(&Sub(OP)))];
const CHECKPOINT: &[Field] = &[(1, "ID", Int), (2, "remaining_TTL", Int)];
const ALARM: &[Field] = &[
    (1, "action", Enum(&["GET", "ACTIVATE", "DEACTIVATE"])),
    (2, "memberID", Uint),
    (3, "alarm", Enum(&["NONE", "NOSPACE", "CORRUPT"])),
];
const PERMISSION: &[Field] =
    &[(1, "permType", Enum(&["READ", "WRITE", "READWRITE"])), (2, "key", Bytes), (3, "range_end", Bytes)];
const USER_ADD: &[Field] = &[
    (1, "name", Text),
    (2, "password", Secret),
    (3, "options", Sub(&[(1, "no_password", Bool)])),
    (4, "hashedPassword", Secret),
];
const ATTRIBUTES: &[Field] = &[(1, "name", Text), (2, "client_urls", List(&Text))];

/// `etcdserverpb.InternalRaftRequest`.
pub const REQUEST: &[Field] = &[
    (100, "header", Sub(HEADER)),
    (1, "ID", Uint),
    (3, "range", Sub(RANGE)),
    (4, "put", Sub(PUT)),
    (5, "delete_range", Sub(DELETE)),
    (6, "txn", Sub(TXN)),
    (7, "compaction", Sub(&[(1, "revision", Int), (2, "physical", Bool)])),
    (8, "lease_grant", Sub(&[(1, "TTL", Int), (2, "ID", Int)])),
    (9, "lease_revoke", Sub(&[(1, "ID", Int)])),
    (10, "alarm", Sub(ALARM)),
    (11, "lease_checkpoint", Sub(&[(1, "checkpoints", List(&Sub(CHECKPOINT)))])),
    (1000, "auth_enable", Sub(&[])),
    (1011, "auth_disable", Sub(&[])),
    (1013, "auth_status", Sub(&[])),
    (1012, "authenticate", Sub(&[(1, "name", Text), (2, "password", Secret), (3, "simple_token", Secret)])),
    (1100, "auth_user_add", Sub(USER_ADD)),
    (1101, "auth_user_delete", Sub(&[(1, "name", Text)])),
    (1102, "auth_user_get", Sub(&[(1, "name", Text)])),
    (
        1103,
        "auth_user_change_password",
        Sub(&[(1, "name", Text), (2, "password", Secret), (3, "hashedPassword", Secret)]),
    ),
    (1104, "auth_user_grant_role", Sub(&[(1, "user", Text), (2, "role", Text)])),
    (1105, "auth_user_revoke_role", Sub(&[(1, "name", Text), (2, "role", Text)])),
    (1106, "auth_user_list", Sub(&[])),
    (1107, "auth_role_list", Sub(&[])),
    (1200, "auth_role_add", Sub(&[(1, "name", Text)])),
    (1201, "auth_role_delete", Sub(&[(1, "role", Text)])),
    (1202, "auth_role_get", Sub(&[(1, "role", Text)])),
    (1203, "auth_role_grant_permission", Sub(&[(1, "name", Text), (2, "perm", Sub(PERMISSION))])),
    (1204, "auth_role_revoke_permission", Sub(&[(1, "role", Text), (2, "key", Bytes), (3, "range_end", Bytes)])),
    (1300, "cluster_version_set", Sub(&[(1, "ver", Text)])),
    (1301, "cluster_member_attr_set", Sub(&[(1, "member_ID", Uint), (2, "member_attributes", Sub(ATTRIBUTES))])),
    (1302, "downgrade_info_set", Sub(&[(1, "enabled", Bool), (2, "ver", Text)])),
    (9900, "downgrade_version_test", Sub(&[(1, "ver", Text)])),
];

/// What a field was found to hold.
#[derive(Clone, Copy)]
enum Found<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Deepest message inside of messages. etcd's own limit of transactions inside of transactions is far below.
const DEEPEST: usize = 64;

/// A message as text; none when its bytes are none of protobuf's. Fields without a place in the table are left out.
pub fn show(bytes: &[u8], fields: &[Field]) -> Option<String> {
    show_below(bytes, fields, 0)
}

fn show_below(bytes: &[u8], fields: &[Field], depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    let found = read(bytes)?;
    let mut parts = Vec::new();
    for (number, name, kind) in fields {
        let mut all = found.iter().filter(|(field, _)| field == number).map(|(_, value)| *value);
        match kind {
            List(one) => parts.extend(all.map(|value| part(name, one, value, depth)).collect::<Option<Vec<_>>>()?),
            _ => parts.extend(all.next_back().map(|value| part(name, kind, value, depth)).transpose_none()?),
        }
    }
    Some(parts.join("  "))
}

/// Whether a message has this field.
pub fn has(bytes: &[u8], number: u32) -> bool {
    read(bytes).is_some_and(|found| found.iter().any(|(field, _)| *field == number))
}

/// `Option<Option<T>>` as a failure or what there is.
trait TransposeNone<T> {
    fn transpose_none(self) -> Option<Option<T>>;
}

impl<T> TransposeNone<T> for Option<Option<T>> {
    fn transpose_none(self) -> Option<Option<T>> {
        match self {
            Some(None) => None,
            Some(Some(value)) => Some(Some(value)),
            None => Some(None),
        }
    }
}

fn part(name: &str, kind: &Kind, value: Found<'_>, depth: usize) -> Option<String> {
    let sub = |bytes, fields| Some(format!("{name}:{{{}}}", show_below(bytes, fields, depth + 1)?));
    let text = match (kind, value) {
        (Bool, Found::Number(n)) => (n != 0).to_string(),
        (Int, Found::Number(n)) => (n as i64).to_string(),
        (Uint, Found::Number(n)) => n.to_string(),
        (Enum(names), Found::Number(n)) => {
            usize::try_from(n).ok().and_then(|n| names.get(n)).map_or(n.to_string(), |name| (*name).to_owned())
        }
        (Text | Bytes, Found::Bytes(bytes)) => quoted(bytes),
        (Secret, Found::Bytes(_)) => "\"<value removed>\"".to_owned(),
        (Sub(fields), Found::Bytes(bytes)) => return sub(bytes, fields),
        (Nested, Found::Bytes(bytes)) => return sub(bytes, TXN),
        _ => return None,
    };
    Some(format!("{name}:{text}"))
}

/// Numbers and values of all fields, in the order of the bytes.
fn read(mut bytes: &[u8]) -> Option<Vec<(u32, Found<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let length = match tag & 7 {
            0 => {
                found.push((number, Found::Number(varint(&mut bytes)?)));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        if tag & 7 == 2 {
            found.push((number, Found::Bytes(value)));
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Bytes in the quotes of Go's protobuf text: letters stay, everything else is escaped.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                // a text takes everything
                c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(out, "\\x{:02x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::request::{PutRequest, RequestOp, RequestUnion, TxnRequest};
    use prost::Message;

    fn request(number: u32, message: &impl Message) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
        prost::encoding::encode_varint(message.encoded_len() as u64, &mut out);
        message.encode(&mut out).expect("a vector takes everything");
        out
    }

    #[test]
    fn requests_as_go_prints_them() {
        let put = PutRequest { key: "k".into(), value: b"v\n\xff"[..].into(), lease: 7, ..Default::default() };
        assert_eq!(show(&request(4, &put), REQUEST).unwrap(), r#"put:{key:"k"  value:"v\n\xff"  lease:7}"#);
        let op = RequestOp { request: Some(RequestUnion::Put(put)) };
        let txn = TxnRequest { success: vec![op.clone(), op], ..Default::default() };
        let one = r#"success:{request_put:{key:"k"  value:"v\n\xff"  lease:7}}"#;
        assert_eq!(show(&request(6, &txn), REQUEST).unwrap(), format!("txn:{{{one}  {one}}}"));
        let secret =
            model::auth::AuthUserAddRequest { name: "ann".into(), password: "pw".into(), ..Default::default() };
        assert_eq!(
            show(&request(1100, &secret), REQUEST).unwrap(),
            r#"auth_user_add:{name:"ann"  password:"<value removed>"}"#
        );
        assert_eq!(show(&[], REQUEST).unwrap(), "");
    }

    #[test]
    fn messages_inside_of_messages_without_end_are_none() {
        let mut txn = TxnRequest::default();
        for _ in 0..10_000 {
            let op = RequestOp { request: Some(RequestUnion::Txn(std::mem::take(&mut txn))) };
            txn.success = vec![op];
            if txn.encoded_len() > 400 {
                break;
            }
        }
        assert_eq!(show(&request(6, &txn), REQUEST), None);
    }

    #[test]
    fn what_is_no_message_is_none() {
        for bytes in [&[0x22, 5, 1][..], &[0x07], &[0xff; 12], &[0x22, 1, 0xff]] {
            assert_eq!(show(bytes, REQUEST), None, "{bytes:?}");
        }
    }
}
