//! One step of each owner, and what is judged around it. Must never do an owner's work itself.

use super::checks;
use super::coverage::{Doing, Trouble};
use super::machine::Sending;
use super::owner::Owner;
use super::params::TICK;
use super::ports::{HubMail, LeaseMail};
use super::running::Running;
use super::violation::{Checked, hold};
use super::world::{Event, World};
use actors::watch_hub::{LogReads, Position};
use actors::wiring::apply::{ApplyBatch, ToApplier};
use actors::wiring::events::WatchRevision;
use actors::wiring::snapshots::StagedStore;
use actors::wiring::tick::Tick;
use actors::wiring::wal::ToWal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use storage::disk::sim::Faults;

impl World {
    pub(super) fn own(&mut self, at: usize, owner: Owner) -> Checked {
        let (now, lease_now) = (self.machines[at].millis(self.now), self.machines[at].lease_millis(self.now));
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        match owner {
            Owner::Core => {
                run.wires.set_now(self.now);
                run.core.round();
                self.look_at_core(at)
            }
            Owner::WalBegin => self.wal_begin(at),
            Owner::WalFinish => self.wal_finish(at),
            Owner::Apply => self.apply(at),
            Owner::Compact => match run.applier.compact() {
                Ok(()) => self.look_at_view(at, 5),
                Err(why) => self.failed(at, "compaction", &why.to_string(), Doing::Compact),
            },
            Owner::Flush => {
                let Ok(order) = run.to_flusher.try_recv() else { return Ok(()) };
                self.trace.line(self.now, || format!("m{at}: flusher: {order:?}"));
                match run.flusher.serve_one(order) {
                    Ok(_) => Ok(()),
                    Err(why) => self.failed(at, "flusher", &why, Doing::Flush),
                }
            }
            Owner::Hub => self.hub_mail(at),
            Owner::HubWork => {
                read_for_hub(run);
                Ok(())
            }
            Owner::HubDone => {
                let Some(done) = run.done.pop_front() else { return Ok(()) };
                match run.hub.done(done) {
                    Ok(()) => self.hub_frames(at),
                    Err(why) => self.failed(at, "watch hub", &why, Doing::Idle),
                }
            }
            Owner::Lease => {
                read_lease_mail(run, lease_now);
                Ok(())
            }
            Owner::Tick => self.tick(at),
            Owner::LeaseTick => {
                // a mail like others, in its turn; the receiving end is ours
                let _ = run.to_leases.send(LeaseMail::Tick);
                self.own_at(at, self.now + 250_000, Owner::LeaseTick);
                Ok(())
            }
            Owner::HubTick => {
                run.hub.tick(now);
                self.own_at(at, self.now + 1_000_000, Owner::HubTick);
                self.unflood(at);
                self.hub_frames(at)
            }
            Owner::LogRead => {
                let Ok(ask) = run.to_log.try_recv() else { return Ok(()) };
                match run.log.serve(ask) {
                    Ok(()) => Ok(()),
                    Err(why) => self.failed(at, "log reader", &why.to_string(), Doing::Idle),
                }
            }
            Owner::Snapshot => self.send_snapshot(at),
            Owner::Snapshotter => self.serve_snapshotter(at),
        }
    }

    /// The ticker: what is owed comes at once.
    fn tick(&mut self, at: usize) -> Checked {
        let clock = self.machines[at].clock;
        let local = clock.monotonic(self.now);
        self.look_at_version(at)?;
        let looks = self.machines[at].armed.is_none() && self.rng.chance(2);
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        checks::alike(at, &run.gauges)?;
        // a disk that is about to fail reads nothing either
        if looks {
            checks::log_is_sound(at, &run.scrub)?;
        }
        let mut count = 0;
        while run.next_tick <= local {
            run.next_tick += TICK;
            count += 1;
        }
        if count > 0 && run.inner.tick(Tick { count }).is_err() {
            // merged into the next one
            run.next_tick -= TICK * u64::from(count);
        }
        let next = self.now + clock.world(run.next_tick.saturating_sub(local)).max(TICK / 2);
        self.own_at(at, next, Owner::Tick);
        Ok(())
    }

    fn wal_begin(&mut self, at: usize) -> Checked {
        let machine = &mut self.machines[at];
        let Some(run) = &mut machine.run else { return Ok(()) };
        let messages: Vec<ToWal> = run.to_wal.try_iter().collect();
        let installs = messages.iter().any(|m| matches!(m, ToWal::Append(batch) if batch.install.is_some()));
        if installs {
            self.arm_install(at);
        }
        let machine = &mut self.machines[at];
        let Some(run) = &mut machine.run else { return Ok(()) };
        // an install is durable when this half of the round is over, or it is not known to be
        let before = installs.then(|| machine.book.clone());
        for message in &messages {
            machine.book.note(message);
            machine.truncating |= matches!(message, ToWal::Release { .. });
        }
        let (last, count) = (machine.book.written(), messages.len());
        let begun = run.wal.begin(messages.into_iter());
        self.trace.line(self.now, || format!("m{at}: log: {count} messages, written up to {last}"));
        let doing = match (installs, machine.truncating) {
            (true, _) => Doing::Receive,
            (_, true) => Doing::Truncate,
            _ => Doing::Append,
        };
        if let Err(why) = begun {
            if let Some(before) = before {
                machine.book = before;
            }
            return self.failed(at, "log", &why.to_string(), doing);
        }
        if !run.wal.in_flight() {
            return self.wal_finish(at);
        }
        let took = self.rng.between(50, 3_000) + std::mem::take(&mut machine.hang);
        self.own_at(at, self.now + took, Owner::WalFinish);
        Ok(())
    }

    /// Power may fail at each of the few changes of the disk that an install is made of.
    fn arm_install(&mut self, at: usize) {
        if !self.is_quiet && self.machines[at].armed.is_none() && self.rng.chance(25) {
            let stop_after = Some(self.rng.below(12));
            let seed = self.rng.next();
            self.machines[at].disk.set_faults(Faults { stop_after, ..Faults::default() }, seed);
            self.machines[at].armed = Some(Trouble::PowerInDisk);
        }
    }

    fn wal_finish(&mut self, at: usize) -> Checked {
        let machine = &mut self.machines[at];
        let Some(run) = &mut machine.run else { return Ok(()) };
        if let Err(why) = run.wal.finish() {
            let doing = if machine.truncating { Doing::Truncate } else { Doing::Sync };
            return self.failed(at, "log", &why.to_string(), doing);
        }
        machine.truncating = false;
        machine.book.synced();
        let durable = machine.book.durable.last();
        self.trace.line(self.now, || format!("m{at}: log: durable up to {durable}"));
        Ok(())
    }

    fn apply(&mut self, at: usize) -> Checked {
        let stalled = self.machines[at].stalled_until;
        if stalled > self.now {
            self.own_at(at, stalled, Owner::Apply);
            return Ok(());
        }
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        let mut batches: Vec<ApplyBatch> = Vec::new();
        for message in run.to_applier.try_iter().collect::<Vec<_>>() {
            match message {
                ToApplier::Apply(batch) => batches.push(batch),
                ToApplier::Install(staged) => {
                    self.apply_all(at, &mut batches)?;
                    self.install(at, staged)?;
                }
                // no operator has a store rebuilt here
                ToApplier::Stop | ToApplier::Hold | ToApplier::Rebuild(_) | ToApplier::Resume => {}
            }
        }
        self.apply_all(at, &mut batches)
    }

    fn apply_all(&mut self, at: usize, batches: &mut Vec<ApplyBatch>) -> Checked {
        let batches = std::mem::take(batches);
        let machine = &mut self.machines[at];
        let Some(run) = machine.run.as_mut().filter(|_| !batches.is_empty()) else { return Ok(()) };
        for entry in batches.iter().flat_map(|b| &b.entries).map(|c| &c.entry) {
            let durable = machine.book.durable.last();
            hold("SIM-APPLY-DURABLE", entry.index <= durable, || {
                format!("AI-9: m{at}: entry {} is handed out for applying, {durable} is durable", entry.index)
            })?;
            self.replay.entry(entry)?;
            machine.applied = machine.applied.max(entry.index);
            for (id, by) in std::mem::take(&mut self.replay.revoked) {
                self.promises.revoked(id, by != 0, self.now)?;
            }
            for id in std::mem::take(&mut self.replay.granted) {
                self.promises.granted(id, self.now);
            }
        }
        let result = run.applier.apply(batches);
        let last = machine.applied;
        self.trace.line(self.now, || format!("m{at}: apply: entry {last}"));
        self.story.applied(self.now, at, last);
        for view in self.machines[at].engine.take_seen() {
            checks::numbers(&view, &self.replay)?;
            if self.rng.chance(4) {
                checks::whole(&view, &self.replay)?;
                self.tally.views += 1;
            }
        }
        if let Some(copy) = self.machines[at].engine.take_copy() {
            self.machines[at].sending = Some(Sending { chunks: checks::stream(&copy)?, bytes: Vec::new() });
        }
        match result {
            Ok(()) => self.look_at_view(at, 10),
            Err(why) => {
                let doing = if self.machines[at].engine.mid_chunk() { Doing::Chunk } else { Doing::Apply };
                self.failed(at, "applier", &why.to_string(), doing)
            }
        }
    }

    /// A staged store takes the place of the present one.
    fn install(&mut self, at: usize, staged: StagedStore) -> Checked {
        let machine = &mut self.machines[at];
        let Some(run) = &mut machine.run else { return Ok(()) };
        let (index, name) = (staged.meta.index, staged.name.clone());
        let installed = run.applier.install(staged);
        self.trace.line(self.now, || format!("m{at}: installs {name} of entry {index}"));
        self.story.note(self.now, at, || format!("install {index}"));
        if let Err(why) = installed {
            return self.failed(at, "install", &why.to_string(), Doing::Receive);
        }
        let Ok(engine) = storage::boot::Stores::open(&machine.stores, &name) else {
            return self.failed(at, "install", "its store is gone", Doing::Receive);
        };
        machine.engine = (*engine).clone();
        machine.engine.watch(run.views.clone());
        machine.applied = machine.applied.max(index);
        self.tally.installs += 1;
        hold("SIM-INSTALL-COMMITTED", index <= self.replay.last(), || {
            format!("m{at}: a snapshot of entry {index}, nobody applied more than {}", self.replay.last())
        })?;
        self.look_at_view(at, 100)
    }

    /// The published view: its numbers always, all of it in so many percent.
    pub(super) fn look_at_view(&mut self, at: usize, percent: u64) -> Checked {
        let machine = &self.machines[at];
        let Some(run) = &machine.run else { return Ok(()) };
        drop(machine.engine.take_seen());
        let view = run.views.load();
        checks::numbers(&view, &self.replay)?;
        if self.rng.chance(percent) {
            self.tally.views += 1;
            return checks::whole(&view, &self.replay);
        }
        Ok(())
    }

    fn hub_mail(&mut self, at: usize) -> Checked {
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        match run.hub_mail.try_recv() {
            Ok(HubMail::Advanced(message)) => {
                let bytes = message.events.iter().flat_map(|list| list.iter()).map(WatchRevision::bytes).sum::<usize>();
                let at = Position { revision: message.revision, compact_revision: message.compact_revision };
                if message.restored {
                    run.hub.restored(at);
                } else {
                    run.hub.advanced(at, message.events);
                }
                run.backlog.fetch_sub(bytes, Relaxed);
            }
            Ok(HubMail::Requests(message)) => {
                // taken now, as the actor does: no client can have seen more when it sent them
                let view = run.views.load();
                let at = Position { revision: view.status.revision, compact_revision: view.status.compact_revision };
                run.hub.requests(message.0, at);
            }
            Err(_) => {}
        }
        self.hub_frames(at)
    }

    /// Hands out what the hub wants done and sent.
    fn hub_frames(&mut self, at: usize) -> Checked {
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        run.work.extend(run.hub.take_jobs());
        for (stream, frames) in run.hub.take_frames() {
            self.trace.line(self.now, || format!("m{at}: stream {}: {frames:?}", stream.token));
            let credit = self.watching.frames(stream.token, frames, &mut self.rng, &self.replay)?;
            if let Some(credit) = credit {
                // the receiving end is ours
                let _ = run.to_hub.send(HubMail::Requests(messages::watch::WatchRequests(vec![credit])));
            }
        }
        Ok(())
    }

    /// The snapshotter carries out one order.
    fn serve_snapshotter(&mut self, at: usize) -> Checked {
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        let (Some(snapshotter), Ok(order)) = (&mut run.snapshotter, run.to_snapshotter.try_recv()) else {
            return Ok(());
        };
        self.trace.line(self.now, || format!("m{at}: snapshotter: {order:?}"));
        let served = snapshotter.serve(order);
        snapshotter.clean();
        if let Err(why) = served {
            return self.failed(at, "snapshotter", &why, Doing::Snapshot);
        }
        if self.machines[at].stores.has_stopped() {
            return self.failed(at, "checkpoint", "the machine has stopped", Doing::Snapshot);
        }
        Ok(())
    }

    /// A checkpoint for a client: made first, then sent chunk by chunk while everything else goes on.
    fn send_snapshot(&mut self, at: usize) -> Checked {
        let Some(sending) = &mut self.machines[at].sending else { return Ok(()) };
        if let Some(chunk) = sending.chunks.pop_front() {
            sending.bytes.extend_from_slice(&chunk);
            return Ok(());
        }
        let Some(sent) = self.machines[at].sending.take() else { return Ok(()) };
        let flip = (self.rng.next() as usize, self.rng.next() as u8);
        let index = checks::checkpoint(&sent.bytes, &self.params, &self.replay, flip)?;
        self.tally.snapshots += 1;
        self.trace.line(self.now, || format!("m{at}: snapshot of entry {index}: {} bytes", sent.bytes.len()));
        Ok(())
    }

    /// Begins a checkpoint: now, or in the middle of what is applied next.
    pub(super) fn begin_snapshot(&mut self, at: usize) -> Checked {
        let machine = &mut self.machines[at];
        if machine.run.is_none() || machine.sending.is_some() {
            return Ok(());
        }
        if self.rng.chance(50) {
            let writes = self.rng.below(4);
            machine.engine.copy_after(writes);
            return Ok(());
        }
        match machine.engine.copy() {
            Ok(copy) => {
                machine.sending = Some(Sending { chunks: checks::stream(&copy)?, bytes: Vec::new() });
                Ok(())
            }
            // its caller is told; the store's own owners meet the same trouble and stop the node
            Err(why) => self.failed(at, "checkpoint", &why.to_string(), Doing::Snapshot),
        }
    }

    pub(super) fn client_later(&mut self, client: usize) {
        self.later(self.params.think, Event::Client(client));
    }
}

/// The lease manager takes one message.
fn read_lease_mail(run: &mut Running, now: u64) {
    match run.lease_mail.try_recv() {
        Ok(LeaseMail::Advanced(message)) => run.leases.advanced(message, now),
        Ok(LeaseMail::Role(message)) => run.leases.role(message, now),
        Ok(LeaseMail::Rebuild(message)) => run.leases.rebuild(message, now),
        Ok(LeaseMail::Call(call)) => run.leases.peer_call(call, now),
        Ok(LeaseMail::LeaderAnswered(message)) => run.leases.leader_answered(message, now),
        Ok(LeaseMail::Requests(message)) => run.leases.requests(message, now),
        Ok(LeaseMail::Answers(replies)) => run.leases.answers(replies, now),
        Ok(LeaseMail::Tick) => run.leases.tick(now),
        Err(_) => {}
    }
}

/// One job of the hub's reader threads.
fn read_for_hub(run: &mut Running) {
    if let Some(work) = run.work.pop_front() {
        let logs: Arc<dyn LogReads> = run.reads.clone();
        run.done.push_back(work.run(&logs));
    }
}
