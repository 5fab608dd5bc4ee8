//! Which watchers of clients share which watch at the cluster, and what each of them is sent. Pure: no socket, no clock.
//!
//! A watch of the cluster ("shared") has a position: the next revision it will tell of. A watcher may join one whose position is not
//! behind its own start, and each watcher leaves out what it has had. So a shared watch can take over the watchers of another one as
//! soon as that one has come to its position, without a gap and without a repetition.
//!
//! A watcher that begins "now" is not simply added to a shared watch: it must see nothing that was written before it began, and
//! everything after. It gets a watch of its own, whose first answer says which revision "now" is, and is then taken over.
//!
//! Must never move a position beyond an event that may still come.

use api::etcdserverpb as pb;
use api::mvccpb::{Event, EventType};
use bytes::Bytes;
use std::collections::HashMap;

/// Shared watches with more watchers than this are not taken over by others: they are worth their price.
const MOST_MOVED: usize = 64;

/// The id of a watcher that could not be created. Source: etcd's `InvalidWatchID`.
pub(super) const NO_ID: i64 = -1;
/// Revisions that a watch may have before it to be joined: etcd and Conclave send so many at once.
const NEAR: i64 = 1000;

/// A watcher of a client: its stream, and its id there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WatcherKey {
    pub(super) stream: u64,
    pub(super) id: i64,
}

/// Keys that are watched, as the cluster knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Range {
    pub(super) key: Bytes,
    pub(super) end: Bytes,
}

/// What a watcher wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) range: Range,
    /// The next revision that it must be told of; 0 for what comes from now on.
    pub(super) next: i64,
    pub(super) prev_kv: bool,
    pub(super) progress: bool,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
    /// It was told that it is created.
    pub(super) is_created: bool,
}

/// What is to be done at the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Watch, from a revision or from now on.
    Open { shared: u64, range: Range, start: i64 },
    /// Stop watching.
    Close { shared: u64 },
}

/// Takes what a watcher is sent. False when there is no room: the watcher is then left behind, and comes back by
/// [`Coalescer::add`] from where it is.
pub(super) trait Deliver {
    fn deliver(&mut self, to: WatcherKey, response: pb::WatchResponse) -> bool;
    fn left_behind(&mut self, who: WatcherKey, spec: Spec);
}

struct Shared {
    range: Range,
    /// The next revision it will tell of; 0 while that is not known.
    next: i64,
    /// The newest header; none before the first answer.
    header: Option<pb::ResponseHeader>,
    watchers: HashMap<WatcherKey, Spec>,
}

impl Shared {
    /// Whether it will tell everything from a revision on, soon: not one that has a long history before it.
    fn may_serve(&self, next: i64) -> bool {
        let newest = self.header.map_or(0, |header| header.revision);
        self.header.is_some() && self.next > 0 && self.next <= next && newest - self.next <= NEAR
    }
}

/// All watchers and the watches they share.
#[derive(Default)]
pub(super) struct Coalescer {
    shared: HashMap<u64, Shared>,
    by_range: HashMap<Range, Vec<u64>>,
    of_watcher: HashMap<WatcherKey, u64>,
    last: u64,
}

impl Coalescer {
    /// Watchers, and shared watches.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.of_watcher.len(), self.shared.len())
    }

    /// How many share a watch.
    pub(super) fn watchers_of(&self, shared: u64) -> usize {
        self.shared.get(&shared).map_or(0, |shared| shared.watchers.len())
    }

    /// A watcher of a shared watch, whichever.
    pub(super) fn any_watcher(&self, shared: u64) -> Option<WatcherKey> {
        self.shared.get(&shared)?.watchers.keys().next().copied()
    }

    /// Adds a watcher: to a shared watch that will tell it everything, or with a new one.
    pub(super) fn add(&mut self, who: WatcherKey, mut spec: Spec, out: &mut impl Deliver) -> Option<Order> {
        let candidates = self.by_range.get(&spec.range).map(Vec::as_slice).unwrap_or_default();
        let fits = |id: &&u64| {
            let shared = &self.shared[id];
            // one that has answered, and is not beyond what this one wants; an unanswered one of the same start is as good
            spec.next > 0 && (shared.next == spec.next || shared.may_serve(spec.next))
        };
        if let Some(id) = candidates.iter().find(fits).copied() {
            let header = self.shared[&id].header;
            if let (Some(header), false) = (header, spec.is_created) {
                let created =
                    pb::WatchResponse { header: Some(header), watch_id: who.id, created: true, ..Default::default() };
                if !out.deliver(who, created) {
                    out.left_behind(who, spec);
                    return None;
                }
                spec.is_created = true;
            }
            self.join(id, who, spec);
            return None;
        }
        self.last += 1;
        let (id, range, start) = (self.last, spec.range.clone(), spec.next);
        let shared = Shared { range: range.clone(), next: start, header: None, watchers: HashMap::new() };
        self.shared.insert(id, shared);
        self.by_range.entry(range.clone()).or_default().push(id);
        self.join(id, who, spec);
        Some(Order::Open { shared: id, range, start })
    }

    fn join(&mut self, id: u64, who: WatcherKey, spec: Spec) {
        self.of_watcher.insert(who, id);
        self.shared.get_mut(&id).expect("a shared watch that was found").watchers.insert(who, spec);
    }

    /// Removes a watcher: the newest header it may be told, and what is to be done at the cluster. `None` when it is not known.
    pub(super) fn remove(&mut self, who: WatcherKey) -> Option<(Option<pb::ResponseHeader>, Option<Order>)> {
        let id = self.of_watcher.remove(&who)?;
        let shared = self.shared.get_mut(&id)?;
        shared.watchers.remove(&who);
        let header = shared.header;
        Some((header, self.close_if_empty(id)))
    }

    /// Removes all watchers of a stream that has ended.
    pub(super) fn remove_stream(&mut self, stream: u64, ids: impl Iterator<Item = i64>) -> Vec<Order> {
        ids.filter_map(|id| self.remove(WatcherKey { stream, id }).and_then(|(_, order)| order)).collect()
    }

    fn close_if_empty(&mut self, id: u64) -> Option<Order> {
        self.shared[&id].watchers.is_empty().then(|| self.close(id))
    }

    fn close(&mut self, id: u64) -> Order {
        if let Some(shared) = self.shared.remove(&id)
            && let Some(ids) = self.by_range.get_mut(&shared.range)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_range.remove(&shared.range);
            }
        }
        Order::Close { shared: id }
    }

    /// The cluster answered on a shared watch.
    pub(super) fn answered(&mut self, id: u64, answer: &pb::WatchResponse, out: &mut impl Deliver) -> Vec<Order> {
        let Some(shared) = self.shared.get_mut(&id) else { return Vec::new() };
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let was_unknown = shared.next == 0;
        shared.header = answer.header.or(shared.header);
        if answer.canceled {
            let watchers: Vec<WatcherKey> = shared.watchers.keys().copied().collect();
            for who in watchers {
                self.of_watcher.remove(&who);
                let spec = self.shared.get_mut(&id).and_then(|shared| shared.watchers.remove(&who));
                let Some(spec) = spec else { continue };
                // a watcher that never was has no id
                let watch_id = if spec.is_created { who.id } else { NO_ID };
                let created = !spec.is_created;
                // without room the stream is told when there is some, by the watch that it then opens
                if !out.deliver(who, pb::WatchResponse { watch_id, created, ..answer.clone() }) {
                    out.left_behind(who, spec);
                }
            }
            // the cluster has closed it already
            self.close(id);
            return Vec::new();
        }
        if let Some(last) = answer.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max() {
            shared.next = shared.next.max(last + 1);
        } else if !answer.created || was_unknown {
            // a promise of progress; and "now" of a watch that began now
            shared.next = shared.next.max(revision + 1);
        }
        let behind = send_all(shared, answer, was_unknown, out);
        for who in behind {
            let spec = self.shared.get_mut(&id).and_then(|shared| shared.watchers.remove(&who));
            self.of_watcher.remove(&who);
            if let Some(spec) = spec {
                out.left_behind(who, spec);
            }
        }
        if let Some(order) = self.close_if_empty(id) {
            return vec![order];
        }
        self.take_over(id).into_iter().collect()
    }

    /// Gives the watchers of a shared watch to another one which is not beyond them, if there is one.
    fn take_over(&mut self, id: u64) -> Option<Order> {
        let shared = &self.shared[&id];
        if shared.watchers.len() > MOST_MOVED || shared.watchers.values().any(|spec| !spec.is_created) {
            return None;
        }
        let is_better = |other: &&u64| **other != id && self.shared[other].may_serve(shared.next);
        let other = *self.by_range.get(&shared.range)?.iter().find(is_better)?;
        let moved = std::mem::take(&mut self.shared.get_mut(&id)?.watchers);
        for (who, spec) in moved {
            self.join(other, who, spec);
        }
        Some(self.close(id))
    }
}

/// Sends an answer to all watchers of a shared watch. Those without room are returned.
fn send_all(
    shared: &mut Shared,
    answer: &pb::WatchResponse,
    was_unknown: bool,
    out: &mut impl Deliver,
) -> Vec<WatcherKey> {
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    let mut behind = Vec::new();
    for (who, spec) in &mut shared.watchers {
        let mut after = spec.clone();
        let response = if answer.created {
            if was_unknown && after.next == 0 {
                after.next = revision + 1;
            }
            let is_new = !std::mem::replace(&mut after.is_created, true);
            is_new.then(|| pb::WatchResponse { watch_id: who.id, events: Vec::new(), ..answer.clone() })
        } else if answer.events.is_empty() {
            // a promise, to those who asked for it, that nothing before it is missing
            let is_kept = revision + 1 >= after.next;
            after.next = after.next.max(revision + 1);
            (spec.progress && is_kept).then(|| pb::WatchResponse { watch_id: who.id, ..answer.clone() })
        } else {
            let events = wanted(&mut after, &answer.events);
            (!events.is_empty()).then(|| pb::WatchResponse { watch_id: who.id, events, ..answer.clone() })
        };
        let is_taken = response.is_none_or(|response| out.deliver(*who, response));
        if is_taken {
            *spec = after;
        } else {
            behind.push(*who);
        }
    }
    behind
}

/// Of these events, those that a watcher has not had and wants to have. It moves on behind all of them.
fn wanted(spec: &mut Spec, events: &[Event]) -> Vec<Event> {
    let mut wanted = Vec::new();
    let mut last = 0;
    for event in events {
        let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        if revision < spec.next {
            continue;
        }
        last = last.max(revision);
        let is_delete = event.r#type == EventType::Delete as i32;
        if if is_delete { spec.no_delete } else { spec.no_put } {
            continue;
        }
        let prev_kv = event.prev_kv.clone().filter(|_| spec.prev_kv);
        wanted.push(Event { prev_kv, ..event.clone() });
    }
    spec.next = spec.next.max(last + 1);
    wanted
}
