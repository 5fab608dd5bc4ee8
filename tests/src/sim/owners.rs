//! One step of each owner, and what is judged around it. Must never do an owner's work itself.

use super::checks;
use super::coverage::Doing;
use super::params::TICK;
use super::ports::{HubMail, LeaseMail};
use super::running::Running;
use super::violation::{Checked, hold};
use super::world::{Event, Owner, Sending, World};
use actors::watch_hub::{LogReads, Position};
use actors::wiring::apply::{ApplyBatch, ToApplier};
use actors::wiring::events::WatchRevision;
use actors::wiring::tick::Tick;
use actors::wiring::wal::ToWal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl World {
    pub(super) fn own(&mut self, owner: Owner) -> Checked {
        let Some(run) = &mut self.run else { return Ok(()) };
        let now = run.millis(self.now);
        match owner {
            Owner::Core => {
                run.core.round();
                self.look_at_core()
            }
            Owner::WalBegin => self.wal_begin(),
            Owner::WalFinish => self.wal_finish(),
            Owner::Apply => self.apply(),
            Owner::Compact => match run.applier.compact() {
                Ok(()) => self.look_at_view(5),
                Err(why) => self.failed("compaction", &why.to_string(), Doing::Compact),
            },
            Owner::Flush => {
                let Ok(order) = run.to_flusher.try_recv() else { return Ok(()) };
                self.trace.line(self.now, || format!("flusher: {order:?}"));
                let run = self.run.as_mut().expect("just seen");
                match run.flusher.serve_one(order) {
                    Ok(_) => Ok(()),
                    Err(why) => self.failed("flusher", &why, Doing::Flush),
                }
            }
            Owner::Hub => self.hub_mail(),
            Owner::HubWork => {
                read_for_hub(run);
                Ok(())
            }
            Owner::HubDone => {
                let Some(done) = run.done.pop_front() else { return Ok(()) };
                match run.hub.done(done) {
                    Ok(()) => self.hub_frames(),
                    Err(why) => self.failed("watch hub", &why, Doing::Idle),
                }
            }
            Owner::Lease => {
                read_lease_mail(run, now);
                Ok(())
            }
            Owner::Tick => {
                tick(run, self.now);
                let next = run.next_tick.max(self.now + TICK / 2);
                self.own_at(next, Owner::Tick);
                Ok(())
            }
            Owner::LeaseTick => {
                // a mail like others, in its turn; the receiving end is ours
                let _ = run.to_leases.send(LeaseMail::Tick);
                self.own_at(self.now + 250_000, Owner::LeaseTick);
                Ok(())
            }
            Owner::HubTick => {
                run.hub.tick(now);
                self.own_at(self.now + 1_000_000, Owner::HubTick);
                self.unflood();
                self.hub_frames()
            }
            Owner::LogRead => {
                let Ok(ask) = run.to_log.try_recv() else { return Ok(()) };
                match run.log.serve(ask) {
                    Ok(()) => Ok(()),
                    Err(why) => self.failed("log reader", &why.to_string(), Doing::Idle),
                }
            }
            Owner::Snapshot => self.send_snapshot(),
        }
    }

    fn look_at_core(&mut self) -> Checked {
        let Some(run) = &self.run else { return Ok(()) };
        let broken = run.core.node().violated_invariant();
        hold("RI", broken.is_none(), || format!("{broken:?}"))?;
        // there is nobody to send them to
        drop(run.peers.take());
        Ok(())
    }

    fn wal_begin(&mut self) -> Checked {
        let Some(run) = &mut self.run else { return Ok(()) };
        let messages: Vec<ToWal> = run.to_wal.try_iter().collect();
        for message in &messages {
            match message {
                ToWal::Append(batch) => {
                    if let Some(last) = batch.entries.last() {
                        self.written = last.index;
                    }
                    if let Some(hard_state) = batch.hard_state.filter(|_| batch.must_sync) {
                        self.promising = hard_state;
                    }
                }
                ToWal::Release { .. } => self.truncating = true,
                ToWal::Prepared(_) | ToWal::Installed | ToWal::Stop => {}
            }
        }
        let (last, count) = (self.written, messages.len());
        let begun = run.wal.begin(messages.into_iter());
        self.trace.line(self.now, || format!("log: {count} messages, written up to {last}"));
        if let Err(why) = begun {
            let doing = if self.truncating { Doing::Truncate } else { Doing::Append };
            return self.failed("log", &why.to_string(), doing);
        }
        if !run.wal.in_flight() {
            return self.wal_finish();
        }
        let took = self.rng.between(50, 3_000) + std::mem::take(&mut self.hang);
        self.own_at(self.now + took, Owner::WalFinish);
        Ok(())
    }

    fn wal_finish(&mut self) -> Checked {
        let Some(run) = &mut self.run else { return Ok(()) };
        if let Err(why) = run.wal.finish() {
            let doing = if self.truncating { Doing::Truncate } else { Doing::Sync };
            return self.failed("log", &why.to_string(), doing);
        }
        self.truncating = false;
        if self.written != self.durable {
            self.before_last = self.durable.min(self.written);
        }
        self.durable = self.written;
        self.promised = self.promising;
        let durable = self.durable;
        self.trace.line(self.now, || format!("log: durable up to {durable}"));
        Ok(())
    }

    fn apply(&mut self) -> Checked {
        let Some(run) = &mut self.run else { return Ok(()) };
        let batches: Vec<ApplyBatch> = run
            .to_applier
            .try_iter()
            .filter_map(|message| match message {
                ToApplier::Apply(batch) => Some(batch),
                // nobody sends it snapshots
                ToApplier::Install(_) | ToApplier::Stop => None,
            })
            .collect();
        if batches.is_empty() {
            return Ok(());
        }
        for entry in batches.iter().flat_map(|b| &b.entries).map(|c| &c.entry) {
            let durable = self.durable;
            hold("SIM-APPLY-DURABLE", entry.index <= durable, || {
                format!("AI-9: entry {} is handed out for applying, {durable} is durable", entry.index)
            })?;
            self.replay.entry(entry)?;
            for (id, by) in std::mem::take(&mut self.replay.revoked) {
                self.promises.revoked(id, by != 0, self.now)?;
            }
        }
        let result = run.applier.apply(batches);
        let (last, revision) = (self.replay.last(), self.replay.now().revision);
        self.trace.line(self.now, || format!("apply: entry {last}, revision {revision}"));
        for view in self.engine.take_seen() {
            checks::numbers(&view, &self.replay)?;
            if self.rng.chance(4) {
                checks::whole(&view, &self.replay)?;
                self.tally.views += 1;
            }
        }
        if let Some(copy) = self.engine.take_copy() {
            self.sending = Some(Sending { chunks: checks::stream(&copy)?, bytes: Vec::new() });
        }
        match result {
            Ok(()) => self.look_at_view(10),
            Err(why) => {
                let doing = if self.engine.mid_chunk() { Doing::Chunk } else { Doing::Apply };
                self.failed("applier", &why.to_string(), doing)
            }
        }
    }

    /// The published view: its numbers always, all of it in so many percent.
    pub(super) fn look_at_view(&mut self, percent: u64) -> Checked {
        let Some(run) = &self.run else { return Ok(()) };
        drop(self.engine.take_seen());
        let view = run.views.load();
        checks::numbers(&view, &self.replay)?;
        if self.rng.chance(percent) {
            self.tally.views += 1;
            return checks::whole(&view, &self.replay);
        }
        Ok(())
    }

    fn hub_mail(&mut self) -> Checked {
        let Some(run) = &mut self.run else { return Ok(()) };
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
        self.hub_frames()
    }

    /// Hands out what the hub wants done and sent.
    fn hub_frames(&mut self) -> Checked {
        let Some(run) = &mut self.run else { return Ok(()) };
        run.work.extend(run.hub.take_jobs());
        for (stream, frames) in run.hub.take_frames() {
            self.trace.line(self.now, || format!("stream {}: {frames:?}", stream.token));
            let credit = self.watching.frames(stream.token, frames, &mut self.rng, &self.replay)?;
            if let Some(credit) = credit {
                // the receiving end is ours
                let _ = run.to_hub.send(HubMail::Requests(messages::watch::WatchRequests(vec![credit])));
            }
        }
        Ok(())
    }

    /// A checkpoint: made first, then sent chunk by chunk while everything else goes on.
    fn send_snapshot(&mut self) -> Checked {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        match sending.chunks.pop_front() {
            Some(chunk) => {
                sending.bytes.extend_from_slice(&chunk);
                Ok(())
            }
            None => {
                let sent = self.sending.take().expect("just seen");
                let flip = (self.rng.next() as usize, self.rng.next() as u8);
                let index = checks::checkpoint(&sent.bytes, &self.params, &self.replay, flip)?;
                self.tally.snapshots += 1;
                self.trace.line(self.now, || format!("snapshot of entry {index}: {} bytes", sent.bytes.len()));
                Ok(())
            }
        }
    }

    /// Begins a checkpoint: now, or in the middle of what is applied next.
    pub(super) fn begin_snapshot(&mut self) -> Checked {
        if self.run.is_none() || self.sending.is_some() {
            return Ok(());
        }
        if self.rng.chance(50) {
            let writes = self.rng.below(4);
            self.engine.copy_after(writes);
            return Ok(());
        }
        match self.engine.copy() {
            Ok(copy) => {
                self.sending = Some(Sending { chunks: checks::stream(&copy)?, bytes: Vec::new() });
                Ok(())
            }
            // its caller is told; the store's own owners meet the same trouble and stop the node
            Err(why) => self.failed("checkpoint", &why.to_string(), Doing::Snapshot),
        }
    }

    pub(super) fn client_later(&mut self, client: usize) {
        self.later(self.params.think, Event::Client(client));
    }
}

/// The ticker: what is owed comes at once.
fn tick(run: &mut Running, now: u64) {
    let mut count = 0;
    while run.next_tick <= now {
        run.next_tick += TICK;
        count += 1;
    }
    if count > 0 && run.inner.tick(Tick { count }).is_err() {
        // merged into the next one
        run.next_tick -= TICK * u64::from(count);
    }
}

/// The lease manager takes one message.
fn read_lease_mail(run: &mut Running, now: u64) {
    match run.lease_mail.try_recv() {
        Ok(LeaseMail::Advanced(message)) => run.leases.advanced(message, now),
        Ok(LeaseMail::Role(message)) => run.leases.role(message, now),
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
