//! Whether this member was confirmed as leader a moment ago: a renewal is only good while no other leader can exist.
//!
//! A round counts from when it was begun, never from when its answer came. The clock must go on while the machine is suspended:
//! another leader may have been elected meanwhile. Pure.

/// Rounds of read index, one at a time. Times are milliseconds.
#[derive(Debug)]
pub(super) struct LeaderConfirmation {
    /// How long a confirmation is good for, in milliseconds: an election timeout less a heartbeat.
    good_for: u64,
    /// When the last round began that confirmed the leadership.
    confirmed: Option<u64>,
    /// When the round began that is out.
    begun: Option<u64>,
    /// The round that is out confirms nothing.
    void: bool,
    /// Rounds begun so far.
    round: u64,
}

impl LeaderConfirmation {
    pub(super) fn new(good_for: u64) -> Self {
        Self { good_for, confirmed: None, begun: None, void: false, round: 0 }
    }

    /// True when no other leader can have been elected by now.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        self.confirmed.is_some_and(|at| now.saturating_sub(at) < self.good_for)
    }

    /// The round that begins now; `None` while one is out.
    pub(super) fn begin(&mut self, now: u64) -> Option<u64> {
        if self.begun.is_some() {
            return None;
        }
        self.begun = Some(now);
        self.void = false;
        self.round += 1;
        Some(self.round)
    }

    /// The answer of the round that is out.
    pub(super) fn end(&mut self, granted: bool) {
        let begun = self.begun.take();
        if !std::mem::take(&mut self.void) && granted {
            self.confirmed = self.confirmed.max(begun);
        }
    }

    /// Gives up a round that began longer than `patience` ago.
    pub(super) fn give_up(&mut self, now: u64, patience: u64) {
        if self.begun.is_some_and(|at| now.saturating_sub(at) >= patience) {
            self.begun = None;
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
        self.void = self.begun.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_counts_from_the_start_of_its_round_and_one_from_before_a_change_of_role_not_at_all() {
        let mut confirmation = LeaderConfirmation::new(900);
        assert!(!confirmation.is_fresh(0));
        assert_eq!((confirmation.begin(5_000), confirmation.begin(5_001)), (Some(1), None));
        confirmation.end(true);
        assert!(confirmation.is_fresh(5_899) && !confirmation.is_fresh(5_900));
        confirmation.begin(6_000);
        confirmation.end(false);
        assert!(!confirmation.is_fresh(6_001));
        confirmation.begin(7_000);
        confirmation.forget();
        confirmation.end(true);
        assert!(!confirmation.is_fresh(7_001));
    }
}
