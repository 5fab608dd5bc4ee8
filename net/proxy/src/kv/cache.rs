//! Answers to serializable reads, until a write passes through, a while is over, or there is no room. Pure: time is given.
//!
//! What a client may see: what was true at some time in the last [`AGE`], and never what was overwritten by a write that this proxy
//! has answered. Writes on other ways are seen when the age is over. Must never give one caller's answer to another.

use crate::upstream::Context;
use api::etcdserverpb as pb;
use bytes::Bytes;
use lru::LruCache;
use prost::Message;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most answers that are kept. Source: etcd's `DefaultMaxEntries`.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(2048).unwrap();
/// Most bytes of answers that are kept.
const BYTES: usize = 32 << 20;
/// Larger answers are not kept.
const LARGEST: usize = 1 << 20;
/// How long an answer is kept. etcd has no such bound, and answers from it for ever while nothing is written through the proxy.
pub(super) const AGE: Duration = Duration::from_secs(10);
/// Writes that reads which are under way are compared with.
const WRITES: usize = 1024;

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Question {
    token: Bytes,
    request: Bytes,
}

impl Question {
    /// A linearizable read and a serializable one of the same range have the same answer.
    pub(super) fn new(context: &Context, request: &pb::RangeRequest) -> Self {
        let request = pb::RangeRequest { serializable: true, ..request.clone() };
        Self { token: context.token(), request: request.encode_to_vec().into() }
    }
}

/// Keys from one to another; one key without an end, all that follow with the end `\0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) key: Bytes,
    pub(super) end: Bytes,
}

impl Span {
    pub(super) fn new(key: &Bytes, end: &Bytes) -> Self {
        Self { key: key.clone(), end: end.clone() }
    }

    fn meets(&self, other: &Self) -> bool {
        !self.is_empty() && !other.is_empty() && self.begins_before_end_of(other) && other.begins_before_end_of(self)
    }

    /// Whether it ends before it begins, and so holds no key.
    fn is_empty(&self) -> bool {
        !matches!(self.end.as_ref(), [] | [0]) && self.end <= self.key
    }

    fn begins_before_end_of(&self, other: &Self) -> bool {
        match other.end.as_ref() {
            [] => self.key <= other.key,
            [0] => true,
            end => self.key.as_ref() < end,
        }
    }
}

struct Entry {
    answer: Arc<pb::RangeResponse>,
    span: Span,
    bytes: usize,
    since: Instant,
}

/// A write that passed through.
struct Write {
    span: Span,
    /// Of its answer; 0 when it has none yet.
    revision: i64,
}

/// What is known about a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Answer(Arc<pb::RangeResponse>),
    Compacted,
    Nothing,
}

/// The answers.
pub(super) struct Cache {
    entries: LruCache<Question, Entry>,
    bytes: usize,
    /// Questions for one key.
    points: BTreeSet<(Bytes, Question)>,
    /// Questions for several keys.
    ranges: HashMap<Question, Span>,
    writes: VecDeque<Write>,
    /// Number of the write behind the last one.
    next_write: u64,
    compacted: i64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            entries: LruCache::new(ENTRIES),
            bytes: 0,
            points: BTreeSet::new(),
            ranges: HashMap::new(),
            writes: VecDeque::new(),
            next_write: 0,
            compacted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Looks a question up.
    pub(super) fn get(&mut self, question: &Question, revision: i64, now: Instant) -> Found {
        if revision > 0 && revision < self.compacted {
            self.remove(question);
            return Found::Compacted;
        }
        match self.entries.get(question) {
            Some(entry) if now.duration_since(entry.since) <= AGE => Found::Answer(entry.answer.clone()),
            Some(_) => {
                self.remove(question);
                Found::Nothing
            }
            None => Found::Nothing,
        }
    }

    /// A read begins: what is to be given to [`Self::add`] with its answer.
    pub(super) fn begin(&self) -> u64 {
        self.next_write
    }

    /// Keeps an answer, unless a write passed it: one that began or ended while the read was under way may or may not be in it, and an
    /// older answer than one that was given to a write is that of a member that lags.
    pub(super) fn add(
        &mut self,
        question: Question,
        request: &pb::RangeRequest,
        answer: Arc<pb::RangeResponse>,
        begun: u64,
        now: Instant,
    ) {
        let bytes = answer.encoded_len() + question.request.len() + question.token.len();
        let span = Span::new(&request.key, &request.range_end);
        if bytes > LARGEST || (request.revision > 0 && request.revision < self.compacted) {
            return;
        }
        if request.revision == 0 && self.was_passed(&span, begun, answer.header.as_ref().map_or(0, |h| h.revision)) {
            return;
        }
        self.remove(&question);
        // what is asked at a revision never changes: no write concerns it
        if request.revision == 0 {
            if span.end.is_empty() {
                self.points.insert((span.key.clone(), question.clone()));
            } else {
                self.ranges.insert(question.clone(), span.clone());
            }
        }
        self.bytes += bytes;
        if let Some((old, entry)) = self.entries.push(question, Entry { answer, span, bytes, since: now }) {
            self.forget(&old, &entry);
        }
        while self.bytes > BYTES
            && let Some((old, entry)) = self.entries.pop_lru()
        {
            self.forget(&old, &entry);
        }
    }

    fn was_passed(&self, span: &Span, begun: u64, revision: i64) -> bool {
        let oldest = self.next_write - self.writes.len() as u64;
        let during = |at: usize| oldest + at as u64 >= begun;
        begun < oldest
            || self
                .writes
                .iter()
                .enumerate()
                .any(|(at, write)| (during(at) || write.revision > revision) && write.span.meets(span))
    }

    /// A write begins, without a revision, or was answered.
    pub(super) fn written(&mut self, span: Span, revision: i64) {
        let points: Vec<Question> = match span.end.as_ref() {
            [] => self.points_from(&span.key, Bound::Included(&span.key)),
            [0] => self.points_from(&span.key, Bound::Unbounded),
            _ => self.points_from(&span.key, Bound::Excluded(&span.end)),
        };
        let ranges = self.ranges.iter().filter(|(_, of)| of.meets(&span)).map(|(question, _)| question.clone());
        let met: Vec<Question> = points.into_iter().chain(ranges).collect();
        met.iter().for_each(|question| self.remove(question));
        if self.writes.len() == WRITES {
            self.writes.pop_front();
        }
        self.writes.push_back(Write { span, revision });
        self.next_write += 1;
    }

    fn points_from(&self, key: &Bytes, end: Bound<&Bytes>) -> Vec<Question> {
        let first = (key.clone(), Question { token: Bytes::new(), request: Bytes::new() });
        let inside = |point: &Bytes| match end {
            Bound::Included(end) => point <= end,
            Bound::Excluded(end) => point < end,
            Bound::Unbounded => true,
        };
        let from = self.points.range(first..).take_while(|(point, _)| inside(point));
        from.map(|(_, question)| question.clone()).collect()
    }

    /// Revisions below this are gone.
    pub(super) fn compact(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
    }

    /// Forgets all answers.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.points.clear();
        self.ranges.clear();
        self.bytes = 0;
    }

    fn remove(&mut self, question: &Question) {
        if let Some(entry) = self.entries.pop(question) {
            self.forget(question, &entry);
        }
    }

    fn forget(&mut self, question: &Question, entry: &Entry) {
        self.bytes -= entry.bytes;
        self.ranges.remove(question);
        self.points.remove(&(entry.span.key.clone(), question.clone()));
    }
}
