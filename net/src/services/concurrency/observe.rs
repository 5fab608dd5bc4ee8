//! Election.Observe: the leader's value as it changes, and each leader that follows, on one stream.
//!
//! An observer is a stream of its own in the watch hub with one watcher at a time: on the leader's key, or on the election
//! while it has no leader. Like etcd's it may leave out values between two leaders, never the newest. Must never queue more
//! than the credit granted, and looks for the next leader only when the client has taken everything.

use super::keys;
use super::leader::{self, Leader};
use crate::door::{CallMeta, CallToken, Message, MethodTable, SendError, Status, StreamEvents, StreamHandle};
use crate::services::admission::OnLearner;
use crate::services::client_services::ClientServices;
use crate::services::deferred::{DeferredCall, StreamCall};
use crate::services::identity::Credentials;
use crate::services::status;
use api::etcdserverpb::WatchResponse;
use api::v3electionpb::LeaderRequest;
use bytes::Bytes;
use messages::Token;
use messages::read::TxnPlan;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::kv::EventType;
use model::{Event, KeyRange, KeyValue, ReadError};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of events the hub may send before the client has taken any.
const CREDIT: usize = 64 << 10;

/// A stream that follows an election.
struct Observer {
    key: StreamKey,
    prefix: Bytes,
    /// On whose behalf the leader is looked for.
    credentials: Credentials,
    state: RefCell<State>,
}

struct State {
    phase: Phase,
    /// The watcher in force; frames of earlier ones are ignored.
    watch_id: i64,
    unsent: VecDeque<Unsent>,
}

/// An answer that found no room, and the credit it holds.
struct Unsent {
    message: Message,
    cost: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Asks who leads.
    Finding,
    /// Nobody leads: waits for the first key.
    WithoutLeader,
    /// Follows the leader's key.
    Following,
    /// The leader's key is gone: asks again when the client has taken what waits.
    LeaderGone,
}

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let services = services.clone();
    table.server_stream(
        "/v3electionpb.Election/Observe",
        move |meta: CallMeta, body: Bytes, stream: StreamHandle| -> Box<dyn StreamEvents> {
            match request(&services, &meta, &stream, body) {
                Ok(request) => open(&services, &meta, &request, &stream),
                Err(refused) => {
                    stream.finish(refused);
                    Box::new(Refused)
                }
            }
        },
    );
}

struct Refused;

impl StreamEvents for Refused {}

fn request(
    services: &ClientServices,
    meta: &CallMeta,
    stream: &StreamHandle,
    body: Bytes,
) -> Result<LeaderRequest, Status> {
    services.admit_stream(meta, stream, OnLearner::Refused)?;
    LeaderRequest::decode(body).map_err(|why| status::malformed(&why))
}

fn open(
    services: &ClientServices,
    meta: &CallMeta,
    request: &LeaderRequest,
    stream: &StreamHandle,
) -> Box<dyn StreamEvents> {
    let token = stream.token().as_u64();
    let state = State { phase: Phase::Finding, watch_id: 0, unsent: VecDeque::new() };
    let observer = Rc::new(Observer {
        key: services.stream_key(token),
        prefix: keys::prefix_of(&request.name),
        credentials: services.credentials(meta),
        state: RefCell::new(state),
    });
    services.insert_stream(token, observer.clone());
    services.tell_hub(ToHub::OpenStream { stream: observer.key, credit: CREDIT });
    let (own_services, own_observer) = (services.clone(), observer.clone());
    services.when_token_is_known(meta, move || own_observer.find_leader(&own_services));
    Box::new(Events { services: services.clone(), observer })
}

impl Observer {
    fn token(&self) -> Token {
        self.key.token
    }

    /// Asks who leads, by a linearizable read.
    fn find_leader(self: &Rc<Self>, services: &ClientServices) {
        if services.reads_are_free() {
            self.find_leader_now(services);
        } else {
            services.request_read_index(self.token(), FindingLeader(self.clone()));
        }
    }

    fn find_leader_now(self: &Rc<Self>, services: &ClientServices) {
        let election = keys::range_of(&self.prefix);
        let permit = services.permit(|| self.credentials.clone(), |rules, caller| rules.check_read(caller, &election));
        if permit.is_err() {
            return end(services, self.token());
        }
        match leader::find_now(services, &self.prefix) {
            Some(leader) => self.leader_found(services, leader),
            None => services.query(self.token(), leader::find(&self.prefix), FindingLeader(self.clone())),
        }
    }

    /// Follows the leader, or waits for the first one.
    fn leader_found(self: &Rc<Self>, services: &ClientServices, leader: Result<Leader, ReadError>) {
        match leader {
            Err(_) => return end(services, self.token()),
            Ok(Leader { revision, kv: Some(kv) }) => self.follow(services, revision, kv, 0),
            Ok(Leader { revision, kv: None }) => {
                self.state.borrow_mut().phase = Phase::WithoutLeader;
                self.watch(services, keys::range_of(&self.prefix), revision + 1);
            }
        }
        self.drain(services);
    }

    /// Tells the client of a leader, and follows the leader's key. `cost` is the credit of the frame that told of it.
    fn follow(&self, services: &ClientServices, revision: i64, kv: KeyValue, cost: usize) {
        // copied: it is watched for long, and shares a row of the store
        let key = Bytes::copy_from_slice(&kv.key);
        let message = Message::from(leader::response(services, revision, kv));
        let mut state = self.state.borrow_mut();
        state.phase = Phase::Following;
        state.unsent.push_back(Unsent { message, cost });
        drop(state);
        self.watch(services, KeyRange::new(key, Bytes::new()), revision + 1);
    }

    /// Replaces the watcher.
    fn watch(&self, services: &ClientServices, range: KeyRange, start_revision: i64) {
        self.cancel_watch(services);
        let mut state = self.state.borrow_mut();
        state.watch_id += 1;
        let create = CreateWatch {
            watch_id: state.watch_id,
            start_revision,
            no_delete: state.phase == Phase::WithoutLeader,
            ..CreateWatch::new(range)
        };
        services.tell_hub(ToHub::Create { stream: self.key, create });
    }

    fn cancel_watch(&self, services: &ClientServices) {
        let watch_id = self.state.borrow().watch_id;
        if watch_id > 0 {
            services.tell_hub(ToHub::Cancel { stream: self.key, watch_id });
        }
    }

    /// Takes one frame; true when an answer holds its credit.
    fn take_frame(&self, services: &ClientServices, frame: WatchFrame) -> bool {
        let cost = frame.cost();
        let phase = self.state.borrow().phase;
        let current = self.state.borrow().watch_id;
        match frame {
            WatchFrame::Events { watch_id, revision, events, .. } if watch_id == current => match phase {
                Phase::WithoutLeader => self.first_leader(services, events, cost),
                Phase::Following => self.leader_changed(services, revision, events, cost),
                Phase::Finding | Phase::LeaderGone => false,
            },
            // the watcher's revision was compacted away: whoever leads now is the newest
            WatchFrame::Canceled { watch_id, .. }
                if watch_id == current && matches!(phase, Phase::WithoutLeader | Phase::Following) =>
            {
                self.leader_gone(services);
                false
            }
            _ => false,
        }
    }

    /// The first key of an election without leader. The header is of the revision that made it, like etcd's.
    fn first_leader(&self, services: &ClientServices, events: Vec<Bytes>, cost: usize) -> bool {
        let first = events.into_iter().next().and_then(event).and_then(|event| event.kv);
        let Some(kv) = first else { return false };
        self.follow(services, kv.mod_revision, kv, cost);
        true
    }

    /// Changes of the leader's key; true when an answer holds the frame's credit.
    fn leader_changed(&self, services: &ClientServices, revision: i64, events: Vec<Bytes>, cost: usize) -> bool {
        let mut answers = Vec::with_capacity(events.len());
        let mut gone = false;
        for event in events.into_iter().filter_map(event) {
            match event.kv {
                Some(kv) if event.r#type == EventType::Put as i32 => {
                    answers.push(Message::from(leader::response(services, revision, kv)));
                }
                _ => {
                    gone = true;
                    break;
                }
            }
        }
        let used = !answers.is_empty();
        let mut state = self.state.borrow_mut();
        // the last answer holds the credit of all
        state.unsent.extend(answers.into_iter().map(|message| Unsent { message, cost: 0 }));
        if used && let Some(last) = state.unsent.back_mut() {
            last.cost = cost;
        }
        drop(state);
        if gone {
            self.leader_gone(services);
        }
        used
    }

    fn leader_gone(&self, services: &ClientServices) {
        self.cancel_watch(services);
        self.state.borrow_mut().phase = Phase::LeaderGone;
    }

    /// Sends what there is room for, gives as much credit back, and goes on to the next leader when everything was taken.
    fn drain(self: &Rc<Self>, services: &ClientServices) {
        let Some(stream) = services.handle().stream(CallToken::from_u64(self.token())) else { return };
        let mut sent = 0;
        let mut state = self.state.borrow_mut();
        while let Some(Unsent { message, cost }) = state.unsent.pop_front() {
            match stream.try_send(message) {
                Ok(_) => sent += cost,
                Err(SendError::Full(message)) => {
                    state.unsent.push_front(Unsent { message, cost });
                    break;
                }
                Err(SendError::Closed) => {
                    state.unsent.clear();
                    break;
                }
            }
        }
        let find_next = state.phase == Phase::LeaderGone && state.unsent.is_empty();
        if find_next {
            state.phase = Phase::Finding;
        }
        drop(state);
        if sent > 0 {
            services.tell_hub(ToHub::Credit { stream: self.key, bytes: sent });
        }
        if find_next {
            self.find_leader(services);
        }
    }
}

/// An observer that waits for the leader: for a read index, or for the reader pool.
struct FindingLeader(Rc<Observer>);

impl DeferredCall<ClientServices> for FindingLeader {
    fn read_granted(self: Box<Self>, services: &ClientServices, _: Token) {
        self.0.find_leader_now(services);
    }

    fn txn_read(self: Box<Self>, services: &ClientServices, _: Token, plan: TxnPlan) {
        self.0.leader_found(services, leader::found(plan));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, _: Status) {
        end(services, token);
    }
}

impl StreamCall<ClientServices> for Observer {
    fn frames(self: Rc<Self>, services: &ClientServices, _: Token, frames: Vec<WatchFrame>) {
        let mut unused = 0;
        for frame in frames {
            let cost = frame.cost();
            if !self.take_frame(services, frame) {
                unused += cost;
            }
        }
        if unused > 0 {
            services.tell_hub(ToHub::Credit { stream: self.key, bytes: unused });
        }
        self.drain(services);
    }
}

/// An event out of its encoded field of a watch response.
fn event(field: Bytes) -> Option<Event> {
    // the hub encoded it
    WatchResponse::decode(field).ok()?.events.pop()
}

/// Ends a stream that cannot go on; etcd's ends without an error then, and clients open it again.
fn end(services: &ClientServices, token: Token) {
    if let Some(stream) = services.handle().stream(CallToken::from_u64(token)) {
        stream.finish(Status::OK);
    }
}

struct Events {
    services: ClientServices,
    observer: Rc<Observer>,
}

impl StreamEvents for Events {
    fn on_ready(&mut self, _: &StreamHandle) {
        self.observer.drain(&self.services);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let key = self.observer.key;
        self.services.forget(key.token);
        self.services.remove_stream(key.token);
        self.services.tell_hub(ToHub::CloseStream { stream: key });
    }
}
