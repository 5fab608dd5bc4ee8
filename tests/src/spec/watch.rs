//! Watch: answers to requests on a stream, and a judgement of everything the server sends by itself.
//!
//! Which events a watcher gets, and in which order, follows from the history alone. Left to the server is only how many
//! revisions share a response, when it comes, and, for a watcher that is still catching up, whether a compaction ends it first.
//! Must never accept a gap, a repetition, a revision that is cut in two, or a promise of progress that was not kept.

use super::history::{History, Version, holds};
use super::{Refusal, Spec};
use api::etcdserverpb::watch_create_request::FilterType;
use api::etcdserverpb::{WatchCreateRequest, WatchResponse};
use api::mvccpb::{Event, EventType, KeyValue};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// A watcher.
#[derive(Clone, Debug)]
pub struct Watcher {
    request: WatchCreateRequest,
    /// Position in the history of the first version it was not offered yet.
    next: usize,
    /// Compact revision when it was created.
    floor: i64,
    /// Known to have caught up: from then on no compaction ends it.
    synced: bool,
    /// Compactions that may end it.
    may_end_with: Vec<i64>,
    /// Ended by a compaction; its id stays taken.
    compacted: bool,
    /// Told of progress at this revision, without an event.
    notified: i64,
}

/// A watch stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// By id.
    pub watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
    /// Progress requests that may still be answered: the revisions they were made at.
    pub asked: Vec<i64>,
    /// A watcher that was asked for and not told to exist yet: a promise that comes before that is not about it.
    pub opening: Option<i64>,
    /// Ids whose watcher was cancelled before everything was delivered. etcd 3.7.1 may hand what was left to the next watcher with
    /// that id.
    pub left_over: BTreeSet<i64>,
}

/// Whether a progress request made now is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every watcher has caught up.
    Certain,
    /// A watcher may still be catching up.
    Open,
    /// No watcher, one that begins in the future, or one that a compaction ended.
    Never,
}

impl Watcher {
    fn wants(&self, version: &Version) -> bool {
        let filter = if version.deleted { FilterType::Nodelete } else { FilterType::Noput };
        version.kv.mod_revision >= self.request.start_revision
            && holds(&self.request.key, &self.request.range_end, &version.kv.key)
            && !self.request.filters.contains(&(filter as i32))
    }

    /// True when it began before what was compacted then: it gets nothing but the news of its end.
    fn is_doomed(&self) -> bool {
        self.request.start_revision > 0 && self.request.start_revision < self.floor
    }

    /// True when it was told of progress up to `revision`, or is not to be told.
    pub fn is_noticed(&self, revision: i64) -> bool {
        let told = self.request.progress_notify && !self.compacted && self.request.start_revision <= revision;
        !told || self.notified >= revision
    }

    /// The first version it is still owed.
    fn owed<'a>(&self, history: &'a History) -> Option<&'a Version> {
        if self.compacted || self.is_doomed() {
            return None;
        }
        history.versions[self.next..].iter().find(|v| self.wants(v))
    }

    /// True when it has been sent all that is certain to come.
    pub fn is_settled(&self, history: &History) -> bool {
        self.compacted || (!self.is_doomed() && self.owed(history).is_none())
    }

    /// True when a compaction may have ended it, and nobody knows yet.
    fn is_in_doubt(&self) -> bool {
        !self.compacted && !self.synced && (self.is_doomed() || !self.may_end_with.is_empty())
    }

    fn begins_later(&self, history: &History) -> bool {
        self.request.start_revision > history.revision
    }

    /// What an event says of what was there before: `Err` when more than one answer is right.
    fn previous(&self, history: &History, version: &Version) -> Result<Option<KeyValue>, Option<KeyValue>> {
        let kv = &version.kv;
        let created = !version.deleted && kv.create_revision == kv.mod_revision;
        if !self.request.prev_kv || created || kv.mod_revision - 1 < self.floor {
            return Ok(None);
        }
        let previous = history.get(&kv.key, kv.mod_revision - 1).cloned();
        // looked up when it is sent: a compaction may have been faster
        if kv.mod_revision - 1 < history.compacted { Err(previous) } else { Ok(previous) }
    }

    /// Takes the events of one response.
    fn take(&mut self, history: &History, events: &[Event]) -> Result<(), String> {
        if self.compacted || self.is_doomed() {
            return Err("events for a watcher that a compaction ended".into());
        }
        let mut last = 0;
        for event in events {
            last = self.take_one(history, event)?;
        }
        if let Some(rest) = self.owed(history).filter(|v| v.kv.mod_revision == last) {
            return Err(format!("revision {last} is cut in two: {:?} belongs to it", rest.kv));
        }
        let caught_up = self.owed(history).is_none();
        // what a filter dropped at the end may still have to be read
        self.synced |= caught_up && self.request.filters.is_empty();
        Ok(())
    }

    fn take_one(&mut self, history: &History, event: &Event) -> Result<i64, String> {
        let kv = event.kv.clone().unwrap_or_default();
        while let Some(version) = history.versions.get(self.next) {
            let at = self.next;
            self.next += 1;
            if !self.wants(version) {
                continue;
            }
            let deleted = event.r#type == EventType::Delete as i32;
            if kv != version.kv || deleted != version.deleted {
                let compacted = version.kv.mod_revision <= history.compacted;
                if compacted && history.is_hidden(at) {
                    continue;
                }
                return Err(format!("expected deleted={} {:?}, got {event:?}", version.deleted, version.kv));
            }
            let right = match self.previous(history, version) {
                Ok(wanted) => event.prev_kv == wanted,
                Err(maybe) => event.prev_kv.is_none() || event.prev_kv == maybe,
            };
            if !right {
                let wanted = self.previous(history, version);
                return Err(format!("expected prev_kv {wanted:?}, got {event:?}"));
            }
            return Ok(version.kv.mod_revision);
        }
        Err(format!("an event too many: {event:?}"))
    }
}

impl Stream {
    /// A compaction was made: a watcher that may be behind it may be ended by it.
    pub(super) fn note_compaction(&mut self, history: &History) {
        for watcher in self.watchers.values_mut().filter(|w| !w.synced && !w.compacted) {
            let delivered = history.versions[..watcher.next].last().map_or(0, |v| v.kv.mod_revision + 1);
            if watcher.request.start_revision.max(delivered) < history.compacted || watcher.is_doomed() {
                watcher.may_end_with.push(history.compacted);
            }
        }
    }

    /// The id the next watcher gets that does not ask for one.
    pub fn free_id(&self) -> i64 {
        (self.next_id..).find(|id| !self.watchers.contains_key(id)).unwrap_or_default()
    }

    /// True when everything that is certain to come has come.
    pub fn is_settled(&self, history: &History) -> bool {
        self.watchers.values().all(|w| w.is_settled(history))
    }

    /// Events that are owed, at most `most`.
    pub fn owed(&self, history: &History, most: usize) -> usize {
        let owed = |w: &Watcher| {
            let open = !w.compacted && !w.is_doomed();
            history.versions[w.next..].iter().filter(|v| open && w.wants(v)).take(most).count()
        };
        self.watchers.values().map(owed).sum()
    }

    /// Whether a progress request is answered.
    pub fn progress(&self, history: &History) -> Progress {
        let mut all = Progress::Certain;
        for watcher in self.watchers.values() {
            if watcher.compacted || watcher.is_doomed() || watcher.begins_later(history) {
                return Progress::Never;
            }
            if !watcher.synced {
                all = Progress::Open;
            }
        }
        if self.watchers.is_empty() { Progress::Never } else { all }
    }
}

impl Spec {
    /// Opens a stream.
    pub fn open_stream(&mut self, stream: usize) {
        self.streams.insert(stream, Stream::default());
    }

    /// The answer to a create request.
    ///
    /// # Panics
    /// When the stream is not open.
    pub fn watch(&mut self, stream: usize, request: &WatchCreateRequest) -> WatchResponse {
        let mut request = request.clone();
        if request.key.is_empty() {
            request.key = Bytes::from_static(&[0]);
        }
        let answer = WatchResponse { header: Some(self.header()), created: true, ..WatchResponse::default() };
        let refuse = |reason: &str| WatchResponse {
            watch_id: -1,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..answer.clone()
        };
        if request.start_revision < 0 {
            return refuse(&Refusal::COMPACTED.text);
        }
        let end = &request.range_end[..];
        if !end.is_empty() && end != [0] && request.key[..] >= *end {
            return refuse(EMPTY_RANGE);
        }
        let stream = self.streams.get_mut(&stream).expect("an open stream");
        let watch_id = if request.watch_id == 0 { stream.free_id() } else { request.watch_id };
        if stream.watchers.contains_key(&watch_id) {
            return refuse(DUPLICATE_ID);
        }
        if request.watch_id == 0 {
            stream.next_id = watch_id + 1;
        }
        let start = request.start_revision;
        let live = start == 0 || start > self.history.revision;
        let first = if live { self.history.revision + 1 } else { start };
        let doomed = start > 0 && start < self.history.compacted;
        let watcher = Watcher {
            next: self.history.versions.partition_point(|v| v.kv.mod_revision < first),
            floor: self.history.compacted,
            synced: live,
            may_end_with: if doomed { vec![self.history.compacted] } else { Vec::new() },
            compacted: false,
            notified: 0,
            request,
        };
        stream.watchers.insert(watch_id, watcher);
        WatchResponse { watch_id, ..answer }
    }

    /// The answer to a cancel request; none when there is no such watcher.
    pub fn cancel_watch(&mut self, stream: usize, watch_id: i64) -> Option<WatchResponse> {
        let header = Some(self.header());
        let stream = self.streams.get_mut(&stream)?;
        let watcher = stream.watchers.remove(&watch_id)?;
        if !watcher.is_settled(&self.history) || watcher.is_in_doubt() {
            stream.left_over.insert(watch_id);
        }
        Some(WatchResponse { header, watch_id, canceled: true, ..WatchResponse::default() })
    }

    /// Judges a response that is no answer to a create or cancel request.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn observe(&mut self, stream: usize, response: &WatchResponse) -> Result<(), String> {
        let history = &self.history;
        let Some(stream) = self.streams.get_mut(&stream) else { return Err("the stream is not open".into()) };
        let revision = response.header.as_ref().map_or(0, |h| h.revision);
        if response.created || response.fragment || !response.cancel_reason.is_empty() {
            return Err("no request asked for this".into());
        }
        if response.canceled {
            return ended(stream, response, revision);
        }
        if response.compact_revision != 0 || revision > history.revision {
            return Err(format!("a header from the future, now is {}", history.revision));
        }
        if response.events.is_empty() {
            return promised(history, stream, response.watch_id, revision);
        }
        let Some(watcher) = stream.watchers.get_mut(&response.watch_id) else {
            return Err("events for a watcher that does not exist".into());
        };
        watcher.take(history, &response.events)?;
        let last = response.events.last().and_then(|e| e.kv.as_ref()).map_or(0, |kv| kv.mod_revision);
        if revision < last {
            return Err(format!("the header's revision is older than the event {last}"));
        }
        Ok(())
    }

    /// Events that a stream is owed and does not get, for the report of a failure.
    pub fn missing(&self, stream: usize) -> Vec<String> {
        let Some(stream) = self.streams.get(&stream) else { return Vec::new() };
        let unsettled = stream.watchers.iter().filter(|(_, w)| !w.is_settled(&self.history));
        unsettled
            .map(|(id, w)| match w.owed(&self.history) {
                Some(version) => format!("watcher {id} {:?}: {version:?}", w.request),
                None => format!("watcher {id} {:?}: its end by compaction", w.request),
            })
            .collect()
    }
}

/// A compaction ended a watcher.
fn ended(stream: &mut Stream, response: &WatchResponse, revision: i64) -> Result<(), String> {
    let Some(watcher) = stream.watchers.get_mut(&response.watch_id) else {
        return Err("the end of a watcher that does not exist".into());
    };
    if watcher.compacted || !watcher.may_end_with.contains(&response.compact_revision) {
        return Err(format!("no compaction can have ended it, only {:?}", watcher.may_end_with));
    }
    if revision != 0 || !response.events.is_empty() {
        return Err("the end by compaction has no revision and no event".into());
    }
    watcher.compacted = true;
    Ok(())
}

/// Progress: a promise that everything up to `revision` was sent before.
fn promised(history: &History, stream: &mut Stream, watch_id: i64, revision: i64) -> Result<(), String> {
    let all = watch_id == -1;
    if all {
        let Some(at) = stream.asked.iter().position(|asked| *asked <= revision) else {
            return Err(format!("progress that nobody asked for at that revision, asked at {:?}", stream.asked));
        };
        stream.asked.remove(at);
    }
    let mut found = false;
    let opening = stream.opening;
    let meant = |id: i64| if all { opening != Some(id) } else { id == watch_id };
    for (id, watcher) in stream.watchers.iter_mut().filter(|(id, _)| meant(**id)) {
        found = true;
        if !all && !watcher.request.progress_notify {
            return Err("progress of a watcher that did not ask for it".into());
        }
        if watcher.compacted || watcher.request.start_revision > revision {
            return Err(format!("progress {revision} in spite of watcher {id}"));
        }
        if let Some(version) = watcher.owed(history).filter(|v| v.kv.mod_revision <= revision) {
            return Err(format!("progress {revision} before an event of watcher {id}: {version:?}"));
        }
        watcher.synced = true;
        watcher.notified = watcher.notified.max(revision);
    }
    if found { Ok(()) } else { Err("progress of a stream or watcher that does not exist".into()) }
}
