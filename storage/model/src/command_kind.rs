//! Which command encoded bytes hold, without decoding them: for counters and logs, which see every entry.
//!
//! Must never decide anything: whoever carries a command out decodes it.

/// What kind a command is of. Named as etcd names operations in its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandKind(u8);

/// Field numbers of `InternalRaftRequest` and the names of what is in them.
const KINDS: [(u64, &str); 29] = [
    (0, "unknown"),
    (4, "Put"),
    (5, "DeleteRange"),
    (6, "Txn"),
    (7, "Compaction"),
    (8, "LeaseGrant"),
    (9, "LeaseRevoke"),
    (10, "Alarm"),
    (11, "LeaseCheckpoint"),
    (1000, "AuthEnable"),
    (1011, "AuthDisable"),
    (1012, "Authenticate"),
    (1013, "AuthStatus"),
    (1100, "AuthUserAdd"),
    (1101, "AuthUserDelete"),
    (1102, "AuthUserGet"),
    (1103, "AuthUserChangePassword"),
    (1104, "AuthUserGrantRole"),
    (1105, "AuthUserRevokeRole"),
    (1106, "AuthUserList"),
    (1107, "AuthRoleList"),
    (1200, "AuthRoleAdd"),
    (1201, "AuthRoleDelete"),
    (1202, "AuthRoleGet"),
    (1203, "AuthRoleGrantPermission"),
    (1204, "AuthRoleRevokePermission"),
    (1300, "ClusterVersionSet"),
    (1301, "ClusterMemberAttrSet"),
    (1302, "DowngradeInfoSet"),
];

/// Field number of the header, which every command has.
const HEADER: u64 = 100;

impl CommandKind {
    /// How many kinds there are.
    pub const COUNT: usize = KINDS.len();

    /// Of the canonical bytes of a [`Command`](crate::Command). Bytes that are none are of an unknown kind.
    pub fn of(mut encoded: &[u8]) -> Self {
        while let Some(tag) = varint(&mut encoded) {
            let (field, wire) = (tag >> 3, tag & 7);
            // all that is in there are messages, but for old numbers of requests
            let Some(length) = (if wire == 2 || wire == 0 { varint(&mut encoded) } else { None }) else { break };
            if wire == 0 {
                continue;
            }
            if field != HEADER {
                let known = KINDS.iter().position(|(number, _)| *number == field);
                return Self(known.unwrap_or_default() as u8);
            }
            let Some(rest) = usize::try_from(length).ok().and_then(|length| encoded.get(length..)) else { break };
            encoded = rest;
        }
        Self(0)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..KINDS.len() as u8).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS[self.index()].1
    }

    /// Its place among all kinds.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{AlarmRequest, LeaseGrantRequest, MemberAttrSetRequest, PutRequest};
    use crate::{Caller, Command};

    #[test]
    fn a_kind_is_seen_without_decoding() {
        let commands = [
            (Command::Put(PutRequest { key: "k".into(), ..PutRequest::default() }), "Put"),
            (Command::LeaseGrant(LeaseGrantRequest::default()), "LeaseGrant"),
            (Command::Alarm(AlarmRequest::default()), "Alarm"),
            (Command::MemberAttrSet(MemberAttrSetRequest::default()), "ClusterMemberAttrSet"),
        ];
        for (command, name) in commands {
            let bytes = command.encode_for(Caller::Nobody, 0x1234_5678_9abc);
            assert_eq!(CommandKind::of(&bytes).name(), name);
            for end in 0..bytes.len() {
                // whatever is cut off, nothing panics
                let _ = CommandKind::of(&bytes[..end]);
            }
        }
        for garbage in [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a", b"\xa2\x06\x7f"] {
            assert_eq!(CommandKind::of(garbage).name(), "unknown");
        }
    }
}
