//! The property of leases over changes of leader: whoever leads, no lease ends earlier than its holder was told, and none lives
//! longer than one checkpoint interval and one election timeout beyond that for each change of leader.
//!
//! Three tables are three members. Entries are applied by all of them in order, some time after they were proposed.

use super::table::{Leases, Renewal, Revoke};
use crate::wiring::leases::RoleChanged;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};
use storage::apply::LeaseChange;

const ELECTION: u64 = 1_000;
const INTERVAL: u64 = 10_000;
const MEMBERS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    /// Time passes, and the log moves on in between.
    Pass(u64),
    Renew(i64),
    Grant(i64, i64),
    /// Another member leads. What the former leader has proposed is committed, or refused with its term.
    Lead(usize, bool),
    /// The oldest proposal is refused by a full queue.
    Refuse,
    /// Nothing is applied for a while.
    Stall(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1u64..4_000).prop_map(Op::Pass),
        4 => (0i64..6).prop_map(Op::Renew),
        2 => (0i64..6, 2i64..60).prop_map(|(id, ttl)| Op::Grant(id, ttl)),
        1 => (0..MEMBERS, any::<bool>()).prop_map(|(member, commit)| Op::Lead(member, commit)),
        1 => Just(Op::Refuse),
        1 => (1u64..3_000).prop_map(Op::Stall),
    ]
}

#[derive(Clone, Debug)]
enum Entry {
    Grant(i64, i64),
    Revoke(Revoke),
    Checkpoints(u64, Vec<(i64, i64)>),
    /// Clears a checkpoint.
    Clear(u64, i64),
}

/// What the holder of a lease was told, and by how much changes of leader may have lengthened it.
struct Told {
    until: u64,
    bound: u64,
}

struct World {
    members: Vec<Leases>,
    leader: usize,
    term: u64,
    now: u64,
    log: VecDeque<Entry>,
    told: HashMap<i64, Told>,
    /// Renewals that wait for the clearing of a checkpoint.
    clearing: Vec<i64>,
}

/// The slowest the log may be here, and the coarseness of looks and seconds.
const SLACK: u64 = 3_000 + 4_000 + 2 * 500 + 1_000;

impl World {
    fn new() -> Self {
        let table = || Leases::new([], ELECTION, 0).with_checkpoint_interval(INTERVAL);
        let members = (0..MEMBERS).map(|_| table()).collect();
        let mut world = Self {
            members,
            leader: 0,
            term: 1,
            now: 0,
            log: VecDeque::new(),
            told: HashMap::new(),
            clearing: Vec::new(),
        };
        world.lead(0, false);
        world
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Pass(by) => {
                for _ in 0..by / 250 + 1 {
                    self.step(250);
                    self.apply_all();
                }
            }
            Op::Stall(by) => {
                for _ in 0..by / 250 + 1 {
                    self.step(250);
                }
            }
            Op::Renew(id) => self.renew(id),
            Op::Grant(id, ttl) => {
                let known = self.members[0].exists(id)
                    || self.log.iter().any(|entry| matches!(entry, Entry::Grant(other, _) if *other == id));
                if !known {
                    self.log.push_back(Entry::Grant(id, ttl));
                }
            }
            Op::Lead(member, commit) => self.lead(member, commit),
            Op::Refuse => self.refuse(),
        }
    }

    fn step(&mut self, by: u64) {
        self.now += by;
        for member in &mut self.members {
            member.tick(self.now);
        }
        self.collect();
    }

    /// What the leader proposes.
    fn collect(&mut self) {
        let leader = &mut self.members[self.leader];
        for revoke in leader.take_revokes() {
            let told = &self.told[&revoke.id];
            assert!(self.now >= told.until, "lease {} ends at {}, it was told {}", revoke.id, self.now, told.until);
            self.log.push_back(Entry::Revoke(revoke));
        }
        if let Some(due) = leader.take_checkpoints() {
            self.log.push_back(Entry::Checkpoints(due.term, due.remaining));
        }
    }

    fn apply_all(&mut self) {
        while let Some(entry) = self.log.pop_front() {
            self.apply(&entry);
        }
        let leads = self.leader;
        for (id, told) in &self.told {
            let alive = self.members[leads].exists(*id);
            assert!(!alive || self.now <= told.bound, "lease {id} lives at {}, its bound is {}", self.now, told.bound);
        }
    }

    fn apply(&mut self, entry: &Entry) {
        let changes = match entry {
            Entry::Grant(id, ttl) => vec![LeaseChange::Granted { id: *id, ttl: *ttl }],
            Entry::Revoke(revoke) if revoke.term == self.term => vec![LeaseChange::Revoked { id: revoke.id }],
            Entry::Checkpoints(term, all) if *term == self.term => {
                let exists = |(id, _): &&(i64, i64)| self.members[0].exists(*id);
                let noted = all.iter().filter(exists);
                noted.map(|(id, remaining)| LeaseChange::Checkpoint { id: *id, remaining_ttl: *remaining }).collect()
            }
            Entry::Clear(term, id) if *term == self.term && self.members[0].exists(*id) => {
                vec![LeaseChange::Checkpoint { id: *id, remaining_ttl: 0 }]
            }
            _ => Vec::new(),
        };
        for change in &changes {
            self.members.iter_mut().for_each(|member| member.change(*change));
        }
        match entry {
            Entry::Grant(id, ttl) => self.tell(*id, *ttl),
            Entry::Revoke(revoke) if !changes.is_empty() => {
                self.told.remove(&revoke.id);
            }
            Entry::Checkpoints(term, all) if *term == self.term => {
                let ids: Vec<i64> = all.iter().map(|(id, _)| *id).collect();
                self.members[self.leader].checkpoints_ended(&ids, false);
            }
            Entry::Clear(term, id) if *term == self.term => {
                self.clearing.retain(|other| other != id);
                self.renew(*id);
            }
            _ => {}
        }
    }

    fn tell(&mut self, id: i64, ttl: i64) {
        let until = self.now + ttl as u64 * 1_000;
        self.told.insert(id, Told { until, bound: until + SLACK });
    }

    fn renew(&mut self, id: i64) {
        match self.members[self.leader].renew(id) {
            Renewal::Renewed { ttl } => self.tell(id, ttl),
            Renewal::Checkpointed if !self.clearing.contains(&id) => {
                self.members[self.leader].clear_proposed(id);
                self.clearing.push(id);
                self.log.push_back(Entry::Clear(self.term, id));
            }
            Renewal::NotLeader => panic!("the leader was asked"),
            Renewal::Checkpointed | Renewal::Unknown | Renewal::Ended => {}
        }
    }

    fn lead(&mut self, member: usize, commit: bool) {
        if commit {
            self.apply_all();
        }
        self.term += 1;
        self.leader = member;
        self.clearing.clear();
        // grants are of no term
        self.log.retain(|entry| matches!(entry, Entry::Grant(..)));
        for (at, table) in self.members.iter_mut().enumerate() {
            table.role(RoleChanged { leading: at == member, term: self.term, leader: 1 + member as u64 });
        }
        for told in self.told.values_mut() {
            told.bound += INTERVAL + ELECTION + SLACK;
        }
        self.collect();
    }

    /// A proposal at the end of the log is refused; what stands before it is not touched.
    fn refuse(&mut self) {
        match self.log.pop_back() {
            Some(Entry::Checkpoints(term, all)) if term == self.term => {
                let ids: Vec<i64> = all.iter().map(|(id, _)| *id).collect();
                self.members[self.leader].checkpoints_ended(&ids, true);
            }
            Some(Entry::Clear(_, id)) => {
                self.clearing.retain(|other| *other != id);
                self.members[self.leader].clear_refused(id);
            }
            Some(Entry::Revoke(revoke)) => self.members[self.leader].revoke_failed(revoke.id),
            Some(entry) => self.log.push_back(entry),
            None => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_lease_is_never_shortened_and_lengthened_by_one_interval_for_each_change_of_leader(
        ops in prop::collection::vec(op(), 1..150)
    ) {
        let mut world = World::new();
        for op in &ops {
            world.run(op);
        }
    }
}

/// A gap would be taken for a pause of the process.
fn pass(leases: &mut Leases, from: u64, to: u64) {
    (from..=to).step_by(250).for_each(|now| leases.tick(now));
}

#[test]
fn a_long_lease_is_noted_once_in_an_interval_and_a_renewed_one_is_not() {
    let mut leases = Leases::new([], ELECTION, 0).with_checkpoint_interval(INTERVAL);
    leases.role(RoleChanged { leading: true, term: 2, leader: 1 });
    for (id, ttl) in [(1, 60), (2, 60), (3, 10)] {
        leases.change(LeaseChange::Granted { id, ttl });
    }
    pass(&mut leases, 0, 9_000);
    assert_eq!(leases.renew(2), Renewal::Renewed { ttl: 60 });
    assert_eq!(leases.take_checkpoints(), None);
    pass(&mut leases, 9_000, 10_000);
    let due = leases.take_checkpoints().expect("one is due");
    assert_eq!((due.term, due.remaining), (2, vec![(1, 50)]), "a short one is not worth it, a renewed one not yet");
    assert_eq!(leases.renew(1), Renewal::Checkpointed, "the checkpoint may stand in the log");
    leases.change(LeaseChange::Checkpoint { id: 1, remaining_ttl: 50 });
    leases.checkpoints_ended(&[1], false);
    pass(&mut leases, 10_000, 19_500);
    assert_eq!(leases.take_checkpoints().expect("the other one").remaining, [(2, 50)]);
    leases.checkpoints_ended(&[2], true);
    assert_eq!(leases.renew(2), Renewal::Renewed { ttl: 60 }, "it certainly stands nowhere");
    pass(&mut leases, 19_500, 20_000);
    assert_eq!(leases.take_checkpoints().expect("ten seconds later").remaining, [(1, 40)]);
}
