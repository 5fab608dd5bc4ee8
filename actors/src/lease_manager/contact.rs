//! Whether this member was confirmed as leader a moment ago: a renewal is only good while no other leader can exist.
//!
//! A round counts from when it was asked for, never from when its answer came. Pure.

/// Rounds of read index, one at a time.
#[derive(Debug)]
pub(super) struct Contact {
    /// How long a confirmation is good for, in milliseconds: an election timeout less a heartbeat.
    good_for: u64,
    confirmed: Option<u64>,
    asked: Option<u64>,
    /// The round that is out confirms nothing.
    void: bool,
    /// Rounds asked for so far.
    round: u64,
}

impl Contact {
    pub(super) fn new(good_for: u64) -> Self {
        Self { good_for, confirmed: None, asked: None, void: false, round: 0 }
    }

    /// True when no other leader can have been elected by now.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        self.confirmed.is_some_and(|at| now.saturating_sub(at) < self.good_for)
    }

    /// The round that begins now; `None` while one is out.
    pub(super) fn begin(&mut self, now: u64) -> Option<u64> {
        if self.asked.is_some() {
            return None;
        }
        (self.asked, self.void) = (Some(now), false);
        self.round += 1;
        Some(self.round)
    }

    /// The answer of the round that is out.
    pub(super) fn end(&mut self, granted: bool) {
        let asked = self.asked.take();
        if !std::mem::take(&mut self.void) && granted {
            self.confirmed = self.confirmed.max(asked);
        }
    }

    /// Gives up a round that was asked for longer than `patience` ago.
    pub(super) fn give_up(&mut self, now: u64, patience: u64) {
        if self.asked.is_some_and(|at| now.saturating_sub(at) >= patience) {
            self.asked = None;
        }
    }

    /// The last round that was begun.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// The role changed: what was confirmed before means nothing now.
    pub(super) fn forget(&mut self) {
        self.confirmed = None;
        // the answer of a round from before must not confirm the new role
        self.void = self.asked.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_counts_from_its_question_and_one_from_before_a_change_of_role_not_at_all() {
        let mut contact = Contact::new(900);
        assert!(!contact.is_fresh(0));
        assert_eq!((contact.begin(5_000), contact.begin(5_001)), (Some(1), None));
        contact.end(true);
        assert!(contact.is_fresh(5_899) && !contact.is_fresh(5_900));
        contact.begin(6_000);
        contact.end(false);
        assert!(!contact.is_fresh(6_001));
        contact.begin(7_000);
        contact.forget();
        contact.end(true);
        assert!(!contact.is_fresh(7_001));
    }
}
