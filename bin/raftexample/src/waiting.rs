//! Who waits for what: clients for their entry to be applied, reads for an index to be applied.
//!
//! Must never keep somebody who has stopped waiting for longer than a tick.

use crate::input::{Done, Refused};
use raft::{Index, ReadState};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A read: its key, who asked, and from which applied index on it may be answered. None while raft has not said.
struct Read {
    key: String,
    done: Done<Option<Vec<u8>>>,
    from: Option<Index>,
}

/// See the file header.
pub struct Waiting {
    writes: HashMap<u64, Done<()>>,
    reads: HashMap<u64, Read>,
    /// Number of the next request. It starts at random, so that what an earlier life of this member proposed matches nothing.
    next: u64,
}

impl Waiting {
    /// Nobody waits.
    pub fn new() -> Self {
        let next = RandomState::new().build_hasher().finish();
        Self { writes: HashMap::new(), reads: HashMap::new(), next }
    }

    /// A number that no other request has.
    pub fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// A client waits until the entry with this number is applied.
    pub fn write(&mut self, number: u64, done: Done<()>) {
        self.writes.insert(number, done);
    }

    /// The entry with this number was applied, or refused. On members that did not propose it nobody waits.
    pub fn written(&mut self, number: u64, outcome: Result<(), Refused>) {
        if let Some(done) = self.writes.remove(&number) {
            // the client may have gone
            let _ = done.send(outcome);
        }
    }

    /// A client waits for a read with this number.
    pub fn read(&mut self, number: u64, key: String, done: Done<Option<Vec<u8>>>) {
        self.reads.insert(number, Read { key, done, from: None });
    }

    /// Raft says from which index on reads may be answered.
    pub fn granted(&mut self, reads: &[ReadState]) {
        for granted in reads {
            if let Some(read) = self.reads.get_mut(&granted.tag) {
                read.from = Some(granted.index);
            }
        }
    }

    /// Answers what may be answered when everything up to `applied` is.
    pub fn answer_reads(&mut self, applied: Index, value: impl Fn(&str) -> Option<Vec<u8>>) {
        let ready = self.reads.extract_if(|_, read| read.from.is_some_and(|from| from <= applied));
        for (_, Read { key, done, .. }) in ready {
            let _ = done.send(Ok(value(&key)));
        }
    }

    /// Forgets those whose clients have gone: raft loses proposals and reads when a leader dies, and does not say so.
    pub fn forget_the_gone(&mut self) {
        self.writes.retain(|_, done| !done.is_closed());
        self.reads.retain(|_, read| !read.done.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn a_read_waits_for_raft_and_then_for_the_index() {
        let mut waiting = Waiting::new();
        let (done, mut answer) = oneshot::channel();
        let tag = waiting.number();
        waiting.read(tag, "k".to_owned(), done);
        waiting.answer_reads(9, |_| None);
        assert!(answer.try_recv().is_err(), "raft has not granted it");
        waiting.granted(&[ReadState { index: 10, tag }]);
        waiting.answer_reads(9, |_| None);
        assert!(answer.try_recv().is_err(), "the state is older than the read");
        waiting.answer_reads(10, |key| Some(key.into()));
        assert_eq!(answer.try_recv(), Ok(Ok(Some(b"k".to_vec()))));
    }

    #[test]
    fn who_stopped_waiting_is_forgotten() {
        let mut waiting = Waiting::new();
        let number = waiting.number();
        waiting.write(number, oneshot::channel().0);
        waiting.read(number, String::new(), oneshot::channel().0);
        waiting.forget_the_gone();
        assert!(waiting.writes.is_empty() && waiting.reads.is_empty());
    }
}
