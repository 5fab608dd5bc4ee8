//! The whole history of a store, read from its watch: the judge of every crash round.
//!
//! Must never be told what writers think: it knows what the server shows, writers' beliefs are checked against it.

use api::mvccpb::Event;
use harness::model::Present;
use harness::watch::create_all;
use harness::{Stubs, Watching};

/// Every event so far, and what is present after them.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Events by revision: index 0 holds revision 2.
    pub revisions: Vec<Vec<Event>>,
    /// What is present after them.
    pub present: Present,
}

impl Log {
    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.revisions.len() as i64 + 1
    }

    /// Events of a revision.
    pub fn at(&self, revision: i64) -> &[Event] {
        &self.revisions[revision as usize - 2]
    }

    /// Adds the events of one answer of a watch that resumed behind the newest revision.
    ///
    /// # Panics
    /// When a revision is missing, repeated or split.
    pub fn take(&mut self, events: Vec<Event>) {
        let first = self.revision();
        for event in events {
            let revision = event.kv.as_ref().expect("a key").mod_revision;
            self.present.take(&event);
            let newest = self.revision();
            if revision == newest && newest > first {
                self.revisions.last_mut().expect("events before").push(event);
            } else {
                assert_eq!(revision, newest + 1, "a watcher that resumed misses or repeats revisions");
                self.revisions.push(vec![event]);
            }
        }
    }

    /// Reads on from where it ends to `revision`.
    ///
    /// # Panics
    /// When the events contradict what was seen before.
    pub async fn resume(&mut self, stubs: &Stubs, revision: i64) {
        if self.revision() >= revision {
            return;
        }
        let mut watching = Watching::open(stubs, create_all(self.revision() + 1)).await;
        while self.revision() < revision {
            let answer = watching.next().await;
            assert!(!answer.canceled, "canceled: {answer:?}");
            self.take(answer.events);
        }
    }
}
