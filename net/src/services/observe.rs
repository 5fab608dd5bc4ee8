//! Election.Observe: the leader's value as it changes, and each leader that follows, on one stream.
//!
//! An observer is a stream of its own in the watch hub with one watcher at a time: on the leader's key, or on the election while
//! it has no leader. Like etcd's it may leave out values between two leaders, never the newest. Must never queue more than the
//! credit granted, and looks for the next leader only when the client has taken everything.

use super::waiting::Waiting;
use super::{Loop, claim, election, status};
use crate::door::{CallMeta, CallToken, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle};
use api::etcdserverpb::WatchResponse;
use api::v3electionpb::LeaderRequest;
use bytes::Bytes;
use messages::Token;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::kv::EventType;
use model::{Event, KeyRange, KeyValue};
use prost::Message as _;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of events the hub may send before the client has taken any.
const CREDIT: usize = 64 << 10;

/// What the loop keeps of an observer.
pub struct Observer {
    prefix: Bytes,
    phase: Phase,
    /// The watcher in force; frames of earlier ones are ignored.
    watch_id: i64,
    /// Answers that found no room, and the credit they hold.
    waiting: VecDeque<(Message, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Asks who leads.
    Looking,
    /// Nobody leads: waits for the first key.
    Nobody,
    /// Follows the leader's key.
    Following,
    /// The leader's key is gone: looks again when the client has taken what waits.
    Due,
}

/// Registers the method.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    let this = this.clone();
    table.server_stream(
        "/v3electionpb.Election/Observe",
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            let token = stream.token().as_u64();
            if let Err(refused) = open(&this, &meta, body, token) {
                stream.finish(refused);
            }
            Box::new(Events { this: this.clone(), token })
        },
    );
}

fn open(this: &Rc<Loop>, meta: &CallMeta, body: Bytes, token: Token) -> Result<(), Status> {
    this.admit(meta)?;
    let request = LeaderRequest::decode(body).map_err(|e| status::malformed(&e))?;
    let (prefix, _) = claim::queue(&request.name);
    let observer = Observer { prefix, phase: Phase::Looking, watch_id: 0, waiting: VecDeque::new() };
    this.observers.borrow_mut().insert(token, observer);
    this.ask_hub(ToHub::OpenStream { stream: key(this, token), credit: CREDIT });
    look(this, token);
    Ok(())
}

fn key(this: &Loop, token: Token) -> StreamKey {
    StreamKey { sink: this.sink, token }
}

/// Asks who leads, by a linearizable read.
fn look(this: &Rc<Loop>, token: Token) {
    if this.reads_are_free() {
        look_now(this, token);
    } else {
        this.ask_to_read(token, Waiting::Observe);
    }
}

/// Leave to read was given.
pub(super) fn look_now(this: &Rc<Loop>, token: Token) {
    let prefix = this.observers.borrow().get(&token).map(|observer| observer.prefix.clone());
    let Some(prefix) = prefix else { return };
    match election::oldest(this, &prefix) {
        Some(oldest) => looked(this, token, oldest),
        None if election::ask_oldest(this, token, &prefix) => {
            this.waiting.borrow_mut().insert(token, Waiting::Observe);
        }
        None => end(this, token),
    }
}

/// Who leads is known.
pub(super) fn looked(this: &Rc<Loop>, token: Token, oldest: election::Oldest) {
    let Ok((revision, leader)) = oldest else { return end(this, token) };
    match leader {
        Some(kv) => follow(this, token, revision, kv, 0),
        None => {
            let range = this.observers.borrow_mut().get_mut(&token).map(|observer| {
                observer.phase = Phase::Nobody;
                let (from, to) = claim::queue(&observer.prefix[..observer.prefix.len() - 1]);
                KeyRange::new(from, to)
            });
            if let Some(range) = range {
                watch(this, token, range, revision + 1);
            }
        }
    }
    drain(this, token);
}

/// Tells of a leader, and follows its key. `cost` is the credit of the frame that told it.
fn follow(this: &Rc<Loop>, token: Token, revision: i64, kv: KeyValue, cost: usize) {
    // copied: it is watched for long, and shares a row of the store
    let leader = Bytes::copy_from_slice(&kv.key);
    let answer = Message::from(election::response(this, revision, kv));
    if let Some(observer) = this.observers.borrow_mut().get_mut(&token) {
        observer.phase = Phase::Following;
        observer.waiting.push_back((answer, cost));
    }
    watch(this, token, KeyRange::new(leader, Bytes::new()), revision + 1);
}

/// Replaces the watcher.
fn watch(this: &Rc<Loop>, token: Token, range: KeyRange, start_revision: i64) {
    cancel(this, token);
    let created = this.observers.borrow_mut().get_mut(&token).map(|observer| {
        observer.watch_id += 1;
        (observer.watch_id, observer.phase)
    });
    let Some((watch_id, phase)) = created else { return };
    let create = CreateWatch {
        watch_id,
        range,
        start_revision,
        progress_notify: false,
        no_put: false,
        no_delete: phase == Phase::Nobody,
        prev_kv: false,
        fragment: false,
    };
    this.ask_hub(ToHub::Create { stream: key(this, token), create });
}

fn cancel(this: &Loop, token: Token) {
    let watch_id = this.observers.borrow().get(&token).map_or(0, |observer| observer.watch_id);
    if watch_id > 0 {
        this.ask_hub(ToHub::Cancel { stream: key(this, token), watch_id });
    }
}

/// Frames from the hub.
pub(super) fn frames(this: &Rc<Loop>, token: Token, frames: Vec<WatchFrame>) {
    let mut unused = 0;
    for frame in frames {
        let cost = frame.cost();
        let current = this.observers.borrow().get(&token).map(|observer| (observer.watch_id, observer.phase));
        let used = match (frame, current) {
            (WatchFrame::Events { watch_id, revision, events, .. }, Some((id, phase))) if watch_id == id => match phase
            {
                Phase::Nobody => first(this, token, events, cost),
                Phase::Following => changes(this, token, revision, events, cost),
                Phase::Looking | Phase::Due => false,
            },
            // its place was compacted away: whoever leads now is the newest
            (WatchFrame::Canceled { watch_id, .. }, Some((id, Phase::Nobody | Phase::Following))) if watch_id == id => {
                leader_gone(this, token);
                false
            }
            _ => false,
        };
        unused += if used { 0 } else { cost };
    }
    if unused > 0 {
        this.ask_hub(ToHub::Credit { stream: key(this, token), bytes: unused });
    }
    drain(this, token);
}

/// An event out of its encoded field of a watch response.
fn event(field: Bytes) -> Option<Event> {
    // the hub encoded it
    WatchResponse::decode(field).ok()?.events.pop()
}

/// The first key of an election without leader. Its header is of the revision that made it, like etcd's.
fn first(this: &Rc<Loop>, token: Token, events: Vec<Bytes>, cost: usize) -> bool {
    let Some(kv) = events.into_iter().next().and_then(event).and_then(|event| event.kv) else { return false };
    follow(this, token, kv.mod_revision, kv, cost);
    true
}

/// Changes of the leader's key; true when an answer holds the frame's credit.
fn changes(this: &Rc<Loop>, token: Token, revision: i64, events: Vec<Bytes>, cost: usize) -> bool {
    let mut answers = Vec::with_capacity(events.len());
    let mut gone = false;
    for event in events.into_iter().filter_map(event) {
        match event.kv {
            Some(kv) if event.r#type == EventType::Put as i32 => answers.push(election::response(this, revision, kv)),
            _ => {
                gone = true;
                break;
            }
        }
    }
    let used = !answers.is_empty();
    if let Some(observer) = this.observers.borrow_mut().get_mut(&token) {
        let last = answers.len().saturating_sub(1);
        let costs = (0..).map(|at| if at == last { cost } else { 0 });
        observer.waiting.extend(answers.into_iter().map(Message::from).zip(costs));
    }
    if gone {
        leader_gone(this, token);
    }
    used
}

fn leader_gone(this: &Rc<Loop>, token: Token) {
    cancel(this, token);
    if let Some(observer) = this.observers.borrow_mut().get_mut(&token) {
        observer.phase = Phase::Due;
    }
}

/// Sends what there is room for, gives as much credit back, and goes on to the next leader when everything was taken.
fn drain(this: &Rc<Loop>, token: Token) {
    let Some(stream) = this.handle.stream(CallToken::from_u64(token)) else { return };
    let (mut taken, mut due) = (0, false);
    if let Some(observer) = this.observers.borrow_mut().get_mut(&token) {
        while let Some((message, cost)) = observer.waiting.pop_front() {
            match stream.try_send(message) {
                Ok(_) => taken += cost,
                Err(SendError::Full(message)) => {
                    observer.waiting.push_front((message, cost));
                    break;
                }
                Err(SendError::Closed) => {
                    observer.waiting.clear();
                    break;
                }
            }
        }
        due = observer.phase == Phase::Due && observer.waiting.is_empty();
        if due {
            observer.phase = Phase::Looking;
        }
    }
    if taken > 0 {
        this.ask_hub(ToHub::Credit { stream: key(this, token), bytes: taken });
    }
    if due {
        look(this, token);
    }
}

/// Ends a stream that cannot go on; etcd's ends without an error then, and clients open it again.
pub(super) fn end(this: &Loop, token: Token) {
    if let Some(stream) = this.handle.stream(CallToken::from_u64(token)) {
        stream.finish(Status::OK);
    }
}

struct Events {
    this: Rc<Loop>,
    token: Token,
}

impl StreamEvents for Events {
    fn on_ready(&mut self, _: &StreamHandle) {
        drain(&self.this, self.token);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let (this, token) = (&self.this, self.token);
        this.waiting.borrow_mut().remove(&token);
        if this.observers.borrow_mut().remove(&token).is_some() {
            this.ask_hub(ToHub::CloseStream { stream: key(this, token) });
        }
    }
}
