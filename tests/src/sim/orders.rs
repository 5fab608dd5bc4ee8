//! What an operator has ordered and not been answered, and what it knows of the machines. Values only.

use model::MemberChange;
use std::collections::{BTreeMap, BTreeSet};

/// Ids of the operator's orders begin here.
pub const FIRST_CHANGE: u64 = 1 << 50;

/// An order that waits for its answer.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its name.
    pub token: u64,
    /// The change, if it is one of the membership.
    pub change: Option<MemberChange>,
    /// When it was given.
    pub since: u64,
}

/// See the file header.
#[derive(Debug, Default)]
pub struct Operator {
    /// Orders given so far.
    pub last: u64,
    /// The one that waits for its answer.
    pub order: Option<Order>,
    /// Machines whose disk was lost and whose start was refused: their members are to be replaced.
    pub lost: BTreeSet<usize>,
    /// The version of the cluster was proposed, and is not again before this moment.
    pub versioning_until: u64,
    /// Term in which a machine's member leads, and since when.
    led: BTreeMap<usize, (u64, u64)>,
}

impl Operator {
    /// Since when a machine's member leads in this term.
    pub fn led_since(&mut self, at: usize, term: u64, now: u64) -> u64 {
        let led = self.led.entry(at).or_insert((term, now));
        if led.0 != term {
            *led = (term, now);
        }
        led.1
    }
}
