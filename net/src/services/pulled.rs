//! Large answers: some parts are in memory, others are read by the reader pool while the client takes them.
//!
//! Must never hold more than one chunk of what is read.

use super::client_services::ClientServices;
use super::deferred::StreamCall;
use super::encode::Part;
use super::status;
use crate::door::{Answer, AnswerSource, Message, Status};
use bytes::Bytes;
use messages::Token;
use messages::read::ChunkSource;
use model::ReadError;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The largest answer that a client can take, in bytes: gRPC libraries count them in 31 bits.
pub(super) const LARGEST_ANSWER: u64 = i32::MAX as u64;

/// The answer that consists of these parts; refused when no client could take it.
pub(super) fn answer(services: &ClientServices, parts: Vec<Part>) -> Answer {
    let length = |part: &Part| match part {
        Part::Bytes(bytes) => bytes.len() as u64,
        Part::Pulled(length, _) => *length,
    };
    let total: u64 = parts.iter().map(length).sum();
    if total > LARGEST_ANSWER {
        return status::ANSWER_TOO_LARGE.into();
    }
    if parts.iter().all(|part| matches!(part, Part::Bytes(_))) {
        let bytes = |part| if let Part::Bytes(bytes) = part { Some(bytes) } else { None };
        return Answer::message(Message::Many(parts.into_iter().filter_map(bytes).collect()));
    }
    Answer::source(PulledSource::new(services, parts, total as usize))
}

/// What a [`PulledSource`] shares with the replies that fill it.
#[derive(Default)]
struct Pull(RefCell<PullState>);

#[derive(Default)]
struct PullState {
    source: Option<Box<dyn ChunkSource>>,
    ready: Option<Result<Option<Bytes>, Status>>,
    waker: Option<Waker>,
}

impl StreamCall<ClientServices> for Pull {
    fn chunk(
        self: Rc<Self>,
        _: &ClientServices,
        _: Token,
        source: Box<dyn ChunkSource>,
        chunk: Result<Option<Bytes>, ReadError>,
    ) {
        let mut state = self.0.borrow_mut();
        state.source = Some(source);
        state.ready = Some(chunk.map_err(|why| status::of_read(&why)));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Hands out the parts one after the other, reading those that are not in memory one chunk at a time.
struct PulledSource {
    services: ClientServices,
    token: Token,
    total: usize,
    parts: VecDeque<Part>,
    pull: Rc<Pull>,
    /// A chunk of the current part is being read.
    reading: bool,
}

impl PulledSource {
    fn new(services: &ClientServices, parts: Vec<Part>, total: usize) -> Self {
        let pull = Rc::<Pull>::default();
        let token = services.internal_token();
        services.insert_stream(token, pull.clone());
        Self { services: services.clone(), token, total, parts: parts.into(), pull, reading: false }
    }
}

impl Drop for PulledSource {
    fn drop(&mut self) {
        self.services.remove_stream(self.token);
    }
}

impl AnswerSource for PulledSource {
    fn total_len(&self) -> usize {
        self.total
    }

    fn poll_chunk(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            let mut pull = self.pull.0.borrow_mut();
            match pull.ready.take() {
                Some(Ok(Some(chunk))) => {
                    self.reading = false;
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Ok(None)) => {
                    self.reading = false;
                    pull.source = None;
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None if self.reading => {
                    pull.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                None => {}
            }
            if let Some(source) = pull.source.take() {
                if !self.services.read_chunk(self.token, source, bytes) {
                    return Poll::Ready(Some(Err(status::TOO_MANY_REQUESTS)));
                }
                self.reading = true;
                continue;
            }
            match self.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Bytes(part)) if part.is_empty() => {}
                Some(Part::Bytes(part)) => return Poll::Ready(Some(Ok(part))),
                Some(Part::Pulled(_, source)) => pull.source = Some(source),
            }
        }
    }
}
