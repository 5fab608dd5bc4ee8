//! Maintenance.Snapshot: a checkpoint of the store as a stream, read one chunk at a time as the client takes it.
//!
//! Must never hold more than one chunk.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::{DeferredCall, StreamCall};
use super::status;
use crate::door::{CallMeta, CallToken, Code, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle};
use api::etcdserverpb as pb;
use bytes::Bytes;
use messages::Token;
use messages::admin::MaintenanceJob;
use messages::read::ChunkSource;
use messages::reply::SnapshotAnswer;
use model::{ReadError, SnapshotFormat};
use prost::Message as _;
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of one message.
const CHUNK: usize = 256 << 10;

/// Metadata by which a client asks for a format.
const FORMAT: &str = "conclave-snapshot-format";

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let services = services.clone();
    table.server_stream(
        "/etcdserverpb.Maintenance/Snapshot",
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            let token = stream.token().as_u64();
            let snapshot = Rc::<Snapshot>::default();
            if let Err(refused) = check(&services, &meta, &stream, body) {
                stream.finish(refused);
            } else {
                let opening = OpeningSnapshot { stream, snapshot: snapshot.clone() };
                let (own_services, own_meta) = (services.clone(), meta.clone());
                services.when_token_is_known(&meta, move || opening.begin(&own_services, &own_meta));
            }
            Box::new(Events { services: services.clone(), token, snapshot })
        },
    );
}

fn check(services: &ClientServices, meta: &CallMeta, stream: &StreamHandle, body: Bytes) -> Result<(), Status> {
    services.admit_data_stream(meta, stream, OnLearner::Served)?;
    match pb::SnapshotRequest::decode(body) {
        Ok(_) => Ok(()),
        Err(why) => Err(status::malformed(&why)),
    }
}

/// The format that the client asks for, or the one this member gives to clients who do not.
fn format(services: &ClientServices, meta: &CallMeta) -> Result<SnapshotFormat, Status> {
    let Some(asked) = meta.get(FORMAT) else { return Ok(services.config().snapshot_format) };
    let known = std::str::from_utf8(asked).ok().and_then(SnapshotFormat::from_name);
    known.ok_or(status::SNAPSHOT_FORMAT)
}

/// A stream that waits for its checkpoint.
struct OpeningSnapshot {
    stream: StreamHandle,
    snapshot: Rc<Snapshot>,
}

impl OpeningSnapshot {
    fn begin(self, services: &ClientServices, meta: &CallMeta) {
        match services.require_admin(meta).and_then(|()| format(services, meta)) {
            Ok(format) => services.run_job(self.stream.token().as_u64(), MaintenanceJob::OpenSnapshot(format), self),
            Err(refused) => self.stream.finish(refused),
        }
    }
}

impl DeferredCall<ClientServices> for OpeningSnapshot {
    fn snapshot_opened(self: Box<Self>, services: &ClientServices, token: Token, answer: SnapshotAnswer) {
        if !self.stream.is_open() {
            return;
        }
        tracing::info!("total-bytes" = answer.total, "sending database snapshot to client");
        let state = State { remaining: answer.total, source: Some(answer.source), unsent: None, ended: false };
        self.snapshot.0.replace(state);
        services.insert_stream(token, self.snapshot.clone());
        self.snapshot.pull(services, &self.stream);
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.stream.finish(why);
    }
}

/// A snapshot on its way to a client.
#[derive(Default)]
struct Snapshot(RefCell<State>);

#[derive(Default)]
struct State {
    /// Bytes that were announced and have not been read.
    remaining: u64,
    source: Option<Box<dyn ChunkSource>>,
    /// A message that found no room.
    unsent: Option<Message>,
    /// The checksum, which is the last message, was read.
    ended: bool,
}

impl Snapshot {
    /// Reads the next chunk, once the client has taken what was sent.
    fn pull(&self, services: &ClientServices, stream: &StreamHandle) {
        if !stream.is_drained() {
            return;
        }
        let source = self.0.borrow_mut().source.take();
        if let Some(source) = source
            && !services.read_chunk(stream.token().as_u64(), source, CHUNK)
        {
            stream.finish(status::TOO_MANY_REQUESTS);
        }
    }

    fn send(&self, services: &ClientServices, stream: &StreamHandle, message: Message) {
        match stream.try_send(message) {
            Ok(_) => {}
            Err(SendError::Full(message)) => {
                self.0.borrow_mut().unsent = Some(message);
                return;
            }
            Err(SendError::Closed) => return,
        }
        let ended = self.0.borrow().ended;
        if ended { stream.finish(Status::OK) } else { self.pull(services, stream) }
    }
}

impl StreamCall<ClientServices> for Snapshot {
    fn chunk(
        self: Rc<Self>,
        services: &ClientServices,
        token: Token,
        source: Box<dyn ChunkSource>,
        chunk: Result<Option<Bytes>, ReadError>,
    ) {
        let Some(stream) = services.handle().stream(CallToken::from_u64(token)) else { return };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(why) => return stream.finish(status::of_read(&why)),
        };
        let mut state = self.0.borrow_mut();
        let message = match chunk {
            // the checksum follows the announced length
            Some(checksum) if state.remaining == 0 => {
                state.ended = true;
                response(services, 0, checksum)
            }
            Some(blob) if blob.len() as u64 <= state.remaining => {
                state.remaining -= blob.len() as u64;
                state.source = Some(source);
                response(services, state.remaining, blob)
            }
            _ => {
                drop(state);
                return stream.finish(Status::new(Code::DataLoss, "the snapshot does not have its announced length"));
            }
        };
        drop(state);
        self.send(services, &stream, message);
    }
}

fn response(services: &ClientServices, remaining_bytes: u64, blob: Bytes) -> Message {
    let version = services.config().storage_version.clone();
    let response = pb::SnapshotResponse { header: None, remaining_bytes, blob, version };
    Message::One(response.encode_to_vec().into())
}

struct Events {
    services: ClientServices,
    token: Token,
    snapshot: Rc<Snapshot>,
}

impl StreamEvents for Events {
    fn on_ready(&mut self, stream: &StreamHandle) {
        let unsent = self.snapshot.0.borrow_mut().unsent.take();
        match unsent {
            Some(message) => self.snapshot.send(&self.services, stream, message),
            None => self.snapshot.pull(&self.services, stream),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.services.remove_stream(self.token);
    }
}
