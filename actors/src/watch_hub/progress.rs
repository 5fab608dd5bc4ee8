//! Who is to be told of progress: streams whose clients asked for it, and watchers that want a notice when they are quiet.
//!
//! Must never decide how far a stream was sent everything: that is the registry's.

use super::registry::SentUpTo;
use super::slots::{BySlot, StreamSlot, WatcherSlot};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a client wants to be told.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// That everything up to here was sent, at least.
    first: i64,
    /// The same of this revision, if it asked again meanwhile.
    last: i64,
}

/// Requests of clients that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct ProgressRequests {
    requests: BySlot<Request>,
    /// Streams to be looked at: those with a request, and some that have none any more.
    waiting: Vec<StreamSlot>,
}

impl ProgressRequests {
    /// A client asks, when `published` is the newest revision it can have seen.
    pub(super) fn ask(&mut self, stream: StreamSlot, published: i64) {
        // a second request while the first one waits must not put the answer to that off
        if let Some(request) = self.requests.get_mut(stream) {
            request.last = published;
            return;
        }
        self.requests.insert(stream, Request { first: published, last: published });
        self.waiting.push(stream);
    }

    pub(super) fn close(&mut self, stream: StreamSlot) {
        self.requests.remove(stream);
    }

    /// Streams whose requests are to be answered now, or asked again.
    pub(super) fn take_waiting(&mut self) -> Vec<StreamSlot> {
        std::mem::take(&mut self.waiting)
    }

    /// The revision to be promised on a stream, if now is the time. A request stays while the stream lags behind, and is
    /// dropped while no promise may be made at all (`None`).
    pub(super) fn answer(&mut self, stream: StreamSlot, sent: Option<SentUpTo>) -> Option<i64> {
        let request = self.requests.remove(stream)?;
        let SentUpTo { revision, last_event } = sent?;
        if revision < request.first.max(last_event) {
            self.requests.insert(stream, request);
            self.waiting.push(stream);
            return None;
        }
        if revision < request.last {
            self.requests.insert(stream, Request { first: request.last, last: request.last });
            self.waiting.push(stream);
        }
        Some(revision)
    }
}

/// When to look whether a watcher is quiet. Numbers and ids may be used again: the watcher is the one meant if it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Notice {
    /// In milliseconds.
    pub(super) due: u64,
    pub(super) watcher: WatcherSlot,
    pub(super) stream: StreamSlot,
    pub(super) watch_id: i64,
}

/// Notices in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct ProgressNotices(BinaryHeap<Reverse<Notice>>);

impl ProgressNotices {
    pub(super) fn push(&mut self, notice: Notice) {
        self.0.push(Reverse(notice));
    }

    /// The next notice that is due by `now`.
    pub(super) fn pop(&mut self, now: u64) -> Option<Notice> {
        let Reverse(first) = self.0.peek()?;
        if first.due > now {
            return None;
        }
        self.0.pop().map(|Reverse(notice)| notice)
    }
}
