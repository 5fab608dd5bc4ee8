//! Watch: the streams of clients, whose watchers live in the watch hub.
//!
//! The hub decides what is sent and in which order; this file encodes and sends it. The hub gets credit back only for what
//! the client has taken, so a slow client holds back its own watchers and nobody else's. A client that half-closes its
//! stream keeps its watchers, as in etcd. Must never queue more than the credit granted.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::StreamCall;
use super::pulled::LARGEST_ANSWER;
use super::{describe, status};
use crate::door::{CallMeta, CallToken, Inbound, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle};
use api::etcdserverpb as pb;
use bytes::{Bytes, BytesMut};
use messages::Token;
use messages::auth::AuthRules;
use messages::read::ChunkSource;
use messages::watch::{CreateWatch, OversizedEvents, StreamKey, ToHub, WatchFrame};
use model::{Caller, KeyRange, ReadError};
use prost::Message as _;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes that the hub may send on a stream before the client has taken any of them.
const CREDIT: usize = 256 << 10;

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let services = services.clone();
    let fragmenting = Fragmenting::default();
    table.bidi("/etcdserverpb.Watch/Watch", move |meta: CallMeta, stream: StreamHandle| {
        open(&services, &meta, stream, &fragmenting)
    });
}

fn open(
    services: &ClientServices,
    meta: &CallMeta,
    stream: StreamHandle,
    fragmenting: &Fragmenting,
) -> Box<dyn StreamEvents> {
    let key = services.stream_key(stream.token().as_u64());
    let watch = Rc::new(WatchStream { key, fragmenting: fragmenting.clone(), state: RefCell::default() });
    if let Err(refused) = services.admit_data_stream(meta, &stream, OnLearner::Refused) {
        stream.finish(refused);
        return Box::new(Events { services: services.clone(), meta: meta.clone(), watch, open: false });
    }
    services.insert_stream(key.token, watch.clone());
    services.tell_hub(ToHub::OpenStream { stream: key, credit: CREDIT });
    Box::new(Events { services: services.clone(), meta: meta.clone(), watch, open: true })
}

/// A stream of a client.
struct WatchStream {
    key: StreamKey,
    fragmenting: Fragmenting,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Frames that found no room.
    unsent: VecDeque<QueuedFrame>,
    /// Credit of frames that were sent, which the hub has not got back.
    sent: usize,
}

/// A frame on its way out, and the credit it holds.
struct QueuedFrame {
    frame: Frame,
    cost: usize,
}

/// What a frame of the hub becomes.
enum Frame {
    /// One response.
    Ready(Message),
    /// Events of an oversized revision.
    Oversized(Oversized),
}

/// Events of an oversized revision on their way out: in one response, or in one response for each chunk.
struct Oversized {
    events: OversizedEvents,
    watch_id: i64,
    revision: i64,
    /// Set when each chunk is a response of its own.
    fragments: Option<FragmentingStream>,
    /// Bytes that have not come from the reader pool.
    left: u64,
    source: Option<Box<dyn ChunkSource>>,
    /// A message that found no room.
    unsent: Option<Message>,
    begun: bool,
}

/// Bytes of a chunk of an oversized revision that goes out as one response.
const OVERSIZED_CHUNK: usize = 128 << 10;
/// Bytes after which a fragment of an oversized revision ends with the event at hand. Without its previous key-value an event
/// is no larger than a request, so that a fragment is at most 512 KiB larger than a request, as in etcd.
const LARGEST_FRAGMENT: usize = 512 << 10;

/// How many streams of one connection thread are sending an oversized revision in fragments: they divide a budget.
type Fragmenting = Rc<Cell<usize>>;

/// Counts a stream that sends fragments while this lives.
struct FragmentingStream(Fragmenting);

impl FragmentingStream {
    fn new(fragmenting: &Fragmenting) -> Self {
        fragmenting.set(fragmenting.get() + 1);
        Self(fragmenting.clone())
    }

    /// Bytes of the next fragment: the more streams there are, the smaller it is.
    fn next_bytes(&self, services: &ClientServices) -> usize {
        let share = services.handle().limits().send_bytes / self.0.get().max(1);
        share.clamp(OVERSIZED_CHUNK, LARGEST_FRAGMENT)
    }
}

impl Drop for FragmentingStream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

struct Events {
    services: ClientServices,
    meta: CallMeta,
    watch: Rc<WatchStream>,
    open: bool,
}

impl Events {
    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            let key = self.watch.key;
            self.services.remove_stream(key.token);
            self.services.tell_hub(ToHub::CloseStream { stream: key });
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.close();
    }
}

impl StreamEvents for Events {
    fn on_message(&mut self, stream: &StreamHandle, message: Bytes) -> Inbound {
        match pb::WatchRequest::decode(message) {
            Ok(request) if self.services.awaited_index(&self.meta).is_some() => {
                // the others wait behind it: a client is answered in its order
                let (services, stream) = (self.services.clone(), stream.clone());
                let (key, meta) = (self.watch.key, self.meta.clone());
                self.services.when_token_is_known(&self.meta, move || {
                    if stream.is_open() {
                        take(&services, key, &meta, request);
                        stream.resume();
                    }
                });
                return Inbound::Pause;
            }
            Ok(request) => take(&self.services, self.watch.key, &self.meta, request),
            Err(why) => {
                stream.finish(status::malformed(&why));
                self.close();
            }
        }
        Inbound::Continue
    }

    fn on_ready(&mut self, stream: &StreamHandle) {
        self.watch.drain(&self.services, stream);
    }

    fn on_cancel(&mut self) {
        self.close();
    }
}

/// Takes a client's request. An empty one is ignored, as etcd does.
fn take(services: &ClientServices, stream: StreamKey, meta: &CallMeta, request: pb::WatchRequest) {
    use pb::watch_request::RequestUnion;
    let Some(request) = request.request_union else { return };
    services.tell_hub(match request {
        RequestUnion::CreateRequest(create) => {
            services.note(stream.token, |trace| trace.step("watch", describe::watch_attributes(&create)));
            let create = checked(create);
            match permit(services, meta, &create) {
                Ok(()) => ToHub::Create { stream, create },
                Err(refused) => ToHub::Refuse { stream, reason: status::in_go(&refused) },
            }
        }
        RequestUnion::CancelRequest(cancel) => ToHub::Cancel { stream, watch_id: cancel.watch_id },
        RequestUnion::ProgressRequest(_) => ToHub::Progress { stream },
    });
}

/// Whether the caller may see every key of what is to be watched, by the range as the client has written it.
fn permit(services: &ClientServices, meta: &CallMeta, create: &CreateWatch) -> Result<(), Status> {
    // the hub refuses such a request for what it is
    if create.start_revision < 0 {
        return Ok(());
    }
    let check = |rules: &dyn AuthRules, caller: &Caller| rules.check_read(caller, &create.range);
    services.permit(|| services.credentials(meta), check).map(drop)
}

/// An empty key means the first possible one; an end of one zero byte means no end.
fn checked(create: pb::WatchCreateRequest) -> CreateWatch {
    use pb::watch_create_request::FilterType;
    // copied: a watcher lives long, and a decoded field shares the whole buffer it was read into
    let key = if create.key.is_empty() { Bytes::from_static(&[0]) } else { Bytes::copy_from_slice(&create.key) };
    let end = Bytes::copy_from_slice(&create.range_end);
    let has = |filter: FilterType| create.filters.contains(&(filter as i32));
    CreateWatch {
        watch_id: create.watch_id,
        range: KeyRange::new(key, end),
        start_revision: create.start_revision,
        progress_notify: create.progress_notify,
        no_put: has(FilterType::Noput),
        no_delete: has(FilterType::Nodelete),
        prev_kv: create.prev_kv,
        fragment: create.fragment,
    }
}

impl StreamCall<ClientServices> for WatchStream {
    fn frames(self: Rc<Self>, services: &ClientServices, token: Token, frames: Vec<WatchFrame>) {
        let Some(stream) = services.handle().stream(CallToken::from_u64(token)) else { return };
        let queued = frames.into_iter().map(|frame| {
            let cost = frame.cost();
            QueuedFrame { frame: self.to_client(services, frame), cost }
        });
        self.state.borrow_mut().unsent.extend(queued);
        self.drain(services, &stream);
    }

    fn chunk(
        self: Rc<Self>,
        services: &ClientServices,
        token: Token,
        source: Box<dyn ChunkSource>,
        chunk: Result<Option<Bytes>, ReadError>,
    ) {
        let Some(stream) = services.handle().stream(CallToken::from_u64(token)) else { return };
        let mut state = self.state.borrow_mut();
        let Some(QueuedFrame { frame: Frame::Oversized(oversized), .. }) = state.unsent.front_mut() else { return };
        match chunk {
            Ok(Some(chunk)) if chunk.len() as u64 <= oversized.left => {
                oversized.left -= chunk.len() as u64;
                oversized.source = Some(source);
                oversized.unsent = Some(oversized.next(services, chunk));
            }
            // a compaction came between: what was announced cannot be sent any more
            other => {
                drop(state);
                let why = other.err().unwrap_or(ReadError::Compacted);
                return stream.finish(status::of_read(&why));
            }
        }
        drop(state);
        self.drain(services, &stream);
    }
}

/// The stream is over.
struct Closed;

impl WatchStream {
    /// What the client gets for a frame of the hub.
    fn to_client(&self, services: &ClientServices, frame: WatchFrame) -> Frame {
        match frame {
            WatchFrame::Oversized { watch_id, revision, events, fragment } => {
                // no client takes more in one response, so it comes in fragments even if nobody asked for that
                let fragment = fragment || events.bytes > LARGEST_ANSWER - (1 << 10);
                Frame::Oversized(Oversized {
                    watch_id,
                    revision,
                    fragments: fragment.then(|| FragmentingStream::new(&self.fragmenting)),
                    left: events.bytes,
                    events,
                    source: None,
                    unsent: None,
                    begun: false,
                })
            }
            frame => Frame::Ready(encode(services, frame)),
        }
    }

    /// Sends what there is room for, and tells the hub when the client has taken it.
    fn drain(&self, services: &ClientServices, stream: &StreamHandle) {
        let mut state = self.state.borrow_mut();
        while let Some(QueuedFrame { frame, cost }) = state.unsent.pop_front() {
            match send(services, stream, frame) {
                Ok(None) => state.sent += cost,
                Ok(Some(frame)) => {
                    state.unsent.push_front(QueuedFrame { frame, cost });
                    break;
                }
                Err(Closed) => {
                    state.unsent.clear();
                    break;
                }
            }
        }
        // what h2 holds for a client that takes nothing counts as not taken
        if state.sent > 0 && stream.is_drained() {
            let bytes = std::mem::take(&mut state.sent);
            services.tell_hub(ToHub::Credit { stream: self.key, bytes });
        }
    }
}

/// Sends a frame, or as much of it as can go now; the rest comes back.
fn send(services: &ClientServices, stream: &StreamHandle, frame: Frame) -> Result<Option<Frame>, Closed> {
    let mut oversized = match frame {
        Frame::Oversized(oversized) => oversized,
        Frame::Ready(message) => return Ok(try_send(stream, message)?.map(Frame::Ready)),
    };
    loop {
        if let Some(message) = oversized.unsent.take()
            && let Some(message) = try_send(stream, message)?
        {
            oversized.unsent = Some(message);
            return Ok(Some(Frame::Oversized(oversized)));
        }
        if !oversized.begun {
            oversized.begun = true;
            oversized.source = oversized.events.take();
            if oversized.fragments.is_none() {
                oversized.unsent = Some(oversized.first(services));
                continue;
            }
        }
        if oversized.left == 0 {
            return Ok(None);
        }
        // without a source a chunk is on its way; the next one is read when the client has taken the one before
        if stream.is_drained()
            && let Some(source) = oversized.source.take()
            && !services.read_chunk(stream.token().as_u64(), source, oversized.next_bytes(services))
        {
            stream.finish(status::TOO_MANY_REQUESTS);
            return Err(Closed);
        }
        return Ok(Some(Frame::Oversized(oversized)));
    }
}

fn try_send(stream: &StreamHandle, message: Message) -> Result<Option<Message>, Closed> {
    match stream.try_send(message) {
        Ok(_) => Ok(None),
        Err(SendError::Full(message)) => Ok(Some(message)),
        Err(SendError::Closed) => Err(Closed),
    }
}

impl Oversized {
    fn head(&self, services: &ClientServices, fragment: bool) -> Bytes {
        let response = pb::WatchResponse {
            header: services.pb_header(self.revision),
            watch_id: self.watch_id,
            fragment,
            ..pb::WatchResponse::default()
        };
        response.encode_to_vec().into()
    }

    /// Bytes to be read next.
    fn next_bytes(&self, services: &ClientServices) -> usize {
        self.fragments.as_ref().map_or(OVERSIZED_CHUNK, |stream| stream.next_bytes(services))
    }

    /// Start of the one response.
    fn first(&self, services: &ClientServices) -> Message {
        let head = self.head(services, false);
        Message::First(head.len() + self.left as usize, head)
    }

    /// A chunk, after it was taken off what is left.
    fn next(&self, services: &ClientServices, chunk: Bytes) -> Message {
        match &self.fragments {
            Some(_) => Message::Many(vec![self.head(services, self.left > 0), chunk]),
            None => Message::More(chunk),
        }
    }
}

fn encode(services: &ClientServices, frame: WatchFrame) -> Message {
    let response = |watch_id, revision| pb::WatchResponse {
        header: services.pb_header(revision),
        watch_id,
        ..pb::WatchResponse::default()
    };
    let plain = match frame {
        WatchFrame::Created { watch_id, revision } => {
            pb::WatchResponse { created: true, ..response(watch_id, revision) }
        }
        WatchFrame::Canceled { watch_id, created, revision, compact_revision, reason } => pb::WatchResponse {
            created,
            canceled: true,
            compact_revision,
            cancel_reason: reason,
            ..response(watch_id, revision)
        },
        WatchFrame::Progress { watch_id, revision } => response(watch_id, revision),
        WatchFrame::Oversized { .. } => unreachable!("sent in parts"),
        WatchFrame::Events { watch_id, revision, events, fragment } => {
            let head = pb::WatchResponse { fragment, ..response(watch_id, revision) };
            let mut out = BytesMut::with_capacity(head.encoded_len());
            head.encode_raw(&mut out);
            let mut pieces = Vec::with_capacity(events.len() + 1);
            pieces.push(out.freeze());
            pieces.extend(events);
            return Message::Many(pieces);
        }
    };
    Message::One(plain.encode_to_vec().into())
}
