//! How members go down and start. Must never start one where the daemon would refuse, nor take a refusal for a failure that it is not.

use super::checks;
use super::coverage::{Doing, Role, Trouble};
use super::engine::Stop;
use super::machine::FirstStart;
use super::owner::{OWNERS, Owner};
use super::params::{NEWER, Shape, TICK};
use super::recover::{self, Start1};
use super::running::{Home, Running};
use super::violation::{Checked, hold, violated};
use super::world::{Event, World};
use raft::Role as RaftRole;
use std::sync::atomic::Ordering::Acquire;
use storage::apply::MemberRow;
use storage::disk::sim::Faults;
use storage::member::RunningCluster;

impl World {
    /// An owner ended: fine when a fault was armed, otherwise nobody can say why.
    pub(super) fn failed(&mut self, at: usize, who: &str, why: &str, doing: Doing) -> Checked {
        self.trace.line(self.now, || format!("m{at}: {who} fails while {doing:?}: {why}"));
        let Some(trouble) = self.machines[at].armed.take() else {
            return violated("SIM-NO-CAUSELESS-STOP", format!("m{at}: {who} fails without a fault: {why}"));
        };
        let role = self.role(at);
        self.tally.coverage.count(trouble, doing, role);
        let power = match trouble {
            Trouble::PowerInDisk | Trouble::PowerInStore => true,
            // after an error the process ends; sometimes the machine follows
            _ => self.rng.chance(50),
        };
        self.crash(at, power);
        Ok(())
    }

    /// The process is gone, and with `power` the machine's memory too.
    pub(super) fn crash(&mut self, at: usize, power: bool) {
        self.trace.line(self.now, || format!("m{at}: down ({})", if power { "power fails" } else { "process ends" }));
        self.story.down(self.now, at);
        // what is received is dropped before the disk crashes, as a process drops it
        self.hang_up(at);
        let machine = &mut self.machines[at];
        machine.run = None;
        machine.sending = None;
        machine.truncating = false;
        machine.armed = None;
        machine.hang = 0;
        machine.flooded = false;
        machine.frozen_until = 0;
        machine.stalled_until = 0;
        machine.scheduled = [false; OWNERS];
        machine.life += 1;
        self.tally.crashes += 1;
        let machine = &mut self.machines[at];
        match power {
            true => machine.disk.crash(self.rng.next()),
            false => machine.disk.kill_process(),
        }
        machine.stores.crash();
        self.watching.crash(at);
        for client in 0..self.clients.list.len() {
            if self.clients.list[client].at == at && self.clients.list[client].call.take().is_some() {
                // outcome unknown: either way is right
                self.later(self.params.think, Event::Client(client));
            }
        }
        self.later(2_000_000, Event::Start(at));
    }

    pub(super) fn start(&mut self, at: usize) -> Checked {
        let machine = &self.machines[at];
        if machine.run.is_some() || machine.is_gone {
            return Ok(());
        }
        if machine.is_wiped {
            return self.start_wiped(at);
        }
        if self.rng.chance(30) {
            self.rot(at)?;
        }
        self.machines[at].stores.set_background_flush(self.params.background_flush);
        if self.clients.begun < self.params.operations && self.rng.chance(15) {
            self.arm_recovery(at);
        }
        self.forget_hash(at);
        let log_id = self.rng.next();
        let others = self.ask_others(at);
        let machine = &self.machines[at];
        let shape = self.params.shape;
        if machine.boot_epoch == 0
            && let Err(why) = self.founding.first(shape, machine, others.as_ref())
        {
            // whoever was asked does not know of it yet: it is started again
            self.trace.line(self.now, || format!("m{at}: refuses to start: {why}"));
            self.later(3_000_000, Event::Start(at));
            return Ok(());
        }
        let first = || self.founding.first(shape, machine, others.as_ref());
        let found = match recover::start(machine, &self.params, log_id, first) {
            Ok(found) => found,
            Err(why) => return self.failed(at, "start", &why, Doing::Recover),
        };
        self.check_start(at, &found)?;
        self.begin_run(at, found)
    }

    /// Its disk was lost: whoever knows that it has run refuses it.
    fn start_wiped(&mut self, at: usize) -> Checked {
        let Some(others) = self.ask_others(at) else {
            // nobody answers: an operator tries again
            self.later(3_000_000, Event::Start(at));
            return Ok(());
        };
        let machine = &self.machines[at];
        let knows = others.members.iter().any(|(id, row)| *id == machine.id && !row.client_urls.is_empty());
        if !knows {
            // who answers has been cut off for long, or has removed it, which the operator sees
            self.later(3_000_000, Event::Start(at));
            return Ok(());
        }
        let first = self.founding.first(self.params.shape, machine, Some(&others));
        hold("SIM-REFOUNDED", first.is_err(), || {
            format!("m{at}: member {:x} has run, its disk is lost, and it may begin anew: {first:?}", machine.id)
        })?;
        self.trace.line(self.now, || format!("m{at}: a start without its disk: {:?}", first.as_ref().err()));
        self.operator.lost.insert(at);
        Ok(())
    }

    /// What one of the other members says of the cluster, if one can be reached.
    fn ask_others(&mut self, at: usize) -> Option<RunningCluster> {
        let reached = |other: &usize| {
            let gone = *other == at || self.machines[*other].frozen_until > self.now;
            !gone && !self.net.is_cut(at, *other) && !self.net.is_cut(*other, at)
        };
        let asked: Vec<usize> = (0..self.machines.len()).filter(reached).collect();
        asked.into_iter().find_map(|other| self.running_cluster(other))
    }

    /// The cluster as a member lists it.
    pub(super) fn running_cluster(&self, at: usize) -> Option<RunningCluster> {
        let view = self.machines[at].run.as_ref()?.views.load();
        let members: Vec<(u64, MemberRow)> = storage::read::meta::members(&view).ok()?;
        (!members.is_empty()).then_some(RunningCluster { cluster_id: self.cluster_id, members })
    }

    fn check_start(&mut self, at: usize, found: &Start1) -> Checked {
        let (last, hard_state) = (found.log.last.index, found.log.hard_state);
        self.trace.line(self.now, || {
            let truncated = found.log.truncated.index;
            format!("m{at}: start: store at {}, log {truncated}..={last} {hard_state:?}", found.applied)
        });
        let machine = &self.machines[at];
        checks::log(&found.recovered, &found.log, &self.replay, machine.applied)?;
        let (epoch, last_epoch) = (found.boot_epoch, machine.boot_epoch);
        hold("SIM-EPOCH-GROWS", epoch > last_epoch, || format!("m{at}: boot epoch {epoch} follows {last_epoch}"))?;
        let promised = machine.book.promised;
        let kept = hard_state.term > promised.term
            || (hard_state.term == promised.term && (promised.vote == 0 || hard_state.vote == promised.vote));
        hold("SIM-VOTE-DURABLE", kept, || {
            format!("AI-9: m{at}: {promised:?} was reported durable, {hard_state:?} was found")
        })?;
        let view = found.recovered.store.view();
        let (in_store, handed_out) = (view.status.applied_index, self.replay.last());
        hold("SIM-STORE-NOT-AHEAD", in_store <= handed_out, || {
            format!("m{at}: the store has applied {in_store}, nobody handed out more than {handed_out}")
        })?;
        checks::whole(&view, &self.replay)?;
        self.tally.views += 1;
        let machine = &mut self.machines[at];
        machine.boot_epoch = epoch;
        machine.applied = machine.applied.max(in_store);
        machine.book.recovered(&found.log);
        Ok(())
    }

    fn begin_run(&mut self, at: usize, found: Start1) -> Checked {
        let epoch = self.rng.next() >> 1;
        let id = found.recovered.store.identity().member_id;
        let engine = found.recovered.engine.clone();
        let machine = &self.machines[at];
        let home = Home {
            disk: &machine.disk,
            stores: &machine.stores,
            params: &self.params,
            version: machine.version,
            epoch,
        };
        let mut run = match Running::new(found.recovered, &home) {
            Ok(run) => run,
            Err(why) => return violated("SIM-STARTS", why),
        };
        run.core.start();
        run.wal.start();
        let ready = run.flusher.start();
        run.wires.set_now(self.now);
        let now = self.now;
        let machine = &mut self.machines[at];
        machine.clock.born = now;
        machine.clock.suspended = 0;
        machine.led = None;
        machine.ran_older = machine.version < NEWER;
        (machine.id, machine.engine, machine.run) = (id, engine, Some(run));
        self.tally.starts += 1;
        self.story.up(now, at, id);
        if let Err(why) = ready {
            return self.failed(at, "start", &why, Doing::Recover);
        }
        let first_tick = now + self.machines[at].clock.world(TICK);
        self.own_at(at, first_tick, Owner::Tick);
        self.own_at(at, now + 250_000, Owner::LeaseTick);
        self.own_at(at, now + 1_000_000, Owner::HubTick);
        Ok(())
    }

    /// Something stops the machine while log and store are opened.
    fn arm_recovery(&mut self, at: usize) {
        if self.rng.chance(35) {
            // not the machine but its disk: the start fails, or what comes soon after it
            let faults =
                [Trouble::SyncFails, Trouble::WriteFails, Trouble::DiskFull, Trouble::StoreWrite, Trouble::StoreFlush];
            let trouble = self.rng.pick(&faults);
            self.arm(at, trouble);
        } else if self.rng.chance(60) {
            let faults = Faults { stop_after: Some(self.rng.below(14)), ..Faults::default() };
            self.machines[at].disk.set_faults(faults, self.rng.next());
            self.machines[at].armed = Some(Trouble::PowerInDisk);
        } else {
            let (done, flushed) = (self.rng.chance(50), self.rng.chance(50));
            let after = self.rng.below(4);
            if let Some(engine) = self.machines[at].stores.nth(after) {
                engine.stop(Stop { after, done, flushed, in_chunk: false });
                self.machines[at].armed = Some(Trouble::PowerInStore);
            }
        }
    }

    /// Which part a member plays.
    pub(super) fn role(&self, at: usize) -> Role {
        let machine = &self.machines[at];
        let Some(run) = &machine.run else { return Role::Down };
        let node = run.core.node();
        let conf = node.membership();
        let is_member = conf.voters.contains(&machine.id) || conf.learners.contains(&machine.id);
        let any = [
            (self.replay.now().members.removed.contains(&machine.id), Role::Removed),
            (node.snapshot_ahead().is_some() || machine.book.is_installing(), Role::Installing),
            (self.net.receives(at), Role::Receiving),
            (node.lead_transferee() != 0, Role::Transferring),
            (self.net.sends(at), Role::Sending),
            (!is_member && matches!(machine.first, FirstStart::Joiner(_)), Role::Joining),
            (node.is_leader(), Role::Leading),
            (conf.learners.contains(&machine.id), Role::Learner),
            (run.gauges.leader.load(Acquire) == 0 || node.role() != RaftRole::Follower, Role::Candidate),
        ];
        any.into_iter().find(|(is, _)| *is).map_or(Role::Following, |(_, role)| role)
    }

    /// The shape of the world.
    pub(super) fn is_cluster(&self) -> bool {
        self.params.shape == Shape::Cluster
    }
}
