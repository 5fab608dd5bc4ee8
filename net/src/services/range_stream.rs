//! RangeStream: a range as a stream of chunks, all at one revision; the view is let go between chunks.
//!
//! Header, more and count stand in the last chunk, so one chunk is held back until it is known whether another follows;
//! merging all chunks gives the unary answer.

use super::waiting::Waiting;
use super::{Loop, check, encode, status};
use crate::door::{CallMeta, CallToken, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle};
use bytes::{Bytes, BytesMut};
use messages::Token;
use messages::read::{ChunkSource, RangePlan, Work};
use model::ReadError;
use model::request::RangeRequest;
use prost::Message as _;
use std::rc::Rc;

/// Bytes of the first chunk, so that the first keys come soon; later ones double up to the largest.
const FIRST_CHUNK: usize = 4 << 10;
const LARGEST_CHUNK: usize = 512 << 10;
/// Chunks a stream may have in memory: one held back, one that is read or waits, one in the hands of h2.
const CHUNKS: usize = 3;

/// A stream that waits for leave to read, or for its plan.
pub struct Streamed {
    stream: StreamHandle,
    request: RangeRequest,
}

impl Streamed {
    pub(super) fn fail(self, status: Status) {
        self.stream.finish(status);
    }
}

/// A stream under way.
pub struct Flow {
    last: Bytes,
    /// Key-values that came and were not sent yet.
    held: Option<Bytes>,
    source: Option<Box<dyn ChunkSource>>,
    chunk_bytes: usize,
    waiting: Option<Message>,
    ended: bool,
}

/// Registers the method.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    let this = this.clone();
    table.server_stream(
        "/etcdserverpb.KV/RangeStream",
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            let token = stream.token().as_u64();
            if let Err(refused) = open(&this, &meta, body, &stream) {
                stream.finish(refused);
            }
            Box::new(Events { this: this.clone(), token })
        },
    );
}

fn open(this: &Rc<Loop>, meta: &CallMeta, body: Bytes, stream: &StreamHandle) -> Result<(), Status> {
    this.admit(meta)?;
    let request = RangeRequest::decode(body).map_err(|e| status::malformed(&e))?;
    check::range_stream(&request)?;
    let serializable = request.serializable;
    let streamed = Streamed { stream: stream.clone(), request };
    if serializable || this.reads_are_free() {
        start(this, streamed);
    } else {
        this.ask_to_read(stream.token().as_u64(), Waiting::Stream(streamed));
    }
    Ok(())
}

/// Leave to read was given: the pool measures the range.
pub(super) fn start(this: &Rc<Loop>, streamed: Streamed) {
    let token = streamed.stream.token().as_u64();
    let request = streamed.request.clone();
    if !this.query(token, Work::PlanRange(request)) {
        return streamed.fail(status::TOO_MANY_REQUESTS);
    }
    this.waiting.borrow_mut().insert(token, Waiting::Stream(streamed));
}

/// The pool has measured the range.
pub(super) fn planned(this: &Loop, token: Token, result: Result<RangePlan, ReadError>) {
    let Some(Waiting::Stream(streamed)) = this.waiting.borrow_mut().remove(&token) else { return };
    let plan = match result {
        Ok(plan) => plan,
        Err(why) => return streamed.fail(status::of_read(&why)),
    };
    let mut last = BytesMut::from(&encode::range_head(this.header(plan.revision))[..]);
    encode::range_tail(&mut last, plan.more, plan.count);
    let flow = Flow {
        last: last.freeze(),
        held: None,
        source: Some(plan.source),
        chunk_bytes: FIRST_CHUNK,
        waiting: None,
        ended: false,
    };
    this.flows.borrow_mut().insert(token, flow);
    pull(this, token, &streamed.stream);
}

/// Reads the next chunk, once the client has taken what was sent.
fn pull(this: &Loop, token: Token, stream: &StreamHandle) {
    if !stream.is_drained() {
        return;
    }
    // the more streams there are, the smaller their chunks
    let share = this.handle.limits().flow_bytes / CHUNKS / this.flows.borrow().len().max(1);
    let largest = share.clamp(FIRST_CHUNK, LARGEST_CHUNK);
    let work = this.flows.borrow_mut().get_mut(&token).and_then(|flow| {
        let max_bytes = flow.chunk_bytes.min(largest);
        flow.chunk_bytes = (max_bytes * 2).min(LARGEST_CHUNK);
        Some(Work::NextChunk { source: flow.source.take()?, max_bytes })
    });
    if let Some(work) = work
        && !this.query(token, work)
    {
        stream.finish(status::TOO_MANY_REQUESTS);
    }
}

/// A chunk came from the pool; false when it belongs to no stream.
pub(super) fn chunk(this: &Loop, token: Token, source: Box<dyn ChunkSource>, chunk: Result<Option<Bytes>, ReadError>) {
    let Some(stream) = this.handle.stream(CallToken::from_u64(token)) else { return };
    let response = {
        let mut flows = this.flows.borrow_mut();
        let Some(flow) = flows.get_mut(&token) else { return };
        match chunk {
            Err(why) => {
                drop(flows);
                return stream.finish(status::of_read(&why));
            }
            Ok(Some(kvs)) => {
                flow.source = Some(source);
                flow.held.replace(kvs)
            }
            Ok(None) => {
                flow.ended = true;
                let mut last = BytesMut::from(&flow.held.take().unwrap_or_default()[..]);
                last.extend_from_slice(&flow.last);
                Some(last.freeze())
            }
        }
    };
    let Some(response) = response else { return pull(this, token, &stream) };
    let mut out = BytesMut::with_capacity(response.len() + 6);
    // RangeStreamResponse.range_response
    encode::put_bytes(&mut out, 1, &response);
    send(this, token, &stream, Message::One(out.freeze()));
}

fn send(this: &Loop, token: Token, stream: &StreamHandle, message: Message) {
    match stream.try_send(message) {
        Ok(_) => {}
        Err(SendError::Full(message)) => {
            if let Some(flow) = this.flows.borrow_mut().get_mut(&token) {
                flow.waiting = Some(message);
            }
            return;
        }
        Err(SendError::Closed) => return,
    }
    let ended = this.flows.borrow().get(&token).is_some_and(|flow| flow.ended);
    if ended { stream.finish(Status::OK) } else { pull(this, token, stream) }
}

struct Events {
    this: Rc<Loop>,
    token: Token,
}

impl StreamEvents for Events {
    fn on_ready(&mut self, stream: &StreamHandle) {
        let message = self.this.flows.borrow_mut().get_mut(&self.token).and_then(|flow| flow.waiting.take());
        match message {
            Some(message) => send(&self.this, self.token, stream, message),
            None => pull(&self.this, self.token, stream),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.this.flows.borrow_mut().remove(&self.token);
        self.this.waiting.borrow_mut().remove(&self.token);
    }
}
