//! How much may be sent on a stream: the credit that its client granted, and its share of what all slow clients may owe.
//!
//! A frame may overdraw the credit of its stream once. Must never let a stream that owes its share be sent more.

use super::slots::{BySlot, StreamSlot};

/// Least share of a stream in the budget, in bytes.
const LEAST_SHARE: usize = 8 << 10;

/// What a stream may be sent beyond what its client has taken.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Bytes left of what was granted.
    credit: i64,
    /// Bytes sent and not taken.
    owed: i64,
}

/// The accounts of all streams.
#[derive(Debug)]
pub(super) struct FlowControl {
    /// Bytes sent on all streams together and not taken by the clients: streams that owe something divide it.
    budget: usize,
    accounts: BySlot<Account>,
    /// Streams that owe something.
    owing: usize,
}

impl FlowControl {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, accounts: BySlot::default(), owing: 0 }
    }

    pub(super) fn open(&mut self, stream: StreamSlot, credit: usize) {
        self.accounts.insert(stream, Account { credit: signed(credit), owed: 0 });
    }

    pub(super) fn close(&mut self, stream: StreamSlot) {
        if let Some(account) = self.accounts.remove(stream) {
            self.owing -= usize::from(account.owed > 0);
        }
    }

    /// Bytes were sent, or will be with the frame at hand.
    pub(super) fn charge(&mut self, stream: StreamSlot, bytes: usize) {
        self.book(stream, signed(bytes));
    }

    /// The client took bytes, or what was charged is not sent after all.
    pub(super) fn give_back(&mut self, stream: StreamSlot, bytes: usize) {
        self.book(stream, -signed(bytes));
    }

    fn book(&mut self, stream: StreamSlot, bytes: i64) {
        let Some(account) = self.accounts.get_mut(stream) else { return };
        let owed_before = account.owed > 0;
        account.credit = account.credit.saturating_sub(bytes);
        account.owed = account.owed.saturating_add(bytes).max(0);
        self.owing = self.owing + usize::from(account.owed > 0) - usize::from(owed_before);
    }

    /// True when something may be sent on a stream: it has credit, and its client owes less than its share of the budget. A
    /// client that owes nothing may always be sent something; one that owes will take bytes, and its watchers are woken then.
    pub(super) fn may_send(&self, stream: StreamSlot) -> bool {
        let share = (self.budget / self.owing.max(1)).max(LEAST_SHARE);
        self.accounts.get(stream).is_some_and(|account| account.credit > 0 && account.owed < signed(share))
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::slots::SlotNumber;
    use super::*;

    #[test]
    fn a_stream_that_owes_its_share_waits_and_one_that_owes_nothing_does_not() {
        let mut flow = FlowControl::new(20 << 10);
        let first = StreamSlot::of(0);
        let second = StreamSlot::of(1);
        flow.open(first, 1 << 20);
        flow.open(second, 1 << 20);
        flow.charge(first, 19 << 10);
        assert!(flow.may_send(first), "alone it has the whole budget");
        flow.charge(second, 1);
        assert!(!flow.may_send(first) && flow.may_send(second), "two divide it");
        flow.close(first);
        flow.charge(second, 15 << 10);
        assert!(flow.may_send(second), "the budget is its own again");
    }

    #[test]
    fn credit_may_be_overdrawn_once() {
        let mut flow = FlowControl::new(1 << 20);
        let stream = StreamSlot::of(0);
        flow.open(stream, 10);
        flow.charge(stream, 100);
        assert!(!flow.may_send(stream));
        flow.give_back(stream, 90);
        assert!(!flow.may_send(stream));
        flow.give_back(stream, 10);
        assert!(flow.may_send(stream));
    }
}
