//! The envelope of a log entry and the `InternalRaftRequest` inside: what decodes comes back the same.

use bytes::Bytes;
use model::auth::{AuthCommand, AuthRoleGrantPermissionRequest, AuthUserAddRequest, Permission};
use model::request::{CompactionRequest, LeaseGrantRequest, LeaseRevokeRequest, TxnRequest};
use model::{Command, Envelope, Origin};
use raft::confchange_codec;

/// First byte odd: the bytes are a command without its envelope.
pub fn run(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let rest = Bytes::copy_from_slice(rest);
    match shape % 4 {
        0 => {
            if let Ok(envelope) = Envelope::decode(&rest) {
                assert_eq!(envelope.encode(), rest, "an envelope has one form");
                command(envelope.command);
            }
        }
        1 => command(rest),
        2 => {
            if let Ok(change) = confchange_codec::decode_v1(&rest) {
                assert_eq!(confchange_codec::decode_v1(&confchange_codec::encode_v1(&change)), Ok(change));
            }
        }
        _ => {
            if let Ok(change) = confchange_codec::decode_v2(&rest) {
                assert_eq!(confchange_codec::decode_v2(&confchange_codec::encode_v2(&change)), Ok(change));
            }
        }
    }
}

fn command(bytes: Bytes) {
    if let Ok(command) = Command::decode(bytes) {
        assert_eq!(Command::decode(command.clone().encode(7)), Ok(command));
    }
}

/// One of most kinds of command.
pub(super) fn commands() -> Vec<Command> {
    use crate::request::{all, compare, delete, delete_op, put, put_op, range_op, txn_op};
    use api::etcdserverpb::{CompareResult, TargetUnion};
    let inner = TxnRequest { failure: vec![put_op("b", "2")], ..TxnRequest::default() };
    let txn = TxnRequest {
        compare: vec![
            compare("a", CompareResult::Equal, TargetUnion::Value("1".into())),
            compare("lost", CompareResult::Greater, TargetUnion::Version(0)),
        ],
        success: vec![put_op("a", "3"), delete_op("b", "d"), range_op(all()), txn_op(inner)],
        failure: vec![range_op(all())],
    };
    vec![
        Command::Put(model::request::PutRequest { lease: 5, prev_kv: true, ..put("key", "value") }),
        Command::DeleteRange(model::request::DeleteRangeRequest { prev_kv: true, ..delete("a", "z") }),
        Command::Txn(txn),
        Command::Compaction(CompactionRequest { revision: 3, physical: true }),
        Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 5 }),
        Command::LeaseRevoke(LeaseRevokeRequest { id: 5 }),
        Command::Auth(AuthCommand::UserAdd(AuthUserAddRequest { name: "u".into(), ..Default::default() })),
        Command::Auth(AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest {
            name: "r".into(),
            perm: Some(Permission { perm_type: 2, key: "a".into(), range_end: "b".into() }),
        })),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let origin = Origin { member: 1, epoch: 2, sequence: 3 };
    let mut out = Vec::new();
    for command in commands() {
        let bytes = command.encode(9);
        out.push([&[1], &bytes[..]].concat());
        out.push([&[0], &Envelope { origin, only_in_term: 0, command: bytes }.encode()[..]].concat());
    }
    out.push(b"\x02\x08\x01\x10\x03\x18\x05\x22\x01x".to_vec());
    out.push(b"\x03\x08\x02\x12\x04\x08\x01\x10\x07\x1a\x01c".to_vec());
    out
}
