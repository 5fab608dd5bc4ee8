//! The world of one run: a clock, one queue of events, machines with their members, the network between them, clients, faults, and
//! the judge of it all.
//!
//! Everything follows from the seed: no thread, no real clock, no hash order. Must never let an owner act but through an event.

use super::coverage::{Coverage, Trouble};
use super::machine::{Clock, FirstStart, Machine};
use super::network::{Carried, Network};
use super::orders::Operator;
use super::owner::Owner;
use super::params::{OLDER, Params, Shape};
use super::recover::{Founding, name_of, url_of};
use super::replay::Replay;
use super::replay_members::Members;
use super::rng::Rng;
use super::story::Story;
use super::trace::Trace;
use super::violation::{Checked, hold, violated};
use super::{clients::Clients, leases::Promises, watchers::Watching};
use raft::{LogId, NodeId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

/// Microseconds after which a call must have been answered, pauses of the process included.
const PATIENCE: u64 = 300_000_000;
/// More events than any run has: beyond it something goes round in circles.
const MOST_EVENTS: u64 = 1_500_000;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Own(usize, Owner),
    Client(usize),
    Watch,
    Fault,
    Start(usize),
    /// Sessions of the network begin and end.
    Pulse,
    /// Something arrives on a lane of a session.
    Wire(u64, usize),
    /// The next step of a transfer.
    Transfer(u64),
    /// The operator looks at the cluster.
    Operator,
    /// Everything gets through again.
    Mend,
}

/// What a run has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Microseconds of the world.
    pub micros: u64,
    /// Times a member went down.
    pub crashes: u64,
    /// Starts that succeeded.
    pub starts: u64,
    /// Operations begun, and answered.
    pub operations: u64,
    /// Operations that got a result.
    pub answered: u64,
    /// Entries applied.
    pub entries: u64,
    /// Watch events received.
    pub watched: u64,
    /// Promises of progress received.
    pub promises: u64,
    /// Views compared in full.
    pub views: u64,
    /// Checkpoints streamed to clients and restored.
    pub snapshots: u64,
    /// Snapshots of other members that became the store of one.
    pub installs: u64,
    /// Terms in which somebody led.
    pub terms: u64,
    /// Changes of the membership.
    pub changes: u64,
    /// What the network has counted.
    pub carried: Carried,
    /// Everything that happened, as one number.
    pub digest: u64,
    /// Which fault met which state.
    pub coverage: Coverage,
}

/// See the file header.
pub struct World {
    pub(super) rng: Rng,
    pub(super) params: Params,
    /// Microseconds.
    pub(super) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, u64, Event)>>,
    order: u64,
    pub(super) machines: Vec<Machine>,
    pub(super) founding: Founding,
    /// Where the log of the cluster begins.
    pub(super) begins: LogId,
    pub(super) cluster_id: u64,
    pub(super) net: Network,
    pub(super) replay: Replay,
    pub(super) clients: Clients,
    pub(super) watching: Watching,
    pub(super) promises: Promises,
    pub(super) operator: Operator,
    /// Operations that were certainly not applied.
    pub(super) refused: HashSet<u64>,
    /// Who led in each term.
    pub(super) leaders: BTreeMap<u64, NodeId>,
    pub(super) trace: Trace,
    pub(super) story: Story,
    pub(super) tally: Tally,
    /// No more faults: everything owed must arrive.
    pub(super) is_quiet: bool,
    faults_left: u64,
    fault_gap: u64,
}

impl World {
    /// At the beginning of time.
    ///
    /// # Panics
    /// When the founders cannot be described.
    pub fn new(seed: u64, shape: Shape, trace: Trace, story: Story) -> Self {
        let mut rng = Rng::new(seed);
        let params = Params::draw(&mut rng, shape);
        let clients = Clients::new(&mut rng, &params);
        let each = params.think / 2 + 4 * params.latency + 3_000 + 4 * params.way;
        let fault_gap = (params.operations * each / params.clients / params.faults).max(1_000);
        let founding = Founding::of(params.members);
        let begins = founding.begins(shape);
        let make = |nth| Machine::new(url_of(nth, 0), name_of(nth), FirstStart::Founder, begins);
        let machines: Vec<Machine> = (0..params.members).map(make).collect();
        let first = founding.first(shape, &machines[0], None).expect("the founders are in their own cluster");
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            machines,
            founding,
            begins,
            cluster_id: first.identity.cluster_id,
            net: Network::default(),
            replay: Replay::new(begins, Members::of(&first)),
            clients,
            watching: Watching::default(),
            promises: Promises::new(shape, params.drift),
            operator: Operator::default(),
            refused: HashSet::new(),
            leaders: BTreeMap::new(),
            trace,
            story,
            tally: Tally::default(),
            is_quiet: false,
            faults_left: params.faults,
            fault_gap,
            rng,
            params,
        }
    }

    /// Runs the whole life: faults first, then quiet, in which everything owed must arrive.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(mut self) -> Checked<Tally> {
        self.trace.line(0, || format!("{:?}", self.params));
        for machine in 0..self.machines.len() {
            self.machines[machine].clock = self.draw_clock();
            if self.params.mixed && self.rng.chance(70) {
                self.machines[machine].version = OLDER;
            }
            let within = self.params.way * 10 + 1;
            self.later(within, Event::Start(machine));
        }
        for client in 0..self.clients.list.len() {
            self.later(self.params.think, Event::Client(client));
        }
        self.later(self.params.think, Event::Watch);
        self.later(2 * self.fault_gap, Event::Fault);
        if self.params.shape == Shape::Cluster {
            self.net.bulk_breaks = self.rng.pick(&[0, 3, 30]);
            self.at(1, Event::Pulse);
            self.later(self.params.operator, Event::Operator);
        }
        while !self.is_over()? {
            self.next_event()?;
        }
        self.heal()?;
        Ok(self.sum_up())
    }

    fn sum_up(mut self) -> Tally {
        self.tally.operations = self.clients.begun;
        self.tally.answered = self.clients.answered;
        self.tally.entries = self.replay.last() - self.begins.index;
        self.tally.watched = self.watching.events;
        self.tally.promises = self.watching.promises;
        self.tally.micros = self.now;
        self.tally.terms = self.leaders.len() as u64;
        self.tally.carried = self.net.carried;
        self.note_digest(self.replay.last());
        self.note_digest(self.replay.now().revision as u64);
        self.tally
    }

    fn draw_clock(&mut self) -> Clock {
        let drift = self.rng.below(2 * self.params.drift + 1) as i64 - self.params.drift as i64;
        Clock { born: self.now, drift, suspended: 0 }
    }

    fn is_over(&self) -> Checked<bool> {
        let mut waiting = self.clients.list.iter().filter_map(|c| c.call.as_ref()).peekable();
        let none = waiting.peek().is_none();
        if let Some(call) = waiting.find(|call| self.now - call.since > PATIENCE) {
            return violated("SIM-ANSWERED", format!("{call:?} was never answered, now is {}", self.now));
        }
        Ok(self.clients.begun >= self.params.operations && none && self.machines.iter().any(|m| m.run.is_some()))
    }

    /// Takes the next event out of the queue and lets it happen.
    pub(super) fn next_event(&mut self) -> Checked {
        let Some(Reverse((time, _, life, event))) = self.queue.pop() else {
            return violated("SIM-NEVER-IDLE", "nothing is left to happen");
        };
        // after a pause of the process, events happen late
        self.now = self.now.max(time);
        if let Event::Own(machine, owner) = event {
            let frozen = self.machines[machine].frozen_until;
            if life != self.machines[machine].life {
                return Ok(());
            }
            self.machines[machine].scheduled[owner as usize] = false;
            if frozen > self.now {
                let time = frozen + self.rng.below(1_000);
                self.own_at(machine, time, owner);
                return Ok(());
            }
        }
        self.tally.events += 1;
        hold("SIM-ENDS", self.tally.events < MOST_EVENTS, || format!("{event:?} again, now is {} us", self.now))?;
        self.note_digest(self.now.wrapping_mul(31) ^ self.order);
        self.happen(event)?;
        for machine in 0..self.machines.len() {
            if self.machines[machine].run.is_some() {
                self.hear(machine)?;
                self.carry(machine)?;
                self.plan(machine);
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Own(machine, owner) => self.own(machine, owner),
            Event::Client(client) => self.client(client),
            Event::Watch => {
                // at the end nobody asks any more
                if self.clients.begun < self.params.operations {
                    self.later(self.params.think + 1_000, Event::Watch);
                    self.watch();
                }
                Ok(())
            }
            Event::Fault => {
                if self.faults_left > 0 && self.clients.begun < self.params.operations {
                    self.faults_left -= 1;
                    self.later(2 * self.fault_gap, Event::Fault);
                    return self.trouble();
                }
                Ok(())
            }
            Event::Start(machine) => self.start(machine),
            Event::Pulse => self.pulse(),
            Event::Wire(session, lane) => self.arrive(session, lane),
            Event::Transfer(transfer) => self.transfer(transfer),
            Event::Operator => self.operate(),
            Event::Mend => {
                self.mend();
                Ok(())
            }
        }
    }

    fn note_digest(&mut self, what: u64) {
        self.tally.digest = (self.tally.digest ^ what).wrapping_mul(0x100_0000_01b3).rotate_left(17);
    }

    /// Puts an event at a time.
    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        let life = match event {
            Event::Own(machine, _) => self.machines[machine].life,
            _ => 0,
        };
        self.queue.push(Reverse((time, self.order, life, event)));
    }

    /// Puts an event at some time within `most` from now.
    pub(super) fn later(&mut self, most: u64, event: Event) {
        let time = self.now + 1 + self.rng.below(most);
        self.at(time, event);
    }

    /// Puts an owner's step at a time, once.
    pub(super) fn own_at(&mut self, machine: usize, time: u64, owner: Owner) {
        if !self.machines[machine].scheduled[owner as usize] {
            self.machines[machine].scheduled[owner as usize] = true;
            self.at(time, Event::Own(machine, owner));
        }
    }

    /// Whoever has something to do is woken within a while.
    fn plan(&mut self, at: usize) {
        let machine = &self.machines[at];
        let Some(run) = &machine.run else { return };
        let busy = [
            (Owner::Core, run.core.has_work()),
            (Owner::WalBegin, !run.to_wal.is_empty() && !run.wal.in_flight()),
            (Owner::Apply, !run.to_applier.is_empty()),
            (Owner::Compact, run.applier.compacting()),
            (Owner::Flush, !run.to_flusher.is_empty()),
            (Owner::Hub, !run.hub_mail.is_empty()),
            (Owner::HubWork, !run.work.is_empty()),
            (Owner::HubDone, !run.done.is_empty()),
            (Owner::Lease, !run.lease_mail.is_empty()),
            (Owner::LogRead, !run.to_log.is_empty()),
            (Owner::Snapshot, machine.sending.is_some()),
            (Owner::Snapshotter, !run.to_snapshotter.is_empty()),
        ];
        for (owner, _) in busy.into_iter().filter(|(_, busy)| *busy) {
            if !self.machines[at].scheduled[owner as usize] {
                let mut time = self.now + 1 + self.rng.below(self.params.latency);
                if owner == Owner::Lease && self.rng.chance(2) {
                    // its arbiter gets no processor
                    time += self.rng.below(2_500_000);
                }
                if owner == Owner::Apply {
                    time = time.max(self.machines[at].stalled_until);
                }
                self.own_at(at, time, owner);
            }
        }
    }

    /// The machine that a member runs on.
    pub(super) fn machine_of(&self, member: NodeId) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == member && member != 0)
    }

    /// Machines with a member that serves.
    pub(super) fn serving(&self) -> Vec<usize> {
        let frozen = |at: &usize| self.machines[*at].frozen_until > self.now;
        (0..self.machines.len()).filter(|at| self.machines[*at].is_serving() && !frozen(at)).collect()
    }

    /// Counts a fault that took effect.
    pub(super) fn count(&mut self, at: usize, trouble: Trouble) {
        let (doing, role) = (self.machines[at].doing(), self.role(at));
        self.tally.coverage.count(trouble, doing, role);
        self.story.note(self.now, at, || format!("{trouble:?}"));
    }
}
