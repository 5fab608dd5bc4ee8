//! Watch: one stream of a client, its watchers in the hub.
//!
//! The hub decides what is sent and in which order, this file writes it. The stream's credit in the hub is what its peer has
//! taken: a slow client holds its own watchers back and nobody else. A client that half-closes keeps its watches, as in etcd.
//! Must never queue more than the credit granted.

use super::{Loop, status};
use crate::door::{CallMeta, CallToken, Inbound, Message, MethodTable, SendError, StreamEvents, StreamHandle};
use api::etcdserverpb as pb;
use bytes::{Bytes, BytesMut};
use messages::Token;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::KeyRange;
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

/// What the loop keeps of a stream: frames that found no room.
pub struct WatchStream {
    waiting: VecDeque<(Message, usize)>,
}

fn open(this: &Rc<Loop>, meta: &CallMeta, stream: StreamHandle) -> Box<dyn StreamEvents> {
    let key = StreamKey { sink: this.sink, token: stream.token().as_u64() };
    if let Err(refused) = this.admit(meta) {
        stream.finish(refused);
        return Box::new(Events { this: this.clone(), key, open: false });
    }
    this.streams.borrow_mut().insert(key.token, WatchStream { waiting: VecDeque::new() });
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
            state.waiting.push_back((encode(this, frame), cost));
        }
    }
    drain(this, key, &stream);
}

/// Sends what there is room for, and gives the hub as much credit back.
fn drain(this: &Loop, key: StreamKey, stream: &StreamHandle) {
    let mut taken = 0;
    {
        let mut streams = this.streams.borrow_mut();
        let Some(state) = streams.get_mut(&key.token) else { return };
        while let Some((message, cost)) = state.waiting.pop_front() {
            match stream.try_send(message) {
                Ok(_) => taken += cost,
                Err(SendError::Full(message)) => {
                    state.waiting.push_front((message, cost));
                    break;
                }
                Err(SendError::Closed) => {
                    state.waiting.clear();
                    break;
                }
            }
        }
    }
    if taken > 0 {
        this.ask_hub(ToHub::Credit { stream: key, bytes: taken });
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
