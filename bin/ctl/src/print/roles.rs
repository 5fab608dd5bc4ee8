//! Roles in the simple format: what they may read and write, as ranges.

use super::answer::RoleAnswer;
use super::line::line;
use crate::client::range::prefix_end;
use api::authpb::Permission;
use api::etcdserverpb as pb;

const READ: i32 = 0;
const WRITE: i32 = 1;
const READ_WRITE: i32 = 2;
/// A range that ends here has no end.
const OPEN: &[u8] = b"\0";

/// Prints an answer about a role.
pub fn print(name: &str, answer: &RoleAnswer<'_>, out: &mut Vec<u8>) {
    match answer {
        RoleAnswer::Add(_) => line(out, &format!("Role {name} created")),
        RoleAnswer::Get(r) => get(name, r, out),
        RoleAnswer::Delete(_) => line(out, &format!("Role {name} deleted")),
        RoleAnswer::Grant(_) => line(out, &format!("Role {name} updated")),
        RoleAnswer::Revoke(key, end, _) => revoked(name, key, end, out),
    }
}

fn revoked(name: &str, key: &[u8], end: &[u8], out: &mut Vec<u8>) {
    let (kind, shown) = match end {
        b"" => ("key ", key.to_vec()),
        end => ("range ", range(key, end)),
    };
    out.extend_from_slice(b"Permission of ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(&shown);
    line(out, &format!(" is revoked from role {name}"));
}

fn range(key: &[u8], end: &[u8]) -> Vec<u8> {
    match end {
        OPEN => [b"[", key, b", <open ended>"].concat(),
        end => [b"[", key, b", ", end, b")"].concat(),
    }
}

fn get(name: &str, r: &pb::AuthRoleGetResponse, out: &mut Vec<u8>) {
    line(out, &format!("Role {name}"));
    let everything = name == "root" && r.perm.is_empty();
    for (title, own) in [("KV Read:", READ), ("KV Write:", WRITE)] {
        line(out, title);
        if everything {
            line(out, "\t[, <open ended>");
        }
        r.perm.iter().filter(|p| p.perm_type == own || p.perm_type == READ_WRITE).for_each(|p| permission(p, out));
    }
}

fn permission(p: &Permission, out: &mut Vec<u8>) {
    out.push(b'\t');
    if p.range_end.is_empty() {
        out.extend_from_slice(&p.key);
    } else {
        out.extend_from_slice(&range(&p.key, &p.range_end));
        if !p.key.is_empty() && prefix_end(&p.key) == p.range_end {
            out.extend_from_slice(&[b" (prefix ", &p.key[..], b")"].concat());
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, perm: Vec<Permission>) -> String {
        let mut out = Vec::new();
        get(name, &pb::AuthRoleGetResponse { header: None, perm }, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn perm(perm_type: i32, key: &'static str, end: &'static str) -> Permission {
        Permission { perm_type, key: key.into(), range_end: end.into() }
    }

    #[test]
    fn ranges() {
        let all = vec![perm(READ, "a", ""), perm(READ_WRITE, "p", "q"), perm(WRITE, "x", "\0"), perm(READ, "a", "c")];
        assert_eq!(
            shown("r", all),
            "Role r\nKV Read:\n\ta\n\t[p, q) (prefix p)\n\t[a, c)\nKV Write:\n\t[p, q) (prefix p)\n\t[x, <open ended>\n"
        );
        let root = "Role root\nKV Read:\n\t[, <open ended>\nKV Write:\n\t[, <open ended>\n";
        assert_eq!(shown("root", Vec::new()), root);
    }
}
