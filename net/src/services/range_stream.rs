//! RangeStream: a range as a stream of chunks, all of one revision. No view of the store is held between two chunks.
//!
//! The last chunk carries header, `more` and `count`, so one chunk is held back until it is known whether another follows.
//! Merging all chunks gives the answer of the unary method.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::{DeferredCall, StreamCall};
use super::identity::Permit;
use super::reads::Guarded;
use super::{check, describe, encode, status};
use crate::door::{CallMeta, CallToken, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle};
use bytes::{Bytes, BytesMut};
use messages::Token;
use messages::read::{ChunkSource, RangePlan, Work};
use model::request::RangeRequest;
use model::{KeyRange, ReadError};
use prost::Message as _;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Bytes of the first chunk: small, so that the first keys arrive soon. Each later chunk is twice as large as the one before.
const FIRST_CHUNK: usize = 4 << 10;
/// Bytes of the largest chunk.
const LARGEST_CHUNK: usize = 512 << 10;
/// Chunks that a stream may have in memory: one held back, one being read or waiting, one in the hands of h2.
const CHUNKS: usize = 3;

/// How many streams of one connection thread are under way: they divide the budget for chunks.
type FlowCount = Rc<Cell<usize>>;

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let services = services.clone();
    let flows = FlowCount::default();
    table.server_stream(
        "/etcdserverpb.KV/RangeStream",
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            let token = stream.token().as_u64();
            let flow = Rc::new(Flow { flows: flows.clone(), state: RefCell::default() });
            match request(&services, &meta, body, &stream) {
                Ok(request) => {
                    let range = AwaitedRange { request, meta: meta.clone(), stream, flow: flow.clone() };
                    let own_services = services.clone();
                    services.when_token_is_known(&meta, move || range.begin(&own_services));
                }
                Err(refused) => stream.finish(refused),
            }
            Box::new(Events { services: services.clone(), token, flow })
        },
    );
}

fn request(
    services: &ClientServices,
    meta: &CallMeta,
    body: Bytes,
    stream: &StreamHandle,
) -> Result<RangeRequest, Status> {
    services.admit_stream(meta, stream, OnLearner::Refused)?;
    let request = RangeRequest::decode(body).map_err(|why| status::malformed(&why))?;
    check::range_stream(&request)?;
    services.note(stream.token().as_u64(), |trace| {
        trace.operation("range_streaming", describe::range_attributes(&request));
    });
    Ok(request)
}

/// A stream whose range may not be read yet.
struct AwaitedRange {
    request: RangeRequest,
    meta: CallMeta,
    stream: StreamHandle,
    flow: Rc<Flow>,
}

impl AwaitedRange {
    fn begin(self, services: &ClientServices) {
        if self.request.serializable || services.reads_are_free() {
            self.plan(services);
        } else {
            services.request_read_index(self.stream.token().as_u64(), self);
        }
    }

    /// Has the range measured, if the caller may read it.
    fn plan(self, services: &ClientServices) {
        let Self { request, meta, stream, flow } = self;
        let range = KeyRange::new(request.key.clone(), request.range_end.clone());
        let permit = services.permit(|| services.credentials(&meta), |rules, caller| rules.check_read(caller, &range));
        match permit {
            Ok(permit) => {
                let token = stream.token().as_u64();
                let planned = AwaitsPlan { stream, flow, permit };
                services.query(token, Work::PlanRange(request), Guarded { permit, call: planned });
            }
            Err(refused) => stream.finish(refused),
        }
    }
}

impl DeferredCall<ClientServices> for AwaitedRange {
    fn read_granted(self: Box<Self>, services: &ClientServices, _: Token) {
        self.plan(services);
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.stream.finish(why);
    }
}

/// A stream whose range is being measured.
struct AwaitsPlan {
    stream: StreamHandle,
    flow: Rc<Flow>,
    permit: Permit,
}

impl DeferredCall<ClientServices> for AwaitsPlan {
    fn range_planned(self: Box<Self>, services: &ClientServices, token: Token, plan: RangePlan) {
        self.flow.begin(services, plan, self.permit);
        services.insert_stream(token, self.flow.clone());
        self.flow.pull(services, &self.stream);
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.stream.finish(why);
    }
}

/// A stream on its way to the client.
struct Flow {
    flows: FlowCount,
    /// `None` until the range has been measured.
    state: RefCell<Option<FlowState>>,
}

struct FlowState {
    /// Header, `more` and `count`: what the last chunk ends with.
    last: Bytes,
    /// Key-values that came and were not sent yet.
    held: Option<Bytes>,
    source: Option<Box<dyn ChunkSource>>,
    chunk_bytes: usize,
    /// A message that found no room.
    unsent: Option<Message>,
    ended: bool,
    /// That the caller may read the range.
    permit: Permit,
}

impl Drop for Flow {
    fn drop(&mut self) {
        if self.state.get_mut().is_some() {
            self.flows.set(self.flows.get() - 1);
        }
    }
}

impl Flow {
    fn begin(&self, services: &ClientServices, plan: RangePlan, permit: Permit) {
        let mut last = BytesMut::from(&encode::range_head(services.header(plan.revision))[..]);
        encode::range_tail(&mut last, plan.more, plan.count);
        self.flows.set(self.flows.get() + 1);
        self.state.replace(Some(FlowState {
            last: last.freeze(),
            held: None,
            source: Some(plan.source),
            chunk_bytes: FIRST_CHUNK,
            unsent: None,
            ended: false,
            permit,
        }));
    }

    /// Reads the next chunk, once the client has taken what was sent.
    fn pull(&self, services: &ClientServices, stream: &StreamHandle) {
        if !stream.is_drained() {
            return;
        }
        // the more streams there are, the smaller their chunks
        let share = services.handle().limits().flow_bytes / CHUNKS / self.flows.get().max(1);
        let largest = share.clamp(FIRST_CHUNK, LARGEST_CHUNK);
        let next = self.state.borrow_mut().as_mut().and_then(|state| {
            let source = state.source.take()?;
            let max_bytes = state.chunk_bytes.min(largest);
            state.chunk_bytes = (max_bytes * 2).min(LARGEST_CHUNK);
            Some((source, max_bytes))
        });
        if let Some((source, max_bytes)) = next
            && !services.read_chunk(stream.token().as_u64(), source, max_bytes)
        {
            stream.finish(status::TOO_MANY_REQUESTS);
        }
    }

    fn send(&self, services: &ClientServices, stream: &StreamHandle, message: Message) {
        match stream.try_send(message) {
            Ok(_) => {}
            Err(SendError::Full(message)) => {
                if let Some(state) = self.state.borrow_mut().as_mut() {
                    state.unsent = Some(message);
                }
                return;
            }
            Err(SendError::Closed) => return,
        }
        let ended = self.state.borrow().as_ref().filter(|state| state.ended).map(|state| state.permit);
        match ended {
            Some(permit) => stream.finish(services.still_permitted(permit).err().unwrap_or(Status::OK)),
            None => self.pull(services, stream),
        }
    }
}

impl StreamCall<ClientServices> for Flow {
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
        let mut state = self.state.borrow_mut();
        let Some(flow) = state.as_mut() else { return };
        let response = match chunk {
            Some(kvs) => {
                flow.source = Some(source);
                flow.held.replace(kvs)
            }
            None => {
                flow.ended = true;
                let mut last = BytesMut::from(&flow.held.take().unwrap_or_default()[..]);
                last.extend_from_slice(&flow.last);
                Some(last.freeze())
            }
        };
        drop(state);
        let Some(response) = response else { return self.pull(services, &stream) };
        let mut out = BytesMut::with_capacity(response.len() + 6);
        // RangeStreamResponse.range_response
        encode::put_bytes(&mut out, 1, &response);
        self.send(services, &stream, Message::One(out.freeze()));
    }
}

struct Events {
    services: ClientServices,
    token: Token,
    flow: Rc<Flow>,
}

impl StreamEvents for Events {
    fn on_ready(&mut self, stream: &StreamHandle) {
        let unsent = self.flow.state.borrow_mut().as_mut().and_then(|state| state.unsent.take());
        match unsent {
            Some(message) => self.flow.send(&self.services, stream, message),
            None => self.flow.pull(&self.services, stream),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.services.remove_stream(self.token);
        self.services.forget(self.token);
    }
}
