//! Large answers: parts that are at hand, and parts that the reader pool reads while the client takes them.
//!
//! Must never hold more than one chunk of what is pulled.

use super::kv::LARGEST_ANSWER;
use super::waiting::Waiting;
use super::{Loop, status};
use crate::door::{Answer, AnswerSource, Message, Status};
use bytes::Bytes;
use messages::Token;
use messages::read::{ChunkSource, Work};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A part of an answer.
pub enum Part {
    /// At hand.
    Bytes(Bytes),
    /// So many bytes, to be read.
    Pulled(u64, Box<dyn ChunkSource>),
}

/// The answer that consists of these parts; refused when no client could take it.
pub(super) fn answer(this: &Rc<Loop>, parts: Vec<Part>) -> Answer {
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
    Answer::source(PulledSource::new(this, parts, total as usize))
}

/// The state a [`PulledSource`] shares with the reply that fills it.
#[derive(Default)]
pub struct Pull {
    source: Option<Box<dyn ChunkSource>>,
    ready: Option<Result<Option<Bytes>, Status>>,
    waker: Option<Waker>,
}

impl Pull {
    /// A chunk came, and its source for the next one.
    pub(super) fn fill(&mut self, source: Box<dyn ChunkSource>, chunk: Result<Option<Bytes>, Status>) {
        self.source = Some(source);
        self.ready = Some(chunk);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Parts one after the other, those that are pulled one chunk at a time.
struct PulledSource {
    this: Rc<Loop>,
    token: Token,
    total: usize,
    parts: VecDeque<Part>,
    pull: Rc<RefCell<Pull>>,
    /// A chunk of the part pulled now is on its way.
    asked: bool,
}

impl PulledSource {
    fn new(this: &Rc<Loop>, parts: Vec<Part>, total: usize) -> Self {
        let pull = Rc::<RefCell<Pull>>::default();
        let token = this.pull_token();
        this.waiting.borrow_mut().insert(token, Waiting::Pull(pull.clone()));
        Self { this: this.clone(), token, total, parts: parts.into(), pull, asked: false }
    }
}

impl Drop for PulledSource {
    fn drop(&mut self) {
        self.this.waiting.borrow_mut().remove(&self.token);
    }
}

impl AnswerSource for PulledSource {
    fn total_len(&self) -> usize {
        self.total
    }

    fn poll_chunk(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            let mut pull = self.pull.borrow_mut();
            match pull.ready.take() {
                Some(Ok(Some(chunk))) => {
                    self.asked = false;
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Ok(None)) => {
                    self.asked = false;
                    pull.source = None;
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None if self.asked => {
                    pull.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                None => {}
            }
            if let Some(source) = pull.source.take() {
                if !self.this.query(self.token, Work::NextChunk { source, max_bytes: bytes }) {
                    return Poll::Ready(Some(Err(status::TOO_MANY_REQUESTS)));
                }
                self.asked = true;
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
