//! `--write-out=json`: the messages as Go encodes its structs.
//!
//! Names and order of fields are those of etcd's generated Go code, and of its client's wrappers for leases and watches.

use super::Printer;
use super::answer::{Answer, Health, RoleAnswer, UserAnswer, Watched};
use super::json::{Object, list, object, string};
use api::authpb::Permission;
use api::etcdserverpb as pb;
use api::mvccpb::{Event, KeyValue};
use pb::response_op::Response;

type Header = Option<pb::ResponseHeader>;

/// Prints an answer and a line end.
pub fn print(printer: &Printer, answer: &Answer<'_>, out: &mut Vec<u8>) {
    match answer {
        Answer::Health(all) => list(out, all, |out, health| object(out, |o| health_fields(o, health))),
        Answer::Status(all) => list(out, all, |out, (endpoint, status)| {
            object(out, |o| {
                o.text("Endpoint", endpoint);
                o.object("Status", |o| status_fields(o, status));
            });
        }),
        Answer::HashKv(all) => list(out, all, |out, (endpoint, hash)| {
            object(out, |o| {
                o.text("Endpoint", endpoint);
                o.object("HashKV", |o| hash_fields(o, hash));
            });
        }),
        _ => object(out, |o| fields(o, printer, answer)),
    }
    out.push(b'\n');
}

fn fields(o: &mut Object<'_>, printer: &Printer, answer: &Answer<'_>) {
    match answer {
        Answer::Get(r) => range(o, r),
        Answer::Put(r) => put(o, r),
        Answer::Del(r) => deleted(o, r),
        Answer::Txn(r) => txn(o, r),
        Answer::Watch(r) => watched(o, r),
        Answer::Grant(r) => {
            header_fields(o, &r.header.unwrap_or_default());
            o.number("ID", r.id);
            o.number("TTL", r.ttl);
            o.text("Error", &r.error);
        }
        Answer::Revoke(_, r) => header(o, &r.header),
        Answer::KeepAlive(r) => {
            header_fields(o, &r.header.unwrap_or_default());
            o.number("ID", r.id);
            o.number("TTL", r.ttl);
        }
        Answer::TimeToLive(r, _) => time_to_live(o, r),
        Answer::Leases(r) => {
            header_fields(o, &r.header.unwrap_or_default());
            o.list("leases", &r.leases, |out, lease| object(out, |o| o.number("id", lease.id)));
        }
        Answer::MemberAdd(r) => {
            member_header(o, printer, &r.header);
            if let Some(added) = &r.member {
                o.object("member", |o| member(o, printer, added));
            } else if printer.hex {
                o.null("member");
            }
            members(o, printer, &r.members);
        }
        Answer::MemberRemove(_, r) => changed(o, printer, &r.header, &r.members),
        Answer::MemberUpdate(_, r) => changed(o, printer, &r.header, &r.members),
        Answer::MemberPromote(_, r) => changed(o, printer, &r.header, &r.members),
        Answer::MemberList(r) => changed(o, printer, &r.header, &r.members),
        Answer::Health(_) | Answer::Status(_) | Answer::HashKv(_) => unreachable!("lists are printed above"),
        Answer::MoveLeader(..) => {}
        Answer::Downgrade(_, r) => {
            header(o, &r.header);
            o.some_text("version", &r.version);
        }
        Answer::Alarm(r) => {
            header(o, &r.header);
            o.some_list("alarms", &r.alarms, |out, alarm| {
                object(out, |o| {
                    o.some_number("memberID", alarm.member_id);
                    o.some_number("alarm", alarm.alarm);
                });
            });
        }
        Answer::Role(_, answer) => role(o, answer),
        Answer::RoleList(r) => names(o, &r.header, "roles", &r.roles),
        Answer::User(_, answer) => user(o, answer),
        Answer::UserList(r) => names(o, &r.header, "users", &r.users),
        Answer::AuthStatus(r) => {
            header(o, &r.header);
            o.some_flag("enabled", r.enabled);
            o.some_number("authRevision", r.auth_revision);
        }
    }
}

fn time_to_live(o: &mut Object<'_>, r: &pb::LeaseTimeToLiveResponse) {
    header_fields(o, &r.header.unwrap_or_default());
    o.number("id", r.id);
    o.number("ttl", r.ttl);
    o.number("granted-ttl", r.granted_ttl);
    if r.keys.is_empty() {
        o.null("keys");
    } else {
        o.list("keys", &r.keys, |out, key| super::json::bytes(out, key));
    }
}

fn role(o: &mut Object<'_>, answer: &RoleAnswer<'_>) {
    match answer {
        RoleAnswer::Add(r) => header(o, &r.header),
        RoleAnswer::Delete(r) => header(o, &r.header),
        RoleAnswer::Grant(r) => header(o, &r.header),
        RoleAnswer::Revoke(_, _, r) => header(o, &r.header),
        RoleAnswer::Get(r) => {
            header(o, &r.header);
            o.some_list("perm", &r.perm, |out, perm| object(out, |o| permission(o, perm)));
        }
    }
}

fn permission(o: &mut Object<'_>, perm: &Permission) {
    o.some_number("permType", perm.perm_type);
    o.some_bytes("key", &perm.key);
    o.some_bytes("range_end", &perm.range_end);
}

fn user(o: &mut Object<'_>, answer: &UserAnswer<'_>) {
    match answer {
        UserAnswer::Add(r) => header(o, &r.header),
        UserAnswer::Get(r) => names(o, &r.header, "roles", &r.roles),
        UserAnswer::Delete(r) => header(o, &r.header),
        UserAnswer::Password(r) => header(o, &r.header),
        UserAnswer::Grant(_, r) => header(o, &r.header),
        UserAnswer::Revoke(_, r) => header(o, &r.header),
    }
}

fn names(o: &mut Object<'_>, h: &Header, name: &str, all: &[String]) {
    header(o, h);
    o.some_list(name, all, |out, one| string(out, one));
}

fn header(o: &mut Object<'_>, h: &Header) {
    if let Some(h) = h {
        o.object("header", |o| header_fields(o, h));
    }
}

fn header_fields(o: &mut Object<'_>, h: &pb::ResponseHeader) {
    o.some_number("cluster_id", h.cluster_id);
    o.some_number("member_id", h.member_id);
    o.some_number("revision", h.revision);
    o.some_number("raft_term", h.raft_term);
}

fn range(o: &mut Object<'_>, r: &pb::RangeResponse) {
    header(o, &r.header);
    o.some_list("kvs", &r.kvs, |out, kv| object(out, |o| key_value(o, kv)));
    o.some_flag("more", r.more);
    o.some_number("count", r.count);
}

fn put(o: &mut Object<'_>, r: &pb::PutResponse) {
    header(o, &r.header);
    if let Some(kv) = &r.prev_kv {
        o.object("prev_kv", |o| key_value(o, kv));
    }
}

fn deleted(o: &mut Object<'_>, r: &pb::DeleteRangeResponse) {
    header(o, &r.header);
    o.some_number("deleted", r.deleted);
    o.some_list("prev_kvs", &r.prev_kvs, |out, kv| object(out, |o| key_value(o, kv)));
}

fn txn(o: &mut Object<'_>, r: &pb::TxnResponse) {
    header(o, &r.header);
    o.some_flag("succeeded", r.succeeded);
    o.some_list("responses", &r.responses, |out, op| {
        object(out, |o| {
            o.object("Response", |o| match &op.response {
                Some(Response::ResponseRange(r)) => o.object("response_range", |o| range(o, r)),
                Some(Response::ResponsePut(r)) => o.object("response_put", |o| put(o, r)),
                Some(Response::ResponseDeleteRange(r)) => o.object("response_delete_range", |o| deleted(o, r)),
                Some(Response::ResponseTxn(r)) => o.object("response_txn", |o| txn(o, r)),
                None => {}
            });
        });
    });
}

fn key_value(o: &mut Object<'_>, kv: &KeyValue) {
    o.some_bytes("key", &kv.key);
    o.some_number("create_revision", kv.create_revision);
    o.some_number("mod_revision", kv.mod_revision);
    o.some_number("version", kv.version);
    o.some_bytes("value", &kv.value);
    o.some_number("lease", kv.lease);
}

fn watched(o: &mut Object<'_>, r: &Watched) {
    o.object("Header", |o| header_fields(o, &r.header));
    match &r.events {
        Some(events) => o.list("Events", events, |out, event| object(out, |o| event_fields(o, event))),
        None => o.null("Events"),
    }
    o.number("CompactRevision", r.compact_revision);
    o.flag("Canceled", r.canceled);
    o.flag("Created", false);
    o.text("CancelReason", &r.cancel_reason);
}

fn event_fields(o: &mut Object<'_>, event: &Event) {
    o.some_number("type", event.r#type);
    if let Some(kv) = &event.kv {
        o.object("kv", |o| key_value(o, kv));
    }
    if let Some(kv) = &event.prev_kv {
        o.object("prev_kv", |o| key_value(o, kv));
    }
}

/// With `--hex` the ids of members and their cluster are texts.
fn member_header(o: &mut Object<'_>, printer: &Printer, h: &Header) {
    if !printer.hex {
        return header(o, h);
    }
    let Some(h) = h else { return o.null("header") };
    o.object("header", |o| {
        o.text("cluster_id", &format!("{:x}", h.cluster_id));
        o.text("member_id", &format!("{:x}", h.member_id));
        o.some_number("revision", h.revision);
        o.some_number("raft_term", h.raft_term);
    });
}

fn changed(o: &mut Object<'_>, printer: &Printer, h: &Header, all: &[pb::Member]) {
    member_header(o, printer, h);
    members(o, printer, all);
}

fn members(o: &mut Object<'_>, printer: &Printer, all: &[pb::Member]) {
    let each = |out: &mut Vec<u8>, one: &pb::Member| object(out, |o| member(o, printer, one));
    if printer.hex {
        o.list("members", all, each);
    } else {
        o.some_list("members", all, each);
    }
}

fn member(o: &mut Object<'_>, printer: &Printer, one: &pb::Member) {
    if printer.hex {
        o.text("ID", &format!("{:x}", one.id));
    } else {
        o.some_number("ID", one.id);
    }
    o.some_text("name", &one.name);
    o.some_list("peerURLs", &one.peer_urls, |out, url| string(out, url));
    o.some_list("clientURLs", &one.client_urls, |out, url| string(out, url));
    o.some_flag("isLearner", one.is_learner);
}

fn health_fields(o: &mut Object<'_>, health: &Health) {
    o.text("endpoint", &health.endpoint);
    o.flag("health", health.healthy);
    o.text("took", &health.took);
    o.some_text("error", &health.error);
}

fn status_fields(o: &mut Object<'_>, s: &pb::StatusResponse) {
    header(o, &s.header);
    o.some_text("version", &s.version);
    o.some_number("dbSize", s.db_size);
    o.some_number("leader", s.leader);
    o.some_number("raftIndex", s.raft_index);
    o.some_number("raftTerm", s.raft_term);
    o.some_number("raftAppliedIndex", s.raft_applied_index);
    o.some_list("errors", &s.errors, |out, error| string(out, error));
    o.some_number("dbSizeInUse", s.db_size_in_use);
    o.some_flag("isLearner", s.is_learner);
    o.some_text("storageVersion", &s.storage_version);
    o.some_number("dbSizeQuota", s.db_size_quota);
    if let Some(info) = &s.downgrade_info {
        o.object("downgradeInfo", |o| {
            o.some_flag("enabled", info.enabled);
            o.some_text("targetVersion", &info.target_version);
        });
    }
}

fn hash_fields(o: &mut Object<'_>, hash: &pb::HashKvResponse) {
    header(o, &hash.header);
    o.some_number("hash", hash.hash);
    o.some_number("compact_revision", hash.compact_revision);
    o.some_number("hash_revision", hash.hash_revision);
}
