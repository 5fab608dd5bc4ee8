//! Who waits for which proposal, by sequence. Decides which answer a waiter gets, never when time passes.
//!
//! A proposal is attempted once. Its waiter gets exactly one answer: applied (from the applier), certainly not applied, or
//! unknown after the deadline.

use messages::{Reply, ReplyBody, RequestError, SinkId, Token, reply::Outbox};
use model::MemberRefusal;
use raft::{Entry, Index, Term};
use std::collections::{BTreeSet, VecDeque};

/// A waiting proposal.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    sink: SinkId,
    token: Token,
    /// Tick at which its outcome becomes "unknown".
    deadline: u64,
    /// The only term in which it may have an effect; zero for any.
    only_in_term: Term,
}

/// Where an own proposal stands in the log.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: Index,
    term: Term,
    sequence: u64,
}

/// Proposals of this run that have no outcome yet.
#[derive(Debug, Default)]
pub struct PendingProposals {
    /// Sequence of the front of `window`.
    base: u64,
    window: VecDeque<Option<Waiter>>,
    places: VecDeque<Place>,
    waiting: u64,
    /// Term of the newest entry that was committed.
    committed_term: Term,
}

impl PendingProposals {
    /// Notes a waiter and names it. What it proposes has an effect in no other term than `only_in_term`; zero for any.
    pub fn add(&mut self, sink: SinkId, token: Token, deadline: u64, only_in_term: Term) -> u64 {
        self.window.push_back(Some(Waiter { sink, token, deadline, only_in_term }));
        self.waiting += 1;
        self.base + self.window.len() as u64 - 1
    }

    /// The last `count` waiters stand in the own log at `first..`, in order.
    pub fn placed(&mut self, first: Index, term: Term, count: usize) {
        let start = self.base + (self.window.len() - count) as u64;
        // a leader of an earlier term may have put entries here that are replaced now
        for i in 0..count as u64 {
            self.places.push_back(Place { index: first + i, term, sequence: start + i });
        }
    }

    /// Takes the waiter of a sequence, if it still waits.
    pub fn take(&mut self, sequence: u64) -> Option<(SinkId, Token)> {
        let at = sequence.checked_sub(self.base)?;
        let waiter = self.window.get_mut(at as usize)?.take()?;
        self.waiting -= 1;
        while self.window.front().is_some_and(Option::is_none) {
            self.window.pop_front();
            self.base += 1;
        }
        Some((waiter.sink, waiter.token))
    }

    /// An entry was committed: own proposals that stood at or before its index in another term are certainly not applied. Nor are those
    /// that were bound to an earlier term, wherever they went: all entries of that term come before this one.
    pub fn committed(&mut self, entry: &Entry, out: &mut Outbox) {
        if entry.term > self.committed_term {
            self.committed_term = entry.term;
            self.refuse_bound_below(entry.term, out);
        }
        while let Some(place) = self.places.front().copied().filter(|p| p.index <= entry.index) {
            self.places.pop_front();
            let why = if (place.index, place.term) != (entry.index, entry.term) {
                RequestError::LeaderChanged
            } else if entry.data.is_empty() {
                // raft emptied a change of the membership, because another one was under way
                RequestError::Member(MemberRefusal::Pending)
            } else {
                continue;
            };
            if let Some((sink, token)) = self.take(place.sequence) {
                out.push(sink, Reply { token, body: ReplyBody::Applied(Err(why)) });
            }
        }
    }

    fn refuse_bound_below(&mut self, term: Term, out: &mut Outbox) {
        let is_over = |waiter: &Waiter| waiter.only_in_term != 0 && waiter.only_in_term < term;
        let slots = (self.base..).zip(&self.window);
        let over: Vec<u64> = slots.filter(|(_, slot)| slot.is_some_and(|w| is_over(&w))).map(|(at, _)| at).collect();
        for sequence in over {
            if let Some((sink, token)) = self.take(sequence) {
                out.push(sink, Reply { token, body: ReplyBody::Applied(Err(RequestError::LeaderChanged)) });
            }
        }
    }

    /// A snapshot that covers everything up to `index` took the place of the log: what became of own proposals that stood there, or
    /// that were forwarded and may have stood there, cannot be known. They may have been applied.
    pub fn installed(&mut self, index: Index, why: RequestError, out: &mut Outbox) -> u64 {
        let covered = self.places.partition_point(|place| place.index <= index);
        self.places.drain(..covered);
        let above: BTreeSet<u64> = self.places.iter().map(|place| place.sequence).collect();
        let sequences = self.base..self.base + self.window.len() as u64;
        let mut unknown = 0;
        for sequence in sequences.filter(|sequence| !above.contains(sequence)) {
            if let Some((sink, token)) = self.take(sequence) {
                out.push(sink, Reply { token, body: ReplyBody::Applied(Err(why)) });
                unknown += 1;
            }
        }
        unknown
    }

    /// Answers waiters whose deadline has passed, by their deadline: the outcome is unknown.
    pub fn expire(&mut self, now: u64, why: impl Fn(u64) -> RequestError, out: &mut Outbox) -> u64 {
        let mut expired = 0;
        while let Some(waiter) = self.window.front().copied() {
            if waiter.is_some_and(|w| w.deadline > now) {
                break;
            }
            if let Some(waiter) = waiter {
                out.push(
                    waiter.sink,
                    Reply { token: waiter.token, body: ReplyBody::Applied(Err(why(waiter.deadline))) },
                );
                self.waiting -= 1;
                expired += 1;
            }
            self.window.pop_front();
            self.base += 1;
        }
        expired
    }

    /// Waiters without an outcome.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use messages::{ReplySink, Sinks};
    use raft::EntryKind;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(Token, Option<RequestError>)>>);

    impl ReplySink for Seen {
        fn deliver(&self, replies: Vec<Reply>) {
            for reply in replies {
                if let ReplyBody::Applied(result) = reply.body {
                    self.0.lock().expect("not poisoned").push((reply.token, result.err()));
                }
            }
        }
    }

    fn answers(mut out: Outbox) -> Vec<(Token, Option<RequestError>)> {
        let seen = Arc::new(Seen::default());
        let sinks = Sinks::default();
        sinks.register(vec![seen.clone()]);
        out.flush(&sinks);
        std::mem::take(&mut *seen.0.lock().expect("not poisoned"))
    }

    const SINK: SinkId = SinkId(0);

    fn entry(index: Index, term: Term) -> Entry {
        Entry { term, index, kind: EntryKind::Normal, data: Bytes::from_static(b"x") }
    }

    #[test]
    fn a_change_that_was_emptied_is_certainly_not_applied() {
        let (mut pending, mut out) = (PendingProposals::default(), Outbox::default());
        pending.add(SINK, 10, 100, 0);
        pending.placed(5, 2, 1);
        pending.committed(&Entry { data: Bytes::new(), ..entry(5, 2) }, &mut out);
        assert_eq!(answers(out), [(10, Some(RequestError::Member(MemberRefusal::Pending)))]);
    }

    #[test]
    fn a_proposal_replaced_by_another_leader_is_certainly_not_applied() {
        let (mut pending, mut out) = (PendingProposals::default(), Outbox::default());
        let first = pending.add(SINK, 10, 100, 0);
        pending.add(SINK, 11, 100, 0);
        pending.placed(5, 2, 2);
        pending.committed(&entry(5, 2), &mut out);
        assert_eq!(pending.take(first), Some((SINK, 10)));
        pending.committed(&entry(6, 3), &mut out);
        assert_eq!((answers(out), pending.waiting()), (vec![(11, Some(RequestError::LeaderChanged))], 0));
    }

    #[test]
    fn what_an_installed_snapshot_covers_is_unknown_and_never_called_not_applied() {
        let (mut pending, mut out) = (PendingProposals::default(), Outbox::default());
        for token in 10..13 {
            pending.add(SINK, token, 100, 0);
        }
        pending.placed(5, 2, 3);
        assert_eq!(pending.installed(6, RequestError::Timeout, &mut out), 2);
        // the leader of the snapshot goes on in a later term
        pending.committed(&entry(7, 3), &mut out);
        let timeout = Some(RequestError::Timeout);
        assert_eq!(answers(out), [(10, timeout), (11, timeout), (12, Some(RequestError::LeaderChanged))]);
    }

    #[test]
    fn what_was_forwarded_in_an_earlier_term_is_certainly_not_applied_once_a_later_one_commits() {
        let (mut pending, mut out) = (PendingProposals::default(), Outbox::default());
        let first = pending.add(SINK, 10, 100, 2);
        pending.add(SINK, 11, 100, 2);
        pending.add(SINK, 12, 100, 0);
        pending.add(SINK, 13, 100, 3);
        pending.committed(&entry(5, 2), &mut out);
        assert_eq!(pending.take(first), Some((SINK, 10)), "it was entry 5");
        pending.committed(&entry(6, 3), &mut out);
        assert_eq!((answers(out), pending.waiting()), (vec![(11, Some(RequestError::LeaderChanged))], 2));
    }

    #[test]
    fn what_was_forwarded_before_an_install_is_unknown() {
        let (mut pending, mut out) = (PendingProposals::default(), Outbox::default());
        pending.add(SINK, 10, 100, 2);
        pending.add(SINK, 11, 100, 2);
        pending.placed(9, 2, 1);
        assert_eq!(pending.installed(6, RequestError::Timeout, &mut out), 1);
        pending.committed(&entry(7, 3), &mut out);
        assert_eq!(answers(out), [(10, Some(RequestError::Timeout)), (11, Some(RequestError::LeaderChanged))]);
    }

    #[test]
    fn the_deadline_answers_unknown_once_and_in_order() {
        let (mut pending, mut out) = (PendingProposals::default(), Outbox::default());
        let sequences: Vec<_> = (0..3).map(|i| pending.add(SINK, i, 10 + i, 0)).collect();
        assert_eq!(pending.take(sequences[1]), Some((SINK, 1)));
        pending.expire(11, |_| RequestError::Timeout, &mut out);
        assert_eq!((answers(out), pending.waiting()), (vec![(0, Some(RequestError::Timeout))], 1));
        assert_eq!(pending.take(sequences[0]), None);
        assert_eq!(pending.take(sequences[2]), Some((SINK, 2)));
    }
}
