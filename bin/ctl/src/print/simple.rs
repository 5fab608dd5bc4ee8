//! `--write-out=simple`.
//!
//! Bytes are printed as they are. Colours, where a person looks, never change what the lines say.

use super::answer::{Answer, Health, UserAnswer, Watched};
use super::line::line;
use super::{Printer, roles, table};
use crate::term;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use pb::response_op::Response;

/// Prints an answer.
pub fn print(printer: &Printer, answer: &Answer<'_>, out: &mut Vec<u8>) {
    match answer {
        Answer::Get(r) => r.kvs.iter().for_each(|kv| key_value(printer, kv, out)),
        Answer::Put(r) => put(printer, r, out),
        Answer::Del(r) => deleted(printer, r, out),
        Answer::Txn(r) => txn(printer, r, out),
        Answer::Watch(r) => watched(printer, r, out),
        Answer::Grant(r) => line(out, &format!("lease {:016x} granted with TTL({}s)", r.id, r.ttl)),
        Answer::Revoke(id, _) => line(out, &format!("lease {id:016x} revoked")),
        Answer::KeepAlive(r) => line(out, &format!("lease {:016x} keepalived with TTL({})", r.id, r.ttl)),
        Answer::TimeToLive(r, keys) => time_to_live(r, *keys, out),
        Answer::Leases(r) => {
            line(out, &format!("found {} leases", r.leases.len()));
            r.leases.iter().for_each(|lease| line(out, &format!("{:016x}", lease.id)));
        }
        Answer::MemberAdd(r) => member_added(r, out),
        Answer::MemberRemove(id, r) => member(out, *id, "removed from", &r.header),
        Answer::MemberUpdate(id, r) => member(out, *id, "updated in", &r.header),
        Answer::MemberPromote(id, r) => member(out, *id, "promoted in", &r.header),
        Answer::MemberList(r) => rows(out, &table::members(r).rows),
        Answer::Health(all) => all.iter().for_each(|health| healthy(printer, health, out)),
        Answer::Status(all) => rows(out, &table::statuses(all).rows),
        Answer::HashKv(all) => rows(out, &table::hashes(all).rows),
        Answer::MoveLeader(from, to) => line(out, &format!("Leadership transferred from {from:x} to {to:x}")),
        Answer::Downgrade(done, r) => line(out, &format!("Downgrade {done} success, cluster version {}", r.version)),
        Answer::Alarm(r) => r.alarms.iter().for_each(|alarm| line(out, &alarm_text(alarm))),
        Answer::Role(name, answer) => roles::print(name, answer, out),
        Answer::RoleList(r) => r.roles.iter().for_each(|role| line(out, role)),
        Answer::User(name, answer) => user(name, answer, out),
        Answer::UserList(r) => r.users.iter().for_each(|user| line(out, user)),
        Answer::AuthStatus(r) => {
            line(out, &format!("Authentication Status: {}", r.enabled));
            line(out, &format!("AuthRevision: {}", r.auth_revision));
        }
    }
}

fn rows(out: &mut Vec<u8>, rows: &[Vec<String>]) {
    rows.iter().for_each(|row| line(out, &row.join(", ")));
}

fn key_value(printer: &Printer, kv: &KeyValue, out: &mut Vec<u8>) {
    let mut push = |bytes: &[u8], is_key: bool| {
        let shown = if printer.hex { hex(bytes) } else { bytes.to_vec() };
        let shown = if printer.colour && is_key { term::key(&shown) } else { shown };
        out.extend_from_slice(&shown);
        out.push(b'\n');
    };
    if !printer.values_only {
        push(&kv.key, true);
    }
    push(&kv.value, false);
}

/// `\x66\x6f`.
fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).collect()
}

fn put(printer: &Printer, r: &pb::PutResponse, out: &mut Vec<u8>) {
    line(out, "OK");
    if let Some(kv) = &r.prev_kv {
        key_value(printer, kv, out);
    }
}

fn deleted(printer: &Printer, r: &pb::DeleteRangeResponse, out: &mut Vec<u8>) {
    line(out, &r.deleted.to_string());
    r.prev_kvs.iter().for_each(|kv| key_value(printer, kv, out));
}

fn txn(printer: &Printer, r: &pb::TxnResponse, out: &mut Vec<u8>) {
    line(out, if r.succeeded { "SUCCESS" } else { "FAILURE" });
    for op in &r.responses {
        line(out, "");
        match &op.response {
            Some(Response::ResponseDeleteRange(r)) => deleted(printer, r, out),
            Some(Response::ResponsePut(r)) => put(printer, r, out),
            Some(Response::ResponseRange(r)) => r.kvs.iter().for_each(|kv| key_value(printer, kv, out)),
            Some(Response::ResponseTxn(r)) => txn(printer, r, out),
            None => line(out, "unexpected response"),
        }
    }
}

fn watched(printer: &Printer, r: &Watched, out: &mut Vec<u8>) {
    for event in r.events.iter().flatten() {
        let kind = event_type(event.r#type);
        let shown = if printer.colour { term::event(kind) } else { kind.to_owned() };
        line(out, &shown);
        if let Some(kv) = &event.prev_kv {
            key_value(printer, kv, out);
        }
        if let Some(kv) = &event.kv {
            key_value(printer, kv, out);
        }
    }
}

/// `PUT` or `DELETE`.
pub fn event_type(kind: i32) -> &'static str {
    if kind == 0 { "PUT" } else { "DELETE" }
}

fn time_to_live(r: &pb::LeaseTimeToLiveResponse, keys: bool, out: &mut Vec<u8>) {
    if r.granted_ttl == 0 && r.ttl == -1 {
        return line(out, &format!("lease {:016x} already expired", r.id));
    }
    let text = format!("lease {:016x} granted with TTL({}s), remaining({}s)", r.id, r.granted_ttl, r.ttl);
    out.extend_from_slice(text.as_bytes());
    if keys {
        out.extend_from_slice(b", attached keys([");
        out.extend_from_slice(&r.keys.join(&b' '));
        out.extend_from_slice(b"])");
    }
    out.push(b'\n');
}

fn member_added(r: &pb::MemberAddResponse, out: &mut Vec<u8>) {
    let added = r.member.clone().unwrap_or_default();
    let learner = if added.is_learner { " as learner " } else { " " };
    let cluster = r.header.unwrap_or_default().cluster_id;
    line(out, &format!("Member {:16x} added{learner}to cluster {cluster:16x}", added.id));
}

fn member(out: &mut Vec<u8>, id: u64, done: &str, header: &Option<pb::ResponseHeader>) {
    line(out, &format!("Member {id:16x} {done} cluster {:16x}", header.unwrap_or_default().cluster_id));
}

/// Bad health goes to standard error.
fn healthy(printer: &Printer, health: &Health, out: &mut Vec<u8>) {
    if health.error.is_empty() {
        let text = format!("{} is healthy: successfully committed proposal: took = {}", health.endpoint, health.took);
        return line(out, &if printer.colour { term::good(&text) } else { text });
    }
    let text = format!("{} is unhealthy: failed to commit proposal: {}", health.endpoint, health.error);
    eprintln!("{}", if term::stderr_is_terminal() { term::bad(&text) } else { text });
}

/// As protobuf's text form: zero fields are left out.
fn alarm_text(alarm: &pb::AlarmMember) -> String {
    let member = (alarm.member_id != 0).then(|| format!("memberID:{}", alarm.member_id));
    let kind = (alarm.alarm != 0).then(|| format!("alarm:{}", alarm_name(alarm.alarm)));
    [member, kind].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Name of an alarm.
pub fn alarm_name(kind: i32) -> String {
    match kind {
        0 => "NONE".into(),
        1 => "NOSPACE".into(),
        2 => "CORRUPT".into(),
        other => other.to_string(),
    }
}

fn user(name: &str, answer: &UserAnswer<'_>, out: &mut Vec<u8>) {
    match answer {
        UserAnswer::Add(_) => line(out, &format!("User {name} created")),
        UserAnswer::Get(r) => {
            line(out, &format!("User: {name}"));
            let roles: String = r.roles.iter().map(|role| format!(" {role}")).collect();
            line(out, &format!("Roles:{roles}"));
        }
        UserAnswer::Delete(_) => line(out, &format!("User {name} deleted")),
        UserAnswer::Password(_) => line(out, "Password updated"),
        UserAnswer::Grant(role, _) => line(out, &format!("Role {role} is granted to user {name}")),
        UserAnswer::Revoke(role, _) => line(out, &format!("Role {role} is revoked from user {name}")),
    }
}
