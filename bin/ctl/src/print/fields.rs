//! `--write-out=fields`: `"Name" : value`, one a line.

use super::answer::{Answer, RoleAnswer, UserAnswer, Watched};
use super::line::line;
use super::quote::quote;
use super::simple::{alarm_name, event_type};
use super::{Printer, table};
use crate::exit::Exit;
use api::authpb::permission;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use pb::response_op::Response;

/// Prints an answer.
///
/// # Errors
/// For answers that etcdctl does not offer in this format.
pub fn print(printer: &Printer, answer: &Answer<'_>, out: &mut Vec<u8>) -> Result<(), Exit> {
    let mut w = Fields { hex: printer.hex, out };
    match answer {
        Answer::Get(r) => w.range(r),
        Answer::Put(r) => w.put(r),
        Answer::Del(r) => w.deleted(r),
        Answer::Txn(r) => w.txn(r),
        Answer::Watch(r) => w.watched(r),
        Answer::Grant(r) => w.lease(&r.header, r.id, Some(r.ttl)),
        Answer::Revoke(_, r) => w.header(&r.header),
        Answer::KeepAlive(r) => w.lease(&r.header, r.id, Some(r.ttl)),
        Answer::TimeToLive(r, _) => {
            w.lease(&r.header, r.id, Some(r.ttl));
            w.field("GrantedTTL", r.granted_ttl);
            r.keys.iter().for_each(|key| w.field("Key", quote(key)));
        }
        Answer::Leases(r) => {
            w.header(&r.header);
            r.leases.iter().for_each(|lease| w.lease_id(lease.id));
        }
        Answer::MemberList(r) => w.members(r),
        Answer::Health(all) => {
            for health in *all {
                w.field("Endpoint", quote(health.endpoint.as_bytes()));
                w.field("Health", health.healthy);
                w.field("Took", &health.took);
                w.field("Error", &health.error);
                w.blank();
            }
        }
        Answer::Status(all) => all.iter().for_each(|(endpoint, status)| w.status(endpoint, status)),
        Answer::HashKv(all) => {
            for (endpoint, hash) in *all {
                w.header(&hash.header);
                w.field("Endpoint", quote(endpoint.as_bytes()));
                w.field("Hash", hash.hash);
                w.field("HashRevision", hash.hash_revision);
                w.blank();
            }
        }
        Answer::Alarm(r) => {
            w.header(&r.header);
            for alarm in &r.alarms {
                w.id("MemberID", alarm.member_id);
                w.field("AlarmType", alarm_name(alarm.alarm));
                w.blank();
            }
        }
        Answer::Role(_, answer) => w.role(answer),
        Answer::RoleList(r) => {
            w.header(&r.header);
            let roles: String = r.roles.iter().map(|role| format!(" {}", quote(role.as_bytes()))).collect();
            line(w.out, &format!("\"Roles\" :{roles}"));
        }
        Answer::User(_, answer) => return w.user(answer),
        _ => return Err(table::unsupported("fields")),
    }
    Ok(())
}

struct Fields<'a> {
    hex: bool,
    out: &'a mut Vec<u8>,
}

impl Fields<'_> {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        line(self.out, &format!("\"{name}\" : {value}"));
    }

    fn blank(&mut self) {
        self.out.push(b'\n');
    }

    fn id(&mut self, name: &str, id: u64) {
        if self.hex { self.field(name, format!("{id:x}")) } else { self.field(name, id) }
    }

    fn lease_id(&mut self, id: i64) {
        if self.hex { self.field("ID", format!("{id:016x}")) } else { self.field("ID", id) }
    }

    fn lease(&mut self, header: &Option<pb::ResponseHeader>, id: i64, ttl: Option<i64>) {
        self.header(header);
        self.lease_id(id);
        if let Some(ttl) = ttl {
            self.field("TTL", ttl);
        }
    }

    /// A revision only where there is one: answers about members have none.
    fn header(&mut self, header: &Option<pb::ResponseHeader>) {
        let header = header.unwrap_or_default();
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        if header.revision > 0 {
            self.field("Revision", header.revision);
        }
        self.field("RaftTerm", header.raft_term);
    }

    fn key_value(&mut self, prefix: &str, kv: &KeyValue) {
        self.field(&format!("{prefix}Key"), quote(&kv.key));
        self.field(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.field(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.field(&format!("{prefix}Version"), kv.version);
        self.field(&format!("{prefix}Value"), quote(&kv.value));
        let name = format!("{prefix}Lease");
        if self.hex { self.field(&name, format!("{:016x}", kv.lease)) } else { self.field(&name, kv.lease) }
    }

    fn range(&mut self, r: &pb::RangeResponse) {
        self.header(&r.header);
        r.kvs.iter().for_each(|kv| self.key_value("", kv));
        self.field("More", r.more);
        self.field("Count", r.count);
    }

    fn put(&mut self, r: &pb::PutResponse) {
        self.header(&r.header);
        r.prev_kv.iter().for_each(|kv| self.key_value("Prev", kv));
    }

    fn deleted(&mut self, r: &pb::DeleteRangeResponse) {
        self.header(&r.header);
        self.field("Deleted", r.deleted);
        r.prev_kvs.iter().for_each(|kv| self.key_value("Prev", kv));
    }

    fn txn(&mut self, r: &pb::TxnResponse) {
        self.header(&r.header);
        self.field("Succeeded", r.succeeded);
        for op in &r.responses {
            match &op.response {
                Some(Response::ResponseDeleteRange(r)) => self.deleted(r),
                Some(Response::ResponsePut(r)) => self.put(r),
                Some(Response::ResponseRange(r)) => self.range(r),
                Some(Response::ResponseTxn(r)) => self.txn(r),
                None => self.field("Unknown", "\"<nil>\""),
            }
        }
    }

    fn watched(&mut self, r: &Watched) {
        self.header(&Some(r.header));
        for event in r.events.iter().flatten() {
            self.field("Type", event_type(event.r#type));
            event.prev_kv.iter().for_each(|kv| self.key_value("Prev", kv));
            self.key_value("", &event.kv.clone().unwrap_or_default());
        }
    }

    fn members(&mut self, r: &pb::MemberListResponse) {
        self.header(&r.header);
        for member in &r.members {
            self.id("ID", member.id);
            self.field("Name", quote(member.name.as_bytes()));
            member.peer_urls.iter().for_each(|url| self.field("PeerURL", quote(url.as_bytes())));
            member.client_urls.iter().for_each(|url| self.field("ClientURL", quote(url.as_bytes())));
            self.field("IsLearner", member.is_learner);
            self.blank();
        }
    }

    fn status(&mut self, endpoint: &str, s: &pb::StatusResponse) {
        let info = s.downgrade_info.clone().unwrap_or_default();
        self.header(&s.header);
        self.field("Version", quote(s.version.as_bytes()));
        self.field("StorageVersion", quote(s.storage_version.as_bytes()));
        self.field("DBSize", s.db_size);
        self.field("DBSizeInUse", s.db_size_in_use);
        self.field("DBSizeQuota", s.db_size_quota);
        self.field("Leader", s.leader);
        self.field("IsLearner", s.is_learner);
        self.field("RaftIndex", s.raft_index);
        self.field("RaftTerm", s.raft_term);
        self.field("RaftAppliedIndex", s.raft_applied_index);
        self.field("Errors", format!("[{}]", s.errors.join(" ")));
        self.field("Endpoint", quote(endpoint.as_bytes()));
        self.field("DowngradeTargetVersion", quote(info.target_version.as_bytes()));
        self.field("DowngradeEnabled", info.enabled);
        self.blank();
    }

    fn role(&mut self, answer: &RoleAnswer<'_>) {
        match answer {
            RoleAnswer::Add(r) => self.header(&r.header),
            RoleAnswer::Delete(r) => self.header(&r.header),
            RoleAnswer::Grant(r) => self.header(&r.header),
            RoleAnswer::Revoke(_, _, r) => self.header(&r.header),
            RoleAnswer::Get(r) => {
                self.header(&r.header);
                for perm in &r.perm {
                    let kind = permission::Type::try_from(perm.perm_type).map(|kind| kind.as_str_name().to_owned());
                    let kind = kind.unwrap_or_else(|_| perm.perm_type.to_string());
                    // two blanks, as etcdctl has it
                    line(self.out, &format!("\"PermType\" :  {kind}"));
                    self.field("Key", quote(&perm.key));
                    self.field("RangeEnd", quote(&perm.range_end));
                }
            }
        }
    }

    fn user(&mut self, answer: &UserAnswer<'_>) -> Result<(), Exit> {
        match answer {
            UserAnswer::Add(r) => self.header(&r.header),
            UserAnswer::Delete(r) => self.header(&r.header),
            UserAnswer::Password(r) => self.header(&r.header),
            UserAnswer::Grant(_, r) => self.header(&r.header),
            UserAnswer::Revoke(_, r) => self.header(&r.header),
            UserAnswer::Get(_) => return Err(table::unsupported("fields")),
        }
        Ok(())
    }
}
