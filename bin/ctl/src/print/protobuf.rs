//! `--write-out=protobuf`: the bytes of the message, nothing else.

use super::answer::{Answer, RoleAnswer, UserAnswer, Watched};
use super::table::unsupported;
use crate::exit::Exit;
use api::etcdserverpb as pb;
use prost::Message;

/// Prints an answer.
///
/// # Errors
/// For answers that are no single message.
pub fn print(answer: &Answer<'_>, out: &mut Vec<u8>) -> Result<(), Exit> {
    match answer {
        Answer::Get(r) => push(*r, out),
        Answer::Put(r) => push(*r, out),
        Answer::Del(r) => push(*r, out),
        Answer::Txn(r) => push(*r, out),
        Answer::Watch(r) => push(&message(r), out),
        // etcdctl's wrappers of these are their headers
        Answer::Grant(r) => push(&r.header.unwrap_or_default(), out),
        Answer::KeepAlive(r) => push(&r.header.unwrap_or_default(), out),
        Answer::TimeToLive(r, _) => push(&r.header.unwrap_or_default(), out),
        Answer::Leases(r) => push(&r.header.unwrap_or_default(), out),
        Answer::Revoke(..) => return Err(wrapper("LeaseRevokeResponse")),
        Answer::MemberAdd(r) => push(*r, out),
        Answer::MemberRemove(_, r) => push(*r, out),
        Answer::MemberUpdate(_, r) => push(*r, out),
        Answer::MemberPromote(_, r) => push(*r, out),
        Answer::MemberList(r) => push(*r, out),
        Answer::Health(_) | Answer::Status(_) | Answer::HashKv(_) => return Err(unsupported("protobuf")),
        Answer::MoveLeader(..) => {}
        Answer::Downgrade(_, r) => push(*r, out),
        Answer::Alarm(r) => push(*r, out),
        Answer::Role(_, answer) => role(answer, out),
        Answer::RoleList(r) => push(*r, out),
        Answer::User(_, answer) => user(answer, out),
        Answer::UserList(r) => push(*r, out),
        Answer::AuthStatus(r) => push(*r, out),
    }
    Ok(())
}

fn push<M: Message>(message: &M, out: &mut Vec<u8>) {
    message.encode_raw(out);
}

/// A type of etcd's client that is no message there.
fn wrapper(name: &str) -> Exit {
    Exit::new(crate::exit::BAD_FEATURE, format!("marshal unsupported for type *clientv3.{name}"))
}

fn message(r: &Watched) -> pb::WatchResponse {
    pb::WatchResponse {
        header: Some(r.header),
        events: r.events.clone().unwrap_or_default(),
        compact_revision: r.compact_revision,
        canceled: r.canceled,
        ..Default::default()
    }
}

fn role(answer: &RoleAnswer<'_>, out: &mut Vec<u8>) {
    match answer {
        RoleAnswer::Add(r) => push(*r, out),
        RoleAnswer::Get(r) => push(*r, out),
        RoleAnswer::Delete(r) => push(*r, out),
        RoleAnswer::Grant(r) => push(*r, out),
        RoleAnswer::Revoke(_, _, r) => push(*r, out),
    }
}

fn user(answer: &UserAnswer<'_>, out: &mut Vec<u8>) {
    match answer {
        UserAnswer::Add(r) => push(*r, out),
        UserAnswer::Get(r) => push(*r, out),
        UserAnswer::Delete(r) => push(*r, out),
        UserAnswer::Password(r) => push(*r, out),
        UserAnswer::Grant(_, r) => push(*r, out),
        UserAnswer::Revoke(_, r) => push(*r, out),
    }
}
