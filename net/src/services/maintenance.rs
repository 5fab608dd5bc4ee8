//! Maintenance: status, alarms, hashes, defragmentation, snapshot, transfer of leadership.

use super::kv::method;
use super::waiting::Waiting;
use super::{Loop, encode, status};
use crate::door::{
    Answer, CallMeta, CallToken, Code, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle,
};
use api::etcdserverpb as pb;
use bytes::{Bytes, BytesMut};
use messages::admin::{Control, MaintenanceJob, RunJob};
use messages::read::{ChunkSource, Work};
use messages::reply::{HashAnswer, SnapshotAnswer};
use messages::{RequestError, Token};
use model::request::{AlarmAction, AlarmRequest, AlarmType};
use model::{AlarmMember, Command, ReadError};
use prost::Message as _;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Bytes of one snapshot message.
const SNAPSHOT_CHUNK: usize = 32 << 10;

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    let path = |name: &str| format!("/etcdserverpb.Maintenance/{name}");
    method(this, table, &path("Status"), |this, call, _: pb::StatusRequest| {
        call.take().reply(Answer::message(member_status(this).encode_to_vec()));
        Ok(())
    });
    method(this, table, &path("Alarm"), |this, call, request: AlarmRequest| {
        if request.action == AlarmAction::Get as i32 {
            // answered from the newest view; etcd's goes through raft, so it is as fresh
            this.when_readable(call.take(), Waiting::Alarms(request));
        } else {
            this.propose(call.take(), Command::Alarm(request));
        }
        Ok(())
    });
    method(this, table, &path("HashKV"), |this, call, request: pb::HashKvRequest| {
        run_query(this, call.take(), true, Work::HashKv { revision: request.revision });
        Ok(())
    });
    method(this, table, &path("Hash"), |this, call, _: pb::HashRequest| {
        run_query(this, call.take(), false, Work::Hash);
        Ok(())
    });
    method(this, table, &path("Defragment"), |this, call, _: pb::DefragmentRequest| {
        let token = call.take().defer().as_u64();
        this.waiting.borrow_mut().insert(token, Waiting::Defragment);
        if !this.ports.run_job(RunJob { sink: this.sink, token, job: MaintenanceJob::Defragment }) {
            job_done(this, token, Err(RequestError::Busy));
        }
        Ok(())
    });
    method(this, table, &path("MoveLeader"), |this, call, request: pb::MoveLeaderRequest| {
        move_leader(this, call.take(), request.target_id);
        Ok(())
    });
    let this = this.clone();
    table.server_stream(
        &path("Snapshot"),
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            open_snapshot(&this, &meta, body, stream)
        },
    );
}

fn move_leader(this: &Rc<Loop>, call: crate::door::Call, target: u64) {
    let leader = this.ports.gauges.leader.load(Acquire);
    let known = this.ports.reads.members().is_ok_and(|m| m.iter().any(|m| m.id == target && !m.is_learner));
    if leader != this.ports.identity.member_id {
        return call.reply(status::NOT_LEADER);
    }
    if target == leader {
        // etcd: nothing to do
        return call.reply(Answer::message(Bytes::new()));
    }
    if !known {
        return call.reply(status::BAD_TRANSFEREE);
    }
    let token = call.defer().as_u64();
    this.waiting.borrow_mut().insert(token, Waiting::Defragment);
    if !this.ports.core.control(Control::MoveLeader { sink: this.sink, token, target }) {
        job_done(this, token, Err(RequestError::Busy));
    }
}

fn run_query(this: &Rc<Loop>, call: crate::door::Call, kv: bool, work: Work) {
    let token = call.defer().as_u64();
    this.waiting.borrow_mut().insert(token, Waiting::Hash(kv));
    if !this.query(token, work) {
        this.waiting.borrow_mut().remove(&token);
        this.complete(token, status::TOO_MANY_REQUESTS);
    }
}

/// A hash is done.
pub(super) fn hashed(this: &Loop, token: Token, result: Result<HashAnswer, ReadError>) {
    let Some(Waiting::Hash(kv)) = this.waiting.borrow_mut().remove(&token) else { return };
    let hash = match result {
        Ok(hash) => hash,
        Err(why) => return this.complete(token, status::of_read(&why)),
    };
    let header = this.pb_header(hash.revision);
    let bytes = if kv {
        let HashAnswer { hash, compact_revision, hash_revision, .. } = hash;
        pb::HashKvResponse { header, hash, compact_revision, hash_revision }.encode_to_vec()
    } else {
        pb::HashResponse { header, hash: hash.hash }.encode_to_vec()
    };
    this.complete(token, Answer::message(bytes));
}

/// A job without data is done. Its answer has no header, as etcd's.
pub(super) fn job_done(this: &Loop, token: Token, result: Result<(), RequestError>) {
    this.waiting.borrow_mut().remove(&token);
    match result {
        Ok(()) => this.complete(token, Answer::message(Bytes::new())),
        Err(why) => this.complete(token, status::of_request(why)),
    }
}

fn member_status(this: &Loop) -> pb::StatusResponse {
    let store = this.ports.reads.status();
    let gauges = &this.ports.gauges;
    let mut errors: Vec<String> = store.alarms.iter().map(alarm_text).collect();
    let leader = gauges.leader.load(Acquire);
    if leader == 0 {
        errors.insert(0, status::NO_LEADER.message.into_owned());
    }
    pb::StatusResponse {
        header: this.pb_header(store.revision),
        version: this.config.server_version.clone(),
        db_size: store.logical_bytes,
        leader,
        // the core tells what is committed a moment after the applier may have applied it
        raft_index: gauges.committed.load(Relaxed).max(store.applied_index),
        raft_term: gauges.term.load(Relaxed),
        raft_applied_index: store.applied_index,
        errors,
        db_size_in_use: store.live_bytes,
        is_learner: gauges.learner.load(Relaxed),
        storage_version: this.config.storage_version.clone(),
        db_size_quota: this.config.quota_bytes,
        downgrade_info: Some(pb::DowngradeInfo::default()),
    }
}

/// How etcd writes an alarm into a status.
fn alarm_text(alarm: &AlarmMember) -> String {
    format!("memberID:{} alarm:{} ", alarm.member_id, name(alarm.alarm))
}

/// etcd's name of an alarm.
pub(crate) fn name(alarm: AlarmType) -> &'static str {
    match alarm {
        AlarmType::None => "NONE",
        AlarmType::Nospace => "NOSPACE",
        AlarmType::Corrupt => "CORRUPT",
    }
}

/// Standing alarms of the kind and member asked for.
pub(super) fn alarm_list(this: &Loop, request: &AlarmRequest) -> Answer {
    let store = this.ports.reads.status();
    let wanted = |a: &&AlarmMember| {
        (request.alarm == 0 || request.alarm == a.alarm as i32)
            && (request.member_id == 0 || request.member_id == a.member_id)
    };
    let list: Vec<_> = store.alarms.iter().filter(wanted).copied().collect();
    Answer::message(alarms(this.header(store.revision), &list))
}

/// `AlarmResponse`.
pub(super) fn alarms(header: encode::Header, alarms: &[AlarmMember]) -> Message {
    let mut out = BytesMut::from(&encode::range_head(header)[..]);
    for alarm in alarms {
        let member = pb::AlarmMember { member_id: alarm.member_id, alarm: alarm.alarm as i32 };
        encode::put_bytes(&mut out, 2, &member.encode_to_vec());
    }
    Message::One(out.freeze())
}

/// Snapshots on their way, by the token of their stream.
#[derive(Default)]
pub struct Snapshots(HashMap<Token, SnapshotStream>);

/// A snapshot on its way to a client: pulled from the pool one chunk at a time.
pub struct SnapshotStream {
    remaining: u64,
    source: Option<Box<dyn ChunkSource>>,
    /// A message that found no room.
    waiting: Option<Message>,
    /// Everything was sent but the checksum.
    ended: bool,
}

fn open_snapshot(this: &Rc<Loop>, meta: &CallMeta, body: Bytes, stream: StreamHandle) -> Box<dyn StreamEvents> {
    let token = stream.token().as_u64();
    let sound = || pb::SnapshotRequest::decode(body).map_err(|e| status::malformed(&e));
    if let Err(refused) = this.admit(meta).and_then(|()| sound().map(drop)) {
        stream.finish(refused);
    } else if !this.ports.run_job(RunJob { sink: this.sink, token, job: MaintenanceJob::OpenSnapshot }) {
        stream.finish(status::TOO_MANY_REQUESTS);
    }
    Box::new(SnapshotEvents { this: this.clone(), token })
}

struct SnapshotEvents {
    this: Rc<Loop>,
    token: Token,
}

impl StreamEvents for SnapshotEvents {
    fn on_ready(&mut self, stream: &StreamHandle) {
        let message = self.this.snapshots.borrow_mut().0.get_mut(&self.token).and_then(|s| s.waiting.take());
        match message {
            Some(message) => send(&self.this, self.token, stream, message),
            None => pull(&self.this, self.token, stream),
        }
    }
}

impl Drop for SnapshotEvents {
    fn drop(&mut self) {
        self.this.snapshots.borrow_mut().0.remove(&self.token);
    }
}

/// The checkpoint was made, and its stream measured.
pub(super) fn snapshot_opened(this: &Loop, token: Token, result: Result<SnapshotAnswer, RequestError>) {
    let Some(stream) = this.handle.stream(CallToken::from_u64(token)) else { return };
    match result {
        Err(why) => stream.finish(status::of_request(why)),
        Ok(answer) => {
            tracing::info!("total-bytes" = answer.total, "sending database snapshot to client");
            let state =
                SnapshotStream { remaining: answer.total, source: Some(answer.source), waiting: None, ended: false };
            this.snapshots.borrow_mut().0.insert(token, state);
            pull(this, token, &stream);
        }
    }
}

/// Reads the next chunk, once the client has taken what was sent.
fn pull(this: &Loop, token: Token, stream: &StreamHandle) {
    if !stream.is_drained() {
        return;
    }
    let source = this.snapshots.borrow_mut().0.get_mut(&token).and_then(|s| s.source.take());
    if let Some(source) = source
        && !this.query(token, Work::NextChunk { source, max_bytes: SNAPSHOT_CHUNK })
    {
        stream.finish(status::TOO_MANY_REQUESTS);
    }
}

/// A chunk of a snapshot came from the pool.
pub(super) fn snapshot_chunk(
    this: &Loop,
    token: Token,
    source: Box<dyn ChunkSource>,
    chunk: Result<Option<Bytes>, ReadError>,
) {
    let Some(stream) = this.handle.stream(CallToken::from_u64(token)) else { return };
    let message = {
        let mut snapshots = this.snapshots.borrow_mut();
        let Some(state) = snapshots.0.get_mut(&token) else { return };
        match chunk {
            Err(why) => {
                drop(snapshots);
                return stream.finish(status::of_read(&why));
            }
            // behind the announced length comes the checksum, the last message
            Ok(Some(checksum)) if state.remaining == 0 => {
                state.ended = true;
                response(this, 0, checksum)
            }
            Ok(Some(blob)) if blob.len() as u64 <= state.remaining => {
                state.remaining -= blob.len() as u64;
                state.source = Some(source);
                response(this, state.remaining, blob)
            }
            Ok(_) => {
                drop(snapshots);
                return stream.finish(Status::new(Code::DataLoss, "a snapshot has not its announced length"));
            }
        }
    };
    send(this, token, &stream, message);
}

fn response(this: &Loop, remaining_bytes: u64, blob: Bytes) -> Message {
    let version = this.config.storage_version.clone();
    let response = pb::SnapshotResponse { header: None, remaining_bytes, blob, version };
    Message::One(response.encode_to_vec().into())
}

fn send(this: &Loop, token: Token, stream: &StreamHandle, message: Message) {
    let ended = match stream.try_send(message) {
        Ok(_) => this.snapshots.borrow().0.get(&token).is_some_and(|s| s.ended),
        Err(SendError::Full(message)) => {
            if let Some(state) = this.snapshots.borrow_mut().0.get_mut(&token) {
                state.waiting = Some(message);
            }
            return;
        }
        Err(SendError::Closed) => return,
    };
    if ended { stream.finish(Status::OK) } else { pull(this, token, stream) }
}
