//! The streams of one connection thread whose clients require a leader, and for how long there has been none. Must never end one.

use crate::door::StreamHandle;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// Election timeouts without a leader after which streams end.
const PATIENCE: u32 = 3;

/// Streams of one connection thread whose clients require a leader.
#[derive(Clone, Default)]
pub(super) struct LeaderRequired(Rc<Streams>);

/// See [`LeaderRequired`].
#[derive(Default)]
pub(super) struct Streams {
    pub(super) open: RefCell<Vec<StreamHandle>>,
    /// A task looks whether there is a leader.
    pub(super) looked_after: Cell<bool>,
}

impl Deref for LeaderRequired {
    type Target = Streams;

    fn deref(&self) -> &Streams {
        &self.0
    }
}

/// For how many looks in a row there was no leader.
#[derive(Debug, Default)]
pub(super) struct Absence(u32);

impl Absence {
    /// Whether it is too long by now.
    pub(super) fn lasts_too_long(&mut self, leader: bool) -> bool {
        self.0 = if leader { 0 } else { self.0 + 1 };
        self.0 >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_looks_in_a_row_without_a_leader_are_too_many() {
        let mut absence = Absence::default();
        let looks = [false, false, true, false, false, false, false, true];
        let ended = looks.map(|leader| absence.lasts_too_long(leader));
        assert_eq!(ended, [false, false, false, false, false, true, true, false]);
    }
}
