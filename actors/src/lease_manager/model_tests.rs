//! The property of deadlines: no lease ends before its time, none later than its bound, and never too many at once, whatever
//! the order of renewals, lost answers, pauses and changes of leader.

use super::table::{Leases, Renewal, TICK};
use crate::wiring::leases::RoleChanged;
use proptest::prelude::*;
use std::collections::HashMap;
use storage::apply::LeaseChange;

const ELECTION: u64 = 1_000;

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Pause(u64),
    Grant(i64, i64),
    Renew(i64),
    Revoke(i64),
    /// The oldest proposal is applied, refused, or never answered.
    Answer(u8),
    Role(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u64..1_000).prop_map(Op::Pass),
        1 => (1_501u64..20_000).prop_map(Op::Pause),
        4 => (0i64..30, 1i64..8).prop_map(|(id, ttl)| Op::Grant(id, ttl)),
        4 => (0i64..30).prop_map(Op::Renew),
        1 => (0i64..30).prop_map(Op::Revoke),
        4 => (0u8..3).prop_map(Op::Answer),
        1 => any::<bool>().prop_map(Op::Role),
    ]
}

/// A lease as the model sees it: it may not end before this.
struct Known {
    ttl: i64,
    not_before: u64,
}

struct World {
    leases: Leases,
    now: u64,
    term: u64,
    leading: bool,
    known: HashMap<i64, Known>,
    /// Not answered: lease, when.
    proposed: Vec<(i64, u64)>,
}

impl World {
    fn pass(&mut self, by: u64) {
        self.now += by;
        self.leases.tick(self.now);
    }

    fn pause(&mut self, by: u64) {
        self.pass(by);
        self.known.values_mut().for_each(|known| known.not_before += by);
    }

    fn apply_revoke(&mut self, id: i64) {
        if self.known.remove(&id).is_some() {
            self.leases.change(LeaseChange::Revoked { id });
        }
        self.proposed.retain(|(other, _)| *other != id);
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Pass(by) => self.pass(by),
            Op::Pause(by) => self.pause(by),
            Op::Grant(id, ttl) if !self.known.contains_key(&id) => {
                self.leases.change(LeaseChange::Granted { id, ttl });
                self.known.insert(id, Known { ttl, not_before: self.now + ttl as u64 * 1_000 });
            }
            Op::Grant(..) => {}
            Op::Renew(id) => match self.leases.renew(id) {
                Renewal::Renewed { ttl } => {
                    let known = self.known.get_mut(&id).expect("renewed only what exists");
                    assert!(self.leading && ttl == known.ttl && !self.proposed.iter().any(|(other, _)| *other == id));
                    known.not_before = self.now + ttl as u64 * 1_000;
                }
                Renewal::Unknown => assert!(!self.known.contains_key(&id)),
                Renewal::Ended => assert!(self.known[&id].not_before <= self.now),
                Renewal::NotLeader => assert!(!self.leading),
                Renewal::Checkpointed => unreachable!("the model has none"),
            },
            Op::Revoke(id) => self.apply_revoke(id),
            Op::Answer(_) if self.proposed.is_empty() => {}
            Op::Answer(0) => {
                let (id, _) = self.proposed[0];
                self.apply_revoke(id);
            }
            Op::Answer(1) => {
                let (id, _) = self.proposed.remove(0);
                self.leases.revoke_failed(id);
            }
            // its outcome is unknown: it stands in the log
            Op::Answer(_) => {}
            Op::Role(leading) => self.role(leading),
        }
        self.collect();
    }

    fn role(&mut self, leading: bool) {
        self.term += 1;
        self.leases.role(RoleChanged { leading, term: self.term, leader: u64::from(leading) });
        self.leading = leading;
        self.proposed.clear();
        for known in self.known.values_mut() {
            known.not_before = self.now + known.ttl as u64 * 1_000 + ELECTION;
        }
    }

    fn collect(&mut self) {
        for revoke in self.leases.take_revokes() {
            assert!(self.leading && revoke.term == self.term);
            let known = &self.known[&revoke.id];
            assert!(
                known.not_before <= self.now,
                "lease {} ends at {}, not before {}",
                revoke.id,
                self.now,
                known.not_before
            );
            assert!(!self.proposed.iter().any(|(id, _)| *id == revoke.id), "proposed twice at once");
            self.proposed.push((revoke.id, self.now));
        }
        assert!(self.proposed.len() <= 16);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn leases_end_neither_early_nor_late(ops in prop::collection::vec(op(), 1..200)) {
        let leases = Leases::new([], ELECTION, 0);
        let mut world = World { leases, now: 0, term: 1, leading: false, known: HashMap::new(), proposed: Vec::new() };
        world.run(&Op::Role(true));
        for op in &ops {
            world.run(op);
        }
        world.role(true);
        // everybody has ended a tick after its time, and lost answers cost no more than one more try
        let longest = 8_000 + ELECTION + 2 * TICK;
        for _ in 0..longest / 100 {
            world.run(&Op::Pass(100));
            while !world.proposed.is_empty() {
                world.run(&Op::Answer(0));
            }
        }
        prop_assert!(world.known.is_empty() && world.leases.is_empty());
    }
}
