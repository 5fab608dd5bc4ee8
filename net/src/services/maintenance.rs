//! Maintenance: status, alarms, hashes, defragmentation, transfer of leadership. Snapshot is in `snapshot`.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::config::storage_version;
use super::deferred::DeferredCall;
use super::reads::{self, ReadCall, Served};
use super::unary::{method, method_on_learners};
use super::{encode, status};
use crate::door::{Answer, Call, MethodTable, Status};
use api::etcdserverpb as pb;
use bytes::Bytes;
use messages::Token;
use messages::admin::MaintenanceJob;
use messages::auth::AuthRules;
use messages::read::Work;
use messages::reply::HashAnswer;
use model::request::{AlarmAction, AlarmRequest, AlarmType};
use model::{AlarmMember, AuthRefusal, Caller, Command};
use prost::Message as _;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let path = |name: &str| format!("/etcdserverpb.Maintenance/{name}");
    let served = |_: &pb::StatusRequest| OnLearner::Served;
    method_on_learners(services, table, &path("Status"), served, |services, call, _: pb::StatusRequest| {
        services.require_known(call)?;
        call.take().reply(Answer::message(member_status(services).encode_to_vec()));
        Ok(())
    });
    method(services, table, &path("Alarm"), |services, call, request: AlarmRequest| {
        if request.action == AlarmAction::Get as i32 {
            // answered from the newest view; etcd's goes through raft, so it is as fresh
            reads::serve_linearizable(services, call.take(), Alarms(request));
        } else {
            services.require_admin(call)?;
            services.propose(call.take(), Command::Alarm(request));
        }
        Ok(())
    });
    method(services, table, &path("HashKV"), |services, call, request: pb::HashKvRequest| {
        services.require_admin(call)?;
        services.query(call.take().defer().as_u64(), Work::HashKv { revision: request.revision }, HashKv);
        Ok(())
    });
    method(services, table, &path("Hash"), |services, call, _: pb::HashRequest| {
        services.require_admin(call)?;
        services.query(call.take().defer().as_u64(), Work::Hash, Hash);
        Ok(())
    });
    method(services, table, &path("Defragment"), |services, call, _: pb::DefragmentRequest| {
        services.require_admin(call)?;
        services.run_job(call.take().defer().as_u64(), MaintenanceJob::Defragment, Defragment);
        Ok(())
    });
    method(services, table, &path("MoveLeader"), |services, call, request: pb::MoveLeaderRequest| {
        services.require_admin(call)?;
        move_leader(services, call.take(), request.target_id);
        Ok(())
    });
}

fn move_leader(services: &ClientServices, call: Call, target: u64) {
    let leader = services.ports().gauges.leader.load(Acquire);
    if leader != services.ports().identity.member_id {
        return call.reply(status::NOT_LEADER);
    }
    if target == leader {
        // etcd: nothing to do
        return call.reply(Answer::message(Bytes::new()));
    }
    let is_voter = services.ports().reads.members().is_ok_and(|m| m.iter().any(|m| m.id == target && !m.is_learner));
    if !is_voter {
        return call.reply(status::BAD_TRANSFEREE);
    }
    services.move_leader(call.defer().as_u64(), target, MoveLeader);
}

/// A transfer of leadership that is on its way.
struct MoveLeader;

impl DeferredCall<ClientServices> for MoveLeader {
    fn job_done(self: Box<Self>, services: &ClientServices, token: Token) {
        // without a header, as in etcd
        services.complete(token, Answer::message(Bytes::new()));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// A defragmentation that is on its way.
struct Defragment;

impl DeferredCall<ClientServices> for Defragment {
    fn job_done(self: Box<Self>, services: &ClientServices, token: Token) {
        // without a header, as in etcd
        services.complete(token, Answer::message(Bytes::new()));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// A call for the hash of the key-values at a revision.
struct HashKv;

impl DeferredCall<ClientServices> for HashKv {
    fn hashed(self: Box<Self>, services: &ClientServices, token: Token, answer: HashAnswer) {
        let HashAnswer { hash, compact_revision, hash_revision, revision } = answer;
        let header = services.pb_header(revision);
        let response = pb::HashKvResponse { header, hash, compact_revision, hash_revision };
        services.complete(token, Answer::message(response.encode_to_vec()));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// A call for the hash of the whole store.
struct Hash;

impl DeferredCall<ClientServices> for Hash {
    fn hashed(self: Box<Self>, services: &ClientServices, token: Token, answer: HashAnswer) {
        let response = pb::HashResponse { header: services.pb_header(answer.revision), hash: answer.hash };
        services.complete(token, Answer::message(response.encode_to_vec()));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

fn member_status(services: &ClientServices) -> pb::StatusResponse {
    let store = services.ports().reads.status();
    let gauges = &services.ports().gauges;
    // a store that cannot be read is told by everything else; a status is for diagnosis and always answered
    let target = services.ports().reads.downgrade_target().ok().flatten();
    let cluster = services.ports().reads.cluster_version().unwrap_or_default();
    let mut errors: Vec<String> = store.alarms.iter().map(alarm_text).collect();
    let leader = gauges.leader.load(Acquire);
    if leader == 0 {
        errors.insert(0, status::NO_LEADER.message.into_owned());
    }
    pb::StatusResponse {
        header: services.pb_header(store.revision),
        version: services.config().server_version.clone(),
        db_size: store.logical_bytes,
        leader,
        // the core tells what is committed a moment after the applier may have applied it
        raft_index: gauges.committed.load(Relaxed).max(store.applied_index),
        raft_term: gauges.term.load(Relaxed),
        raft_applied_index: store.applied_index,
        errors,
        db_size_in_use: store.live_bytes,
        is_learner: gauges.learner.load(Relaxed),
        storage_version: storage_version(&cluster, &services.config().storage_version).to_owned(),
        db_size_quota: services.config().quota_bytes,
        downgrade_info: Some(pb::DowngradeInfo {
            enabled: target.is_some(),
            target_version: target.unwrap_or_default(),
        }),
    }
}

/// How etcd writes an alarm into a status: as protobuf prints it, without fields that have the default value.
fn alarm_text(alarm: &AlarmMember) -> String {
    let mut fields = Vec::new();
    if alarm.member_id != 0 {
        fields.push(format!("memberID:{}", alarm.member_id));
    }
    if alarm.alarm != AlarmType::None {
        fields.push(format!("alarm:{}", alarm_name(alarm.alarm)));
    }
    fields.join(" ")
}

/// etcd's name of an alarm.
pub(crate) fn alarm_name(alarm: AlarmType) -> &'static str {
    match alarm {
        AlarmType::None => "NONE",
        AlarmType::Nospace => "NOSPACE",
        AlarmType::Corrupt => "CORRUPT",
    }
}

/// A call for the standing alarms, of the kind and member asked for.
struct Alarms(AlarmRequest);

impl ReadCall for Alarms {
    const READS_KEYS: bool = false;

    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        rules.check_known(caller)
    }

    fn serve(self, services: &ClientServices) -> Served {
        let request = &self.0;
        let store = services.ports().reads.status();
        let wanted = |a: &&AlarmMember| {
            (request.alarm == 0 || request.alarm == a.alarm as i32)
                && (request.member_id == 0 || request.member_id == a.member_id)
        };
        let list: Vec<_> = store.alarms.iter().filter(wanted).copied().collect();
        Answer::message(encode::alarms(services.header(store.revision), &list)).into()
    }
}
