//! Lists of new events that came while the hub was reading the store for itself: they wait until it has read up to them.
//!
//! Must never hold more than it is allowed to: what does not fit is read from the store like the rest.

use crate::wiring::events::WatchRevision;
use std::collections::VecDeque;
use std::sync::Arc;

/// New events, and the revisions between which they are all there is.
#[derive(Debug)]
pub(super) struct PendingList {
    /// The revision that they follow.
    pub(super) after: i64,
    /// The revision that they reach.
    pub(super) up_to: i64,
    pub(super) events: Arc<[WatchRevision]>,
}

/// Lists that wait, ascending.
#[derive(Debug, Default)]
pub(super) struct PendingEvents {
    lists: VecDeque<PendingList>,
    bytes: usize,
}

impl PendingEvents {
    /// Adds a list. When all together then have more than `most` bytes, none is kept.
    pub(super) fn push(&mut self, list: PendingList, most: usize) {
        self.bytes += list.events.iter().map(WatchRevision::bytes).sum::<usize>();
        self.lists.push_back(list);
        if self.bytes > most {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.lists.clear();
        self.bytes = 0;
    }

    /// The first list, if nothing is missing between `head` and its events.
    pub(super) fn pop(&mut self, head: i64) -> Option<PendingList> {
        if self.lists.front()?.after > head {
            return None;
        }
        let list = self.lists.pop_front();
        if self.lists.is_empty() {
            self.bytes = 0;
        }
        list
    }

    /// The revision that the first list follows: up to there the store has to be read.
    pub(super) fn follow(&self) -> Option<i64> {
        self.lists.front().map(|list| list.after)
    }
}
