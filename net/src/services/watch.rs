//! Watch: one stream of a client, its watchers in the hub.
//!
//! The hub decides what is sent and in which order, this file writes it. The stream's credit in the hub is what its peer has
//! taken: a slow client holds its own watchers back and nobody else. A client that half-closes keeps its watches, as in etcd.
//! Must never queue more than the credit granted.

use super::kv::LARGEST_ANSWER;
use super::{Loop, status};
use crate::door::{CallMeta, CallToken, Inbound, Message, MethodTable, SendError, StreamEvents, StreamHandle};
use api::etcdserverpb as pb;
use bytes::{Bytes, BytesMut};
use messages::Token;
use messages::read::{ChunkSource, Work};
use messages::watch::{CreateWatch, OversizedEvents, StreamKey, ToHub, WatchFrame};
use model::{KeyRange, ReadError};
use prost::Message as _;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes the hub may send on a stream before the client has taken any.
const CREDIT: usize = 256 << 10;

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    let this = this.clone();
    table.bidi("/etcdserverpb.Watch/Watch", move |meta: CallMeta, stream: StreamHandle| open(&this, &meta, stream));
}

/// What the loop keeps of a stream: frames that found no room, and what the hub is to be told once the client took the rest.
#[derive(Default)]
pub struct WatchStream {
    waiting: VecDeque<(Frame, usize)>,
    taken: usize,
}

/// A frame on its way out.
enum Frame {
    Ready(Message),
    Oversized(Oversized),
}

/// Events of an oversized revision on their way out: the response they make up, or one response for each chunk.
struct Oversized {
    events: OversizedEvents,
    watch_id: i64,
    revision: i64,
    fragment: bool,
    /// Bytes that have not come from the pool.
    left: u64,
    source: Option<Box<dyn ChunkSource>>,
    /// What found no room.
    ready: Option<Message>,
    begun: bool,
}

/// Bytes of a chunk of an oversized revision.
const OVERSIZED_CHUNK: usize = 128 << 10;

fn open(this: &Rc<Loop>, meta: &CallMeta, stream: StreamHandle) -> Box<dyn StreamEvents> {
    let key = StreamKey { sink: this.sink, token: stream.token().as_u64() };
    if let Err(refused) = this.admit(meta) {
        stream.finish(refused);
        return Box::new(Events { this: this.clone(), key, open: false });
    }
    this.streams.borrow_mut().insert(key.token, WatchStream::default());
    this.ask_hub(ToHub::OpenStream { stream: key, credit: CREDIT });
    Box::new(Events { this: this.clone(), key, open: true })
}

struct Events {
    this: Rc<Loop>,
    key: StreamKey,
    open: bool,
}

impl Events {
    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.this.streams.borrow_mut().remove(&self.key.token);
            self.this.ask_hub(ToHub::CloseStream { stream: self.key });
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
            Ok(request) => {
                if let Some(message) = to_hub(self.key, request) {
                    self.this.ask_hub(message);
                }
            }
            Err(why) => {
                stream.finish(status::malformed(&why));
                self.close();
            }
        }
        Inbound::Continue
    }

    fn on_ready(&mut self, stream: &StreamHandle) {
        drain(&self.this, self.key, stream);
    }

    fn on_cancel(&mut self) {
        self.close();
    }
}

/// What a client's request means for the hub. An empty request is ignored, as etcd does.
fn to_hub(stream: StreamKey, request: pb::WatchRequest) -> Option<ToHub> {
    use pb::watch_request::RequestUnion;
    Some(match request.request_union? {
        RequestUnion::CreateRequest(create) => ToHub::Create { stream, create: checked(create) },
        RequestUnion::CancelRequest(cancel) => ToHub::Cancel { stream, watch_id: cancel.watch_id },
        RequestUnion::ProgressRequest(_) => ToHub::Progress { stream },
    })
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

/// Frames from the hub, to be sent in order.
pub(super) fn frames(this: &Loop, token: Token, frames: Vec<WatchFrame>) {
    let key = StreamKey { sink: this.sink, token };
    let Some(stream) = this.handle.stream(CallToken::from_u64(token)) else { return };
    {
        let mut streams = this.streams.borrow_mut();
        let Some(state) = streams.get_mut(&token) else { return };
        for frame in frames {
            let cost = frame.cost();
            state.waiting.push_back((self::frame(this, frame), cost));
        }
    }
    drain(this, key, &stream);
}

/// Sends what there is room for, and tells the hub when the client has taken it.
fn drain(this: &Loop, key: StreamKey, stream: &StreamHandle) {
    let taken = {
        let mut streams = this.streams.borrow_mut();
        let Some(state) = streams.get_mut(&key.token) else { return };
        while let Some((frame, cost)) = state.waiting.pop_front() {
            match send(this, key.token, stream, frame) {
                Ok(None) => state.taken += cost,
                Ok(Some(frame)) => {
                    state.waiting.push_front((frame, cost));
                    break;
                }
                Err(Closed) => {
                    state.waiting.clear();
                    break;
                }
            }
        }
        // what h2 holds for a client that takes nothing counts as not taken
        if state.taken > 0 && stream.is_drained() { std::mem::take(&mut state.taken) } else { 0 }
    };
    if taken > 0 {
        this.ask_hub(ToHub::Credit { stream: key, bytes: taken });
    }
}

/// The stream is over.
struct Closed;

/// Sends a frame, or as much of it as goes now; what is left comes back.
fn send(this: &Loop, token: Token, stream: &StreamHandle, frame: Frame) -> Result<Option<Frame>, Closed> {
    let mut oversized = match frame {
        Frame::Oversized(oversized) => oversized,
        Frame::Ready(message) => return Ok(try_send(stream, message)?.map(Frame::Ready)),
    };
    loop {
        if let Some(message) = oversized.ready.take()
            && let Some(message) = try_send(stream, message)?
        {
            oversized.ready = Some(message);
            return Ok(Some(Frame::Oversized(oversized)));
        }
        if !oversized.begun {
            oversized.begun = true;
            oversized.source = oversized.events.take();
            if !oversized.fragment {
                oversized.ready = Some(oversized.first(this));
                continue;
            }
        }
        if oversized.left == 0 {
            return Ok(None);
        }
        // a chunk is on its way, or is read when the client has taken the one before
        if oversized.source.is_some() && stream.is_drained() {
            let source = oversized.source.take().expect("just seen");
            if !this.query(token, Work::NextChunk { source, max_bytes: OVERSIZED_CHUNK }) {
                stream.finish(status::TOO_MANY_REQUESTS);
                return Err(Closed);
            }
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

/// A chunk of an oversized revision came from the pool.
pub(super) fn chunk(this: &Loop, token: Token, source: Box<dyn ChunkSource>, chunk: Result<Option<Bytes>, ReadError>) {
    let Some(stream) = this.handle.stream(CallToken::from_u64(token)) else { return };
    {
        let mut streams = this.streams.borrow_mut();
        let front = streams.get_mut(&token).and_then(|state| state.waiting.front_mut());
        let Some((Frame::Oversized(oversized), _)) = front else { return };
        match chunk {
            Ok(Some(chunk)) if chunk.len() as u64 <= oversized.left => {
                oversized.left -= chunk.len() as u64;
                oversized.source = Some(source);
                oversized.ready = Some(oversized.next(this, chunk));
            }
            // a compaction came between: what was announced cannot be sent any more
            other => {
                drop(streams);
                let why = other.err().unwrap_or(ReadError::Compacted);
                return stream.finish(status::of_read(&why));
            }
        }
    }
    drain(this, StreamKey { sink: this.sink, token }, &stream);
}

impl Oversized {
    fn head(&self, this: &Loop, fragment: bool) -> Bytes {
        let response = pb::WatchResponse {
            header: this.pb_header(self.revision),
            watch_id: self.watch_id,
            fragment,
            ..pb::WatchResponse::default()
        };
        response.encode_to_vec().into()
    }

    /// Start of the one response.
    fn first(&self, this: &Loop) -> Message {
        let head = self.head(this, false);
        Message::First(head.len() + self.left as usize, head)
    }

    /// A chunk, after it was taken off what is left.
    fn next(&self, this: &Loop, chunk: Bytes) -> Message {
        match self.fragment {
            true => Message::Many(vec![self.head(this, self.left > 0), chunk]),
            false => Message::More(chunk),
        }
    }
}

fn frame(this: &Loop, frame: WatchFrame) -> Frame {
    match frame {
        WatchFrame::Oversized { watch_id, revision, events, fragment } => {
            // no client takes more in one response, so it comes in parts even if nobody asked for that
            let (left, fragment) = (events.bytes, fragment || events.bytes > LARGEST_ANSWER - (1 << 10));
            Frame::Oversized(Oversized {
                events,
                watch_id,
                revision,
                fragment,
                left,
                source: None,
                ready: None,
                begun: false,
            })
        }
        frame => Frame::Ready(encode(this, frame)),
    }
}

fn encode(this: &Loop, frame: WatchFrame) -> Message {
    let response = |watch_id, revision| pb::WatchResponse {
        header: this.pb_header(revision),
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
