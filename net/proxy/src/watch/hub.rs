//! Owns the coalescer: streams of clients on one side, streams to the cluster on the other.
//!
//! All of it is decided under one lock, within which nothing is waited for.

use super::coalescer::{Coalescer, Deliver, Order, Spec, WatcherKey};
use super::queue::{self, Queue, Taken};
use super::upstream::{Command, Listener, Upstream};
use crate::leader::Leader;
use crate::namespace::Namespace;
use crate::pages::Counters;
use crate::upstream::{Context, Pool};
use api::etcdserverpb as pb;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The Watch service.
pub(crate) struct Watches {
    pub(super) pool: Pool,
    pub(crate) namespace: Namespace,
    pub(super) leader: Arc<Leader>,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    coalescer: Coalescer,
    streams: Streams,
    last_stream: u64,
    /// Where a shared watch is.
    at: HashMap<u64, Bytes>,
    /// Streams to the cluster: one for each token, because members judge each caller for himself.
    upstreams: HashMap<Bytes, mpsc::UnboundedSender<Command>>,
}

/// Streams of clients.
#[derive(Default)]
struct Streams(HashMap<u64, ClientStream>);

struct ClientStream {
    queue: Queue,
    token: Bytes,
}

impl Deliver for Streams {
    fn deliver(&mut self, to: WatcherKey, response: pb::WatchResponse) -> bool {
        // a stream that has gone takes everything: its watchers are removed in a moment
        self.0.get(&to.stream).is_none_or(|stream| stream.queue.offer(response))
    }

    fn left_behind(&mut self, who: WatcherKey, spec: Spec) {
        if let Some(stream) = self.0.get(&who.stream) {
            stream.queue.leave_behind(who.id, spec);
        }
    }
}

impl Watches {
    pub(crate) fn new(pool: Pool, namespace: Namespace, leader: Arc<Leader>, counters: Arc<Counters>) -> Self {
        Self { pool, namespace, leader, counters, state: Mutex::default() }
    }

    /// A stream of a client begins: its number, and what it is sent.
    pub(super) fn open(self: &Arc<Self>, context: &Context) -> (u64, Taken) {
        let mut state = self.state();
        state.last_stream += 1;
        let number = state.last_stream;
        let (queue, taken) = queue::new();
        state.streams.0.insert(number, ClientStream { queue, token: context.token() });
        (number, taken)
    }

    /// Adds a watcher, or one that was left behind.
    pub(super) fn add(self: &Arc<Self>, who: WatcherKey, spec: Spec) {
        let mut state = self.state();
        let State { coalescer, streams, .. } = &mut *state;
        let order = coalescer.add(who, spec, streams);
        self.carry_out(&mut state, order);
    }

    /// Removes a watcher that its client does not want any more: the newest header there is.
    pub(super) fn remove(self: &Arc<Self>, who: WatcherKey) -> Option<pb::ResponseHeader> {
        let mut state = self.state();
        let (header, order) = state.coalescer.remove(who)?;
        self.carry_out(&mut state, order);
        header
    }

    /// Tells a client something between what its watchers are told.
    pub(super) fn tell(&self, stream: u64, response: pb::WatchResponse) {
        if let Some(stream) = self.state().streams.0.get(&stream) {
            stream.queue.push(response);
        }
    }

    /// A stream of a client has ended.
    pub(super) fn close(self: &Arc<Self>, stream: u64, ids: impl Iterator<Item = i64>) {
        let mut state = self.state();
        state.streams.0.remove(&stream);
        let orders = state.coalescer.remove_stream(stream, ids);
        self.carry_out(&mut state, orders);
    }

    /// Does at the cluster what the coalescer decided.
    fn carry_out(self: &Arc<Self>, state: &mut State, orders: impl IntoIterator<Item = Order>) {
        for order in orders {
            match order {
                Order::Open { shared, range, start } => {
                    let who = state.coalescer.any_watcher(shared);
                    let stream = who.and_then(|who| state.streams.0.get(&who.stream));
                    let token = stream.map(|stream| stream.token.clone()).unwrap_or_default();
                    state.at.insert(shared, token.clone());
                    self.command(state, token, Command::Watch { shared, range, start });
                }
                Order::Close { shared } => {
                    if let Some(token) = state.at.remove(&shared) {
                        self.command(state, token, Command::Cancel { shared });
                    }
                }
            }
        }
        let (watchers, shared) = state.coalescer.counts();
        self.counters.watchers_coalesced.store(watchers.saturating_sub(shared) as u64, Relaxed);
    }

    fn command(self: &Arc<Self>, state: &mut State, token: Bytes, command: Command) {
        let command = match state.upstreams.get(&token) {
            None => command,
            Some(upstream) => match upstream.send(command) {
                Ok(()) => return,
                Err(mpsc::error::SendError(command)) => command,
            },
        };
        // without a stream there is nothing to cancel
        if matches!(command, Command::Cancel { .. }) {
            return;
        }
        let (commands, taken) = mpsc::unbounded_channel();
        // whoever takes them is started below
        let _ = commands.send(command);
        state.upstreams.insert(token.clone(), commands);
        tokio::spawn(Upstream::new(Arc::downgrade(self), self.pool.clone(), token, taken).run());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Watches {
    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn answered(self: &Arc<Self>, shared: u64, answer: &pb::WatchResponse) {
        let mut state = self.state();
        let State { coalescer, streams, .. } = &mut *state;
        let watchers = coalescer.watchers_of(shared);
        if !answer.events.is_empty() {
            self.counters.events_coalesced.fetch_add(watchers.saturating_sub(1) as u64, Relaxed);
        }
        let orders = coalescer.answered(shared, answer, streams);
        if answer.canceled {
            state.at.remove(&shared);
        }
        self.carry_out(&mut state, orders);
    }

    fn may_end(&self, token: &Bytes, commands: &mpsc::UnboundedReceiver<Command>) -> bool {
        let mut state = self.state();
        if !commands.is_empty() {
            return false;
        }
        state.upstreams.remove(token);
        true
    }
}
