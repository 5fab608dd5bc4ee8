//! The world of one run: a clock, one queue of events, a member, its disk and its store, clients, faults, and the judge of it all.
//!
//! Everything follows from the seed: no thread, no real clock, no hash order. Must never let an owner act but through an event.

use super::coverage::{Coverage, Doing, Trouble};
use super::engine::{StepEngine, Stop};
use super::params::Params;
use super::recover::{self, FIRST};
use super::replay::Replay;
use super::rng::Rng;
use super::running::Running;
use super::trace::Trace;
use super::violation::{Checked, hold, violated};
use super::{checks, clients::Clients, leases::Promises, watchers::Watching};
use raft::HardState;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::atomic::Ordering::Acquire;
use storage::disk::SimDisk;
use storage::disk::sim::Faults;

/// What one owner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(super) enum Owner {
    Core,
    WalBegin,
    WalFinish,
    Apply,
    Compact,
    Flush,
    Hub,
    HubWork,
    HubDone,
    Lease,
    Tick,
    LeaseTick,
    HubTick,
    LogRead,
    Snapshot,
}

/// Microseconds after which a call must have been answered, pauses of the process included.
const PATIENCE: u64 = 300_000_000;
/// More events than any run has: beyond it something goes round in circles.
const MOST_EVENTS: u64 = 1_000_000;
/// Number of owners.
const OWNERS: usize = Owner::Snapshot as usize + 1;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Own(Owner),
    Client(usize),
    Watch,
    Fault,
    Start,
}

/// What a run has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Times the member went down.
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
    /// Checkpoints streamed and restored.
    pub snapshots: u64,
    /// Everything that happened, as one number.
    pub digest: u64,
    /// Which fault met which state.
    pub coverage: Coverage,
}

/// A checkpoint being sent.
pub(super) struct Sending {
    pub(super) chunks: VecDeque<Vec<u8>>,
    pub(super) bytes: Vec<u8>,
}

/// See the file header.
pub struct World {
    pub(super) rng: Rng,
    pub(super) params: Params,
    /// Microseconds.
    pub(super) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, u64, Event)>>,
    order: u64,
    /// Events of owners belong to one life of the member.
    pub(super) life: u64,
    scheduled: [bool; OWNERS],
    pub(super) run: Option<Running>,
    pub(super) disk: SimDisk,
    pub(super) engine: StepEngine,
    pub(super) replay: Replay,
    pub(super) clients: Clients,
    pub(super) watching: Watching,
    pub(super) promises: Promises,
    /// Operations that were certainly not applied.
    pub(super) refused: HashSet<u64>,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
    /// A fault that waits for its moment.
    pub(super) armed: Option<Trouble>,
    /// The next sync takes so much longer.
    pub(super) hang: u64,
    /// The batch in flight truncates the log.
    pub(super) truncating: bool,
    pub(super) sending: Option<Sending>,
    /// Last index that is durable, that is written, and that was durable before the last batch.
    pub(super) durable: u64,
    pub(super) written: u64,
    pub(super) before_last: u64,
    /// Hard state that was reported durable, and the one that will be.
    pub(super) promised: HardState,
    pub(super) promising: HardState,
    pub(super) flooded: bool,
    /// Of the last start that succeeded.
    boot_epoch: u64,
    faults_left: u64,
    fault_gap: u64,
}

impl World {
    /// At the beginning of time.
    pub fn new(seed: u64, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let params = Params::draw(&mut rng);
        let clients = Clients::new(&mut rng, &params);
        let each = params.think / 2 + 4 * params.latency + 3_000;
        let fault_gap = (params.operations * each / params.clients / params.faults).max(1_000);
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            life: 0,
            scheduled: [false; OWNERS],
            run: None,
            disk: SimDisk::new(),
            engine: StepEngine::default(),
            replay: Replay::new(FIRST.index, FIRST.term),
            clients,
            watching: Watching::default(),
            promises: Promises::default(),
            refused: HashSet::new(),
            trace,
            tally: Tally::default(),
            armed: None,
            hang: 0,
            truncating: false,
            sending: None,
            durable: FIRST.index,
            written: FIRST.index,
            before_last: FIRST.index,
            promised: HardState::default(),
            promising: HardState::default(),
            flooded: false,
            boot_epoch: 0,
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
        self.at(0, Event::Start);
        for client in 0..self.clients.list.len() {
            self.later(self.params.think, Event::Client(client));
        }
        self.later(self.params.think, Event::Watch);
        self.later(2 * self.fault_gap, Event::Fault);
        while !self.is_over()? {
            self.next_event()?;
        }
        self.heal()?;
        self.tally.operations = self.clients.begun;
        self.tally.answered = self.clients.answered;
        self.tally.entries = self.replay.last() - FIRST.index;
        self.tally.watched = self.watching.events;
        self.tally.promises = self.watching.promises;
        self.note_digest(self.replay.last());
        self.note_digest(self.replay.now().revision as u64);
        Ok(self.tally)
    }

    fn is_over(&self) -> Checked<bool> {
        let mut waiting = self.clients.list.iter().filter_map(|c| c.call.as_ref()).peekable();
        let none = waiting.peek().is_none();
        if let Some(call) = waiting.find(|call| self.now - call.since > PATIENCE) {
            return violated("SIM-ANSWERED", format!("{call:?} was never answered, now is {}", self.now));
        }
        Ok(self.clients.begun >= self.params.operations && none && self.run.is_some())
    }

    /// Takes the next event out of the queue and lets it happen.
    pub(super) fn next_event(&mut self) -> Checked {
        let Some(Reverse((time, _, life, event))) = self.queue.pop() else {
            return violated("SIM-NEVER-IDLE", "nothing is left to happen");
        };
        if let Event::Own(owner) = event {
            if life != self.life {
                return Ok(());
            }
            self.scheduled[owner as usize] = false;
        }
        // after a pause of the process, events happen late
        self.now = self.now.max(time);
        self.tally.events += 1;
        hold("SIM-ENDS", self.tally.events < MOST_EVENTS, || format!("{event:?} again, now is {} us", self.now))?;
        self.note_digest(self.now.wrapping_mul(31) ^ self.order);
        self.happen(event)?;
        self.hear()?;
        self.plan();
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Own(owner) => self.own(owner),
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
            Event::Start => self.start(),
        }
    }

    fn note_digest(&mut self, what: u64) {
        self.tally.digest = (self.tally.digest ^ what).wrapping_mul(0x100_0000_01b3).rotate_left(17);
    }

    /// Puts an event at a time.
    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((time, self.order, self.life, event)));
    }

    /// Puts an event at some time within `most` from now.
    pub(super) fn later(&mut self, most: u64, event: Event) {
        let time = self.now + 1 + self.rng.below(most);
        self.at(time, event);
    }

    /// Puts an owner's step at a time, once.
    pub(super) fn own_at(&mut self, time: u64, owner: Owner) {
        if !self.scheduled[owner as usize] {
            self.scheduled[owner as usize] = true;
            self.at(time, Event::Own(owner));
        }
    }

    /// Whoever has something to do is woken within a while.
    fn plan(&mut self) {
        let Some(run) = &self.run else { return };
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
            (Owner::Snapshot, self.sending.is_some()),
        ];
        for (owner, _) in busy.into_iter().filter(|(_, busy)| *busy) {
            if !self.scheduled[owner as usize] {
                let mut time = self.now + 1 + self.rng.below(self.params.latency);
                if owner == Owner::Lease && self.rng.chance(2) {
                    // its arbiter gets no processor
                    time += self.rng.below(2_500_000);
                }
                self.own_at(time, owner);
            }
        }
    }

    /// What the member is doing, as far as can be seen from outside.
    pub(super) fn doing(&self) -> Doing {
        let Some(run) = &self.run else { return Doing::Down };
        let any = [
            (!run.gauges.serving.load(Acquire), Doing::Replay),
            (run.gauges.leader.load(Acquire) == 0, Doing::NoLeader),
            (self.truncating, Doing::Truncate),
            (self.sending.is_some(), Doing::Snapshot),
            (!run.to_flusher.is_empty(), Doing::Flush),
            (run.applier.compacting(), Doing::Compact),
            (!run.to_applier.is_empty(), Doing::Apply),
            (run.wal.in_flight(), Doing::Sync),
            (!run.to_wal.is_empty(), Doing::Append),
        ];
        any.into_iter().find(|(is, _)| *is).map_or(Doing::Idle, |(_, doing)| doing)
    }

    /// An owner ended: fine when a fault was armed, otherwise nobody can say why.
    pub(super) fn failed(&mut self, who: &str, why: &str, doing: Doing) -> Checked {
        self.trace.line(self.now, || format!("{who} fails while {doing:?}: {why}"));
        let Some(trouble) = self.armed.take() else {
            return violated("SIM-NO-CAUSELESS-STOP", format!("{who} fails without a fault: {why}"));
        };
        self.tally.coverage.count(trouble, doing);
        let power = match trouble {
            Trouble::PowerInDisk | Trouble::PowerInStore => true,
            // after an error the process ends; sometimes the machine follows
            _ => self.rng.chance(50),
        };
        self.crash(power);
        Ok(())
    }

    /// The process is gone, and with `power` the machine's memory too.
    pub(super) fn crash(&mut self, power: bool) {
        self.trace.line(self.now, || format!("down ({})", if power { "power fails" } else { "process ends" }));
        self.run = None;
        self.sending = None;
        self.truncating = false;
        self.armed = None;
        self.hang = 0;
        self.flooded = false;
        self.scheduled = [false; OWNERS];
        self.life += 1;
        self.tally.crashes += 1;
        match power {
            true => self.disk.crash(self.rng.next()),
            false => self.disk.kill_process(),
        }
        self.engine = self.engine.crash();
        self.watching.crash();
        for client in 0..self.clients.list.len() {
            if self.clients.list[client].call.take().is_some() {
                // outcome unknown: either way is right
                self.later(self.params.think, Event::Client(client));
            }
        }
        self.later(2_000_000, Event::Start);
    }

    fn start(&mut self) -> Checked {
        if self.run.is_some() {
            return Ok(());
        }
        if self.rng.chance(30) {
            self.rot()?;
        }
        self.engine.set_background_flush(self.params.background_flush);
        if self.clients.begun < self.params.operations && self.rng.chance(15) {
            self.arm_recovery();
        }
        let log_id = self.rng.next();
        let found = match recover::start(&self.disk, &self.engine, &self.params, log_id) {
            Ok(found) => found,
            Err(why) => return self.failed("start", &why, Doing::Recover),
        };
        let (last, hard_state) = (found.log.last.index, found.log.hard_state);
        self.trace.line(self.now, || {
            format!("start: store at {}, log {}..={last} {hard_state:?}", found.applied, found.log.truncated.index)
        });
        checks::log(&found.recovered, &found.log, &self.replay)?;
        let epoch = found.boot_epoch;
        let last_epoch = self.boot_epoch;
        hold("SIM-EPOCH-GROWS", epoch > last_epoch, || format!("boot epoch {epoch} follows {last_epoch}"))?;
        self.boot_epoch = epoch;
        let promised = self.promised;
        let kept = hard_state.term > promised.term
            || (hard_state.term == promised.term && (promised.vote == 0 || hard_state.vote == promised.vote));
        hold("SIM-VOTE-DURABLE", kept, || {
            format!("AI-9: {promised:?} was reported durable, {hard_state:?} was found")
        })?;
        if last > self.durable {
            self.before_last = self.durable;
        }
        (self.durable, self.written, self.promised, self.promising) = (last, last, hard_state, hard_state);
        let view = found.recovered.store.view();
        hold("SIM-STORE-NOT-AHEAD", view.status.applied_index <= self.replay.last(), || {
            format!(
                "the store has applied {}, nobody handed out more than {}",
                view.status.applied_index,
                self.replay.last()
            )
        })?;
        checks::whole(&view, &self.replay)?;
        self.tally.views += 1;
        let epoch = self.rng.next() >> 1;
        let run = Running::new(found.recovered, self.engine.clone(), &self.disk, &self.params, epoch, self.now);
        let mut run = match run {
            Ok(run) => run,
            Err(why) => return violated("SIM-STARTS", why),
        };
        run.core.start();
        run.wal.start();
        let ready = run.flusher.start();
        self.run = Some(run);
        self.tally.starts += 1;
        if let Err(why) = ready {
            return self.failed("start", &why, Doing::Recover);
        }
        let now = self.now;
        self.own_at(now + super::params::TICK, Owner::Tick);
        self.own_at(now + 250_000, Owner::LeaseTick);
        self.own_at(now + 1_000_000, Owner::HubTick);
        Ok(())
    }

    /// Something stops the machine while log and store are opened.
    fn arm_recovery(&mut self) {
        if self.rng.chance(35) {
            // not the machine but its disk: the start fails, or what comes soon after it
            let faults =
                [Trouble::SyncFails, Trouble::WriteFails, Trouble::DiskFull, Trouble::StoreWrite, Trouble::StoreFlush];
            let trouble = self.rng.pick(&faults);
            self.arm(trouble);
        } else if self.rng.chance(60) {
            let faults = Faults { stop_after: Some(self.rng.below(14)), ..Faults::default() };
            self.disk.set_faults(faults, self.rng.next());
            self.armed = Some(Trouble::PowerInDisk);
        } else {
            let (done, flushed) = (self.rng.chance(50), self.rng.chance(50));
            self.engine.stop(Stop { after: self.rng.below(4), done, flushed, in_chunk: false });
            self.armed = Some(Trouble::PowerInStore);
        }
    }
}
