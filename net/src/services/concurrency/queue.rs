//! Waiting in a queue: a waiter polls it once, watches the one key directly before its own, and its own, and polls again
//! when one of them ends.
//!
//! So a release wakes one waiter, however many there are, and a waiter whose lease ends learns it at once. Keys older than
//! ours can only go, never come: a view that is behind delays a turn but cannot give it away twice. Must never grant a turn from a view without the waiter's own key.
//! A waiter is a small state in a table, moved on by replies of the owners: no task, no thread.

use super::keys;
use super::waiter::{Stage, Waiter, WaiterBudget};
use crate::door::Status;
use crate::services::client_services::ClientServices;
use crate::services::deferred::{DeferredCall, StreamCall};
use crate::services::status;
use bytes::Bytes;
use messages::Token;
use messages::read::{TxnPlan, Work};
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::request::{RangeRequest, SortOrder, SortTarget, TxnRequest};
use model::{KeyRange, KeyValue};
use prost::Message as _;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

/// Bytes the hub may send on the loop's own stream before it is told that they were taken.
const CREDIT: usize = 256 << 10;
/// Polls of one loop that may be in flight at the reader pool.
const MAX_POLLS_IN_FLIGHT: usize = 32;

/// The waiters of one loop, in whichever queues.
pub(super) struct WaitQueue {
    pub(super) budget: WaiterBudget,
    waiters: RefCell<HashMap<Token, Box<Waiter>>>,
    /// Watchers on the keys of our waiters and those before them, and whom they are for.
    watched: RefCell<HashMap<i64, Token>>,
    /// The loop's own watch stream in the hub, opened with the first watcher.
    stream: Cell<Option<Token>>,
    /// The id that the last watcher got. Ids are never used again.
    last_watch: Cell<i64>,
    /// Waiters whose polls are in flight at the reader pool.
    polls_in_flight: RefCell<HashSet<Token>>,
    /// Waiters that poll when one of those has returned.
    delayed_polls: RefCell<VecDeque<Token>>,
}

/// What a poll sees in one view.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The youngest key that is older than the waiter's.
    before: Option<Bytes>,
    /// The waiter's own key is there.
    own: bool,
}

impl Seen {
    fn among(waiter: &Waiter, kvs: impl Iterator<Item = KeyValue>) -> Self {
        let mut before: Option<KeyValue> = None;
        let mut own = false;
        for kv in kvs {
            own |= kv.create_revision == waiter.created && kv.key == waiter.key;
            let older = kv.create_revision < waiter.created;
            if older && before.as_ref().is_none_or(|b| b.create_revision < kv.create_revision) {
                before = Some(kv);
            }
        }
        // copied: it may be watched for long, and shares a row of the store
        Self { before: before.map(|kv| Bytes::copy_from_slice(&kv.key)), own }
    }
}

impl WaitQueue {
    /// Without waiters.
    pub(super) fn new(services: &ClientServices) -> Self {
        Self {
            budget: WaiterBudget::new(services.handle().limits()),
            waiters: RefCell::default(),
            watched: RefCell::default(),
            stream: Cell::default(),
            last_watch: Cell::default(),
            polls_in_flight: RefCell::default(),
            delayed_polls: RefCell::default(),
        }
    }

    /// Keeps a waiter until [`Self::take`].
    pub(super) fn keep(&self, token: Token, waiter: Box<Waiter>) {
        self.waiters.borrow_mut().insert(token, waiter);
    }

    /// Takes a waiter out; `None` when its client has left.
    pub(super) fn take(&self, token: Token) -> Option<Box<Waiter>> {
        self.waiters.borrow_mut().remove(&token)
    }

    /// Looks at the queue: here when it is short, on the reader pool otherwise.
    pub(super) fn poll(self: &Rc<Self>, services: &ClientServices, token: Token, mut waiter: Box<Waiter>) {
        waiter.stage = Stage::Polling;
        if let Err(why) = permit(services, &waiter) {
            return waiter.fail(services, token, why);
        }
        let all = RangeRequest { keys_only: true, ..keys::all_of(&waiter.prefix) };
        match services.ports().reads.range(&all, services.inline_bytes()) {
            Some(Ok((revision, range))) => {
                let kvs = range.kvs.into_iter().filter_map(|kv| KeyValue::decode(kv).ok());
                let seen = Seen::among(&waiter, kvs);
                self.polled(services, token, waiter, revision, seen);
            }
            Some(Err(why)) => waiter.fail(services, token, status::of_read(&why)),
            None => self.poll_on_pool(services, token, waiter),
        }
    }

    /// Polls of a crowd wait for each other, so that they do not fill the pool's queue; one poll is refused only when the
    /// pool is full of other work.
    fn poll_on_pool(self: &Rc<Self>, services: &ClientServices, token: Token, waiter: Box<Waiter>) {
        let in_flight = self.polls_in_flight.borrow().len();
        let sent = in_flight < MAX_POLLS_IN_FLIGHT
            && services.try_query(token, Work::ReadTxn(question(&waiter)), Polling(self.clone()));
        if sent {
            self.polls_in_flight.borrow_mut().insert(token);
        } else if in_flight > 0 {
            self.delayed_polls.borrow_mut().push_back(token);
        } else {
            return waiter.fail(services, token, status::TOO_MANY_REQUESTS);
        }
        self.keep(token, waiter);
    }

    /// The pool has answered `token`: others get their chance. Waiters that are gone meanwhile are passed over.
    fn poll_returned(self: &Rc<Self>, services: &ClientServices, token: Token) {
        if !self.polls_in_flight.borrow_mut().remove(&token) {
            return;
        }
        let delayed = self.delayed_polls.borrow().len();
        for _ in 0..delayed {
            if self.polls_in_flight.borrow().len() >= MAX_POLLS_IN_FLIGHT {
                return;
            }
            let Some(next) = self.delayed_polls.borrow_mut().pop_front() else { return };
            if let Some(waiter) = self.take(next) {
                self.poll(services, next, waiter);
            }
        }
    }

    fn polled(
        self: &Rc<Self>,
        services: &ClientServices,
        token: Token,
        waiter: Box<Waiter>,
        revision: i64,
        seen: Seen,
    ) {
        match seen {
            Seen { own: false, .. } => waiter.lose(services, token),
            Seen { before: Some(key), .. } => self.watch(services, token, waiter, key, revision + 1),
            Seen { before: None, .. } => waiter.grant(services, token, revision),
        }
    }

    /// Waits for the end of the key before or of the waiter's own, which both lived in the revision before
    /// `start_revision`.
    fn watch(
        self: &Rc<Self>,
        services: &ClientServices,
        token: Token,
        mut waiter: Box<Waiter>,
        key_before: Bytes,
        start_revision: i64,
    ) {
        let before = self.watch_deletion(services, token, key_before, start_revision);
        let own = self.watch_deletion(services, token, waiter.key.clone(), start_revision);
        waiter.stage = Stage::Watching { before, own };
        waiter.owns_key = true;
        self.keep(token, waiter);
    }

    /// Has the waiter woken when a key is deleted. Returns the id of the watcher.
    fn watch_deletion(
        self: &Rc<Self>,
        services: &ClientServices,
        token: Token,
        key: Bytes,
        start_revision: i64,
    ) -> i64 {
        let watch_id = self.last_watch.get() + 1;
        self.last_watch.set(watch_id);
        self.watched.borrow_mut().insert(watch_id, token);
        let create = CreateWatch {
            watch_id,
            start_revision,
            no_put: true,
            ..CreateWatch::new(KeyRange::new(key, Bytes::new()))
        };
        services.tell_hub(ToHub::Create { stream: self.stream(services), create });
        watch_id
    }

    /// The loop's own stream in the hub.
    fn stream(self: &Rc<Self>, services: &ClientServices) -> StreamKey {
        if let Some(token) = self.stream.get() {
            return services.stream_key(token);
        }
        let token = services.internal_token();
        self.stream.set(Some(token));
        services.insert_stream(token, self.clone());
        let stream = services.stream_key(token);
        services.tell_hub(ToHub::OpenStream { stream, credit: CREDIT });
        stream
    }

    /// Nobody waits for that watcher any more.
    pub(super) fn unwatch(&self, services: &ClientServices, watch_id: i64) {
        let watched = self.watched.borrow_mut().remove(&watch_id).is_some();
        if watched && let Some(token) = self.stream.get() {
            services.tell_hub(ToHub::Cancel { stream: services.stream_key(token), watch_id });
        }
    }

    /// A key that the waiter watches is gone. A turn may only be given by a member that is still part of the cluster, so the poll is a
    /// linearizable read.
    fn wake(self: &Rc<Self>, services: &ClientServices, token: Token) {
        let Some(mut waiter) = self.take(token) else { return };
        if let Stage::Watching { before, own } = waiter.stage {
            self.unwatch(services, before);
            self.unwatch(services, own);
        }
        if services.reads_are_free() {
            return self.poll(services, token, waiter);
        }
        waiter.stage = Stage::Polling;
        self.keep(token, waiter);
        services.request_read_index(token, Polling(self.clone()));
    }
}

/// Whether the waiter's caller may look at the queue.
///
/// # Errors
/// etcd's answer.
pub(super) fn permit(services: &ClientServices, waiter: &Waiter) -> Result<(), Status> {
    let queue = keys::range_of(&waiter.prefix);
    services.permit(|| waiter.credentials.clone(), |rules, caller| rules.check_read(caller, &queue)).map(drop)
}

/// Both halves of [`Seen`], in one view.
fn question(waiter: &Waiter) -> TxnRequest {
    let before = RangeRequest {
        keys_only: true,
        max_create_revision: waiter.created - 1,
        sort_order: SortOrder::Descend as i32,
        sort_target: SortTarget::Create as i32,
        limit: 1,
        ..keys::all_of(&waiter.prefix)
    };
    let own = RangeRequest { key: waiter.key.clone(), keys_only: true, ..RangeRequest::default() };
    keys::read_all([before, own])
}

/// A waiter that may poll when its read index is granted, or whose poll is in flight at the reader pool.
struct Polling(Rc<WaitQueue>);

impl DeferredCall<ClientServices> for Polling {
    fn read_granted(self: Box<Self>, services: &ClientServices, token: Token) {
        if let Some(waiter) = self.0.take(token) {
            self.0.poll(services, token, waiter);
        }
    }

    fn txn_read(self: Box<Self>, services: &ClientServices, token: Token, plan: TxnPlan) {
        let waiter = self.0.take(token);
        self.0.poll_returned(services, token);
        let Some(waiter) = waiter else { return };
        let revision = plan.revision;
        match keys::first_kvs(plan) {
            Ok(kvs) => {
                let seen = Seen::among(&waiter, kvs.into_iter().flatten());
                self.0.polled(services, token, waiter, revision, seen);
            }
            Err(why) => waiter.fail(services, token, status::of_read(&why)),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        let waiter = self.0.take(token);
        self.0.poll_returned(services, token);
        if let Some(waiter) = waiter {
            waiter.fail(services, token, why);
        }
    }
}

impl StreamCall<ClientServices> for WaitQueue {
    /// A watcher whose revision was compacted away is as good as an event: its waiter polls again.
    fn frames(self: Rc<Self>, services: &ClientServices, token: Token, frames: Vec<WatchFrame>) {
        let bytes = frames.iter().map(WatchFrame::cost).sum();
        services.tell_hub(ToHub::Credit { stream: services.stream_key(token), bytes });
        for frame in frames {
            if let WatchFrame::Events { watch_id, .. } | WatchFrame::Canceled { watch_id, .. } = frame {
                let waiter = self.watched.borrow().get(&watch_id).copied();
                if let Some(waiter) = waiter {
                    self.wake(services, waiter);
                }
            }
        }
    }
}
