//! Who waits for a read-index grant. One round is asked of raft at a time, and what is asked meanwhile
//! shares the next one, so that the number of rounds follows the round trip and not the number of reads.
//!
//! Decides which answer a waiter gets, never when time passes. Must never let a read join a round that was begun before it.

use messages::read::ReadIndex;
use messages::{Reply, ReplyBody, RequestError, SinkId, Token, reply::Outbox};
use raft::Index;
use std::collections::VecDeque;

/// The way to the start of service: no read is granted before this member knows what was committed before it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceStart {
    /// No leader was seen yet.
    NoLeader,
    /// A read index was asked for.
    Asked { tag: u64 },
    /// It is this index, which must be applied.
    Granted { index: Index },
    /// Service is open, for good.
    Open,
}

/// Reads of one list, which are answered together.
#[derive(Debug)]
struct Waiter {
    sink: SinkId,
    tokens: Vec<Token>,
    /// Tick at which they are refused.
    deadline: u64,
}

impl Waiter {
    fn answer(self, result: Result<(), RequestError>, out: &mut Outbox) {
        for token in self.tokens {
            out.push(self.sink, Reply { token, body: ReplyBody::ReadGranted(result) });
        }
    }
}

/// Reads that wait for a quorum's word or for the applier.
#[derive(Debug, Default)]
pub struct PendingReads {
    /// Asked while a round was under way: they share the next one.
    collecting: Vec<Waiter>,
    /// The round that raft was asked for and has not granted, with its tag.
    asked: Option<(u64, Vec<Waiter>)>,
    /// Granted rounds and the index that must be applied before they are answered.
    granted: VecDeque<(Index, Vec<Waiter>)>,
}

impl PendingReads {
    /// Notes reads that ask for a grant.
    pub fn ask(&mut self, list: ReadIndex, deadline: u64) {
        self.collecting.push(Waiter { sink: list.sink, tokens: list.tokens, deadline });
    }

    /// Whether a round should be begun: somebody waits for one, and none is under way.
    pub fn wants_round(&self) -> bool {
        self.asked.is_none() && !self.collecting.is_empty()
    }

    /// Begins a round for everything that was asked so far. Raft must be asked under this tag.
    pub fn begin(&mut self, tag: u64) {
        debug_assert!(self.wants_round(), "one round at a time, and none for nobody");
        self.asked = Some((tag, std::mem::take(&mut self.collecting)));
    }

    /// The tag of the round under way: to be asked again after a while, because a round can be lost.
    pub fn unconfirmed(&self) -> Option<u64> {
        self.asked.as_ref().map(|(tag, _)| *tag)
    }

    /// Raft granted a round. An answer to an earlier one, or a second answer, says nothing.
    pub fn grant(&mut self, tag: u64, index: Index) {
        if let Some((_, waiters)) = self.asked.take_if(|(asked, _)| *asked == tag) {
            self.granted.push_back((index, waiters));
        }
    }

    /// Answers rounds whose index is applied.
    pub fn applied(&mut self, applied: Index, out: &mut Outbox) {
        while self.granted.front().is_some_and(|(index, _)| *index <= applied) {
            let (_, waiters) = self.granted.pop_front().expect("just seen");
            for waiter in waiters {
                waiter.answer(Ok(()), out);
            }
        }
    }

    /// Refuses reads whose deadline has passed. Returns how many.
    pub fn expire(&mut self, now: u64, why: RequestError, out: &mut Outbox) -> u64 {
        let mut refused = 0;
        let lists = self.granted.iter_mut().map(|(_, waiters)| waiters);
        let lists = lists.chain(self.asked.as_mut().map(|(_, waiters)| waiters)).chain([&mut self.collecting]);
        for waiters in lists {
            // deadlines ascend, because lists are kept in the order in which they came
            let expired = waiters.partition_point(|waiter| waiter.deadline <= now);
            for waiter in waiters.drain(..expired) {
                refused += waiter.tokens.len() as u64;
                waiter.answer(Err(why), out);
            }
        }
        self.granted.retain(|(_, waiters)| !waiters.is_empty());
        self.asked.take_if(|(_, waiters)| waiters.is_empty());
        refused
    }

    /// Nobody waits.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.collecting.is_empty() && self.asked.is_none() && self.granted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{ReplySink, Sinks};
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(Token, Option<RequestError>)>>);

    impl ReplySink for Seen {
        fn deliver(&self, replies: Vec<Reply>) {
            for reply in replies {
                if let ReplyBody::ReadGranted(result) = reply.body {
                    self.0.lock().expect("not poisoned").push((reply.token, result.err()));
                }
            }
        }
    }

    fn answers(out: &mut Outbox) -> Vec<(Token, Option<RequestError>)> {
        let seen = Arc::new(Seen::default());
        let sinks = Sinks::default();
        sinks.register(vec![seen.clone()]);
        out.flush(&sinks);
        std::mem::take(&mut *seen.0.lock().expect("not poisoned"))
    }

    fn list(tokens: &[Token]) -> ReadIndex {
        ReadIndex { sink: SinkId(0), tokens: tokens.to_vec() }
    }

    #[test]
    fn one_round_is_under_way_and_the_next_one_collects() {
        let mut reads = PendingReads::default();
        let mut out = Outbox::default();
        reads.ask(list(&[1]), 10);
        assert!(reads.wants_round());
        reads.begin(7);
        reads.ask(list(&[2]), 10);
        reads.ask(list(&[3]), 10);
        assert!(!reads.wants_round(), "a round is under way");
        reads.grant(7, 5);
        reads.applied(4, &mut out);
        assert_eq!(answers(&mut out), []);
        assert!(reads.wants_round());
        reads.begin(8);
        reads.applied(5, &mut out);
        assert_eq!(answers(&mut out), [(1, None)], "the later ones were asked after that round began");
        reads.grant(8, 6);
        reads.applied(6, &mut out);
        assert_eq!(answers(&mut out), [(2, None), (3, None)]);
        assert!(reads.is_empty());
    }

    #[test]
    fn an_answer_to_another_round_says_nothing() {
        let mut reads = PendingReads::default();
        let mut out = Outbox::default();
        reads.ask(list(&[1]), 10);
        reads.begin(7);
        reads.grant(6, 1);
        assert_eq!(reads.unconfirmed(), Some(7));
        reads.grant(7, 3);
        reads.grant(7, 9);
        reads.applied(3, &mut out);
        assert_eq!(answers(&mut out), [(1, None)]);
    }

    #[test]
    fn reads_are_refused_at_their_own_deadline_wherever_they_wait() {
        let mut reads = PendingReads::default();
        let mut out = Outbox::default();
        reads.ask(list(&[1]), 10);
        reads.ask(list(&[2]), 11);
        reads.begin(7);
        reads.ask(list(&[3]), 12);
        reads.expire(10, RequestError::Timeout, &mut out);
        assert_eq!(answers(&mut out), [(1, Some(RequestError::Timeout))]);
        assert_eq!(reads.unconfirmed(), Some(7));
        reads.expire(11, RequestError::Timeout, &mut out);
        assert_eq!(answers(&mut out), [(2, Some(RequestError::Timeout))]);
        assert!(reads.wants_round(), "a round that nobody waits for is not waited for");
        reads.begin(8);
        reads.grant(8, 100);
        reads.expire(12, RequestError::Timeout, &mut out);
        assert_eq!(answers(&mut out), [(3, Some(RequestError::Timeout))]);
        assert!(reads.is_empty());
    }
}
