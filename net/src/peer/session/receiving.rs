//! The receiving end of a direction: frames in, echoes and answers back. One function per lane; each runs until its stream breaks, and
//! then the whole direction ends.

use super::context::Context;
use super::registry::Admitted;
use super::sending::Patience;
use crate::peer::codec::frame::Frame;
use crate::peer::codec::lane::Lane;
use crate::peer::codec::talk::{Answer, Vitals};
use crate::peer::lanes::queue::{QueueReceiver, Weigh, queue};
use crate::peer::lanes::read::{FrameStream, ReadHalf, StreamError};
use crate::peer::lanes::write::{Batch, WriteHalf};
use crate::peer::metrics::PeerCounters;
use crate::peer::port::{Held, Responder};
use bytes::Bytes;
use raft::{Message, NodeId};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::time::sleep;

/// One connection, as far as it is received on.
pub struct Receiving {
    context: Rc<Context>,
    peer: NodeId,
    counters: Arc<PeerCounters>,
    admitted: Admitted,
    heard: Cell<Instant>,
}

impl Receiving {
    /// From `peer`.
    pub fn new(context: Rc<Context>, peer: NodeId, admitted: Admitted) -> Self {
        let counters = context.metrics.of(peer);
        Self { context, peer, counters, admitted, heard: Cell::new(Instant::now()) }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Resolves when a newer connection replaces this one, the peer was removed, or this member stops.
    pub async fn replaced(&self) {
        self.admitted.ended().await;
    }

    /// Resolves when the peer has been silent for too long.
    pub async fn silent(&self) {
        let pulse = self.context.config.pulse();
        let silence = self.context.config.silence();
        let mut patience = Patience::new(pulse);
        loop {
            sleep(pulse).await;
            if patience.silent_for(Instant::now(), self.heard.get()) > silence {
                return;
            }
        }
    }

    fn stream(&self, half: ReadHalf, lane: Lane) -> FrameStream {
        FrameStream::new(half, self.context.ends(self.peer), lane, self.counters.clone())
    }

    /// Serves the control lane: messages to the core, each vitals answered.
    pub async fn control(&self, half: ReadHalf, mut out: WriteHalf) -> StreamError {
        let mut stream = self.stream(half, Lane::Control);
        let mut batch = Batch::new(Lane::Echoes);
        loop {
            let frames = match stream.next().await {
                Ok(frames) => frames,
                Err(why) => return why,
            };
            self.heard.set(Instant::now());
            let mut messages = Vec::new();
            let mut newest = None;
            for frame in frames {
                match frame {
                    Frame::Raft(message) => messages.push(message),
                    Frame::Vitals(vitals) => newest = Some(vitals),
                    Frame::Call(_) | Frame::Answer(_) => {}
                }
            }
            if !messages.is_empty() {
                let count = messages.len() as u64;
                self.count_dropped(self.context.inbound.control(messages), count);
            }
            if let Some(vitals) = newest {
                let echo = Vitals { stamp: self.context.stamp(), echo: vitals.stamp, ..Vitals::default() };
                self.context.inbound.vitals(self.peer, vitals);
                batch.add(&Frame::Vitals(echo)).expect("an echo carries no hashes");
                if let Err(why) = batch.write(&mut out, &self.counters).await {
                    return why.into();
                }
            }
        }
    }

    /// Serves the append lane. Reads no further while the core has not taken what is there: the sender then waits, and drops.
    pub async fn append(&self, half: ReadHalf) -> StreamError {
        let mut stream = self.stream(half, Lane::Append);
        loop {
            let frames = match stream.next().await {
                Ok(frames) => frames,
                Err(why) => return why,
            };
            let raft_messages = frames.into_iter().filter_map(|frame| match frame {
                Frame::Raft(message) => Some(message),
                Frame::Vitals(_) | Frame::Call(_) | Frame::Answer(_) => None,
            });
            let messages: Vec<Message> = raft_messages.collect();
            let weight = messages.iter().map(Weigh::weight).sum::<usize>();
            let weight = weight.min(self.context.registry.receive_bytes()) as u32;
            let Ok(permit) = self.admitted.receive.clone().acquire_many_owned(weight).await else {
                return io::Error::other("the transport is stopping").into();
            };
            let count = messages.len() as u64;
            self.count_dropped(self.context.inbound.data(messages, Held::new(permit)), count);
        }
    }

    fn count_dropped(&self, taken: bool, count: u64) {
        if !taken {
            self.counters.dropped_received.fetch_add(count, Relaxed);
        }
    }

    /// Serves the lane of calls.
    pub async fn calls(&self, half: ReadHalf, out: WriteHalf) -> StreamError {
        let (answers, queue) = queue::<Answer>(self.context.config.limits.call_queue);
        let answers = Arc::new(answers);
        let read = async {
            let mut stream = self.stream(half, Lane::Calls);
            loop {
                let frames = match stream.next().await {
                    Ok(frames) => frames,
                    Err(why) => return why,
                };
                for frame in frames {
                    let Frame::Call(call) = frame else { continue };
                    let answers = answers.clone();
                    // an answer too many is dropped: the caller's patience ends
                    let respond = Responder::new(call.id, move |answer| drop(answers.offer(answer)));
                    self.context.inbound.call(self.peer, call, respond);
                }
            }
        };
        tokio::select! {
            why = read => why,
            why = write_answers(queue, out, &self.counters) => why,
        }
    }

    /// Says once in a while why a connection of this peer ended.
    pub fn log_end(&self, why: &StreamError) {
        let context = &self.context;
        match why {
            StreamError::Frame(error) => {
                self.counters.received_failures.fetch_add(1, Relaxed);
                if let Some(repeated) = context.throttle.pass(self.peer, "bad frame") {
                    let peer = format_args!("{:x}", self.peer);
                    tracing::warn!(%peer, %error, repeated, "closed a connection of a peer that sent what is no frame");
                }
            }
            StreamError::Io(error) => {
                if let Some(repeated) = context.throttle.pass(self.peer, "lost") {
                    let peer = format_args!("{:x}", self.peer);
                    tracing::info!(%peer, %error, repeated, "lost a connection on which a peer sent");
                }
            }
        }
    }
}

impl Weigh for Answer {
    fn weight(&self) -> usize {
        64 + self.result.as_ref().map_or(0, Bytes::len)
    }
}

async fn write_answers(mut queue: QueueReceiver<Answer>, mut out: WriteHalf, counters: &PeerCounters) -> StreamError {
    let mut batch = Batch::new(Lane::Answers);
    while let Some(answer) = queue.next().await {
        let mut next = Some(answer);
        while let Some(answer) = next {
            let id = answer.id;
            if let Err(why) = batch.add(&Frame::Answer(answer)) {
                tracing::error!(error = %why, "an answer to a peer is too large");
                let failed = Answer { id, result: Err(crate::peer::codec::talk::NoAnswer::Failed) };
                batch.add(&Frame::Answer(failed)).expect("a refusal has no content");
            }
            next = if batch.is_full() { None } else { queue.ready() };
        }
        if let Err(why) = batch.write(&mut out, counters).await {
            return why.into();
        }
    }
    io::Error::other("nobody answers any more").into()
}
