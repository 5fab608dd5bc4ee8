//! What goes wrong, and when. Must never do what a disk, a kernel or a network could not do.

use super::coverage::{Doing, Trouble};
use super::engine::Stop;
use super::recover::{self, CLUSTER, LEARNER, LOG, MEMBER};
use super::violation::{Checked, hold};
use super::world::World;
use actors::limits::HUB_BACKLOG_BYTES;
use actors::wiring::wal::ToWal;
use messages::peer::Held;
use messages::receive::Receive;
use raft::{Body, Message, VoteRequest};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use storage::disk::sim::Faults;
use storage::disk::{Disk, SimDisk};
use storage::engine::Engine;
use storage::engine::sim::Fault;

impl World {
    /// A fault happens, or is armed for a moment soon: at the leader more often than elsewhere.
    pub(super) fn trouble(&mut self) -> Checked {
        if self.is_cluster() && self.rng.chance(45) {
            return self.trouble_between();
        }
        let at = self.victim();
        if self.rng.chance(25) {
            self.begin_snapshot(at)?;
        }
        let mut all = Trouble::ALONE.to_vec();
        all.retain(|t| *t != Trouble::BitRot);
        if !self.is_cluster() {
            all.push(Trouble::HigherTerm);
        }
        let trouble = self.rng.pick(&all);
        let doing = self.machines[at].doing();
        if doing == Doing::Down || (self.machines[at].armed.is_some() && arms(trouble)) {
            return Ok(());
        }
        self.trace.line(self.now, || format!("m{at}: trouble: {trouble:?} while {doing:?}"));
        if arms(trouble) {
            self.arm(at, trouble);
            return Ok(());
        }
        if trouble == Trouble::HigherTerm && self.is_cluster() {
            // the others speak up by themselves
            return Ok(());
        }
        self.count(at, trouble);
        match trouble {
            Trouble::PowerLoss => self.crash(at, true),
            Trouble::Kill => self.crash(at, false),
            Trouble::Pause => {
                let by = self.rng.pick(&[300_000, 2_000_000, 9_000_000, 70_000_000]) + self.rng.below(900_000);
                self.promises.paused(self.now, by);
                if self.is_cluster() {
                    let machine = &mut self.machines[at];
                    machine.frozen_until = machine.frozen_until.max(self.now + by / 4);
                } else {
                    self.now += by;
                }
            }
            Trouble::SyncHangs => self.machines[at].hang = self.rng.pick(&[1_000_000, 3_000_000, 9_000_000]),
            Trouble::HigherTerm => self.higher_term(),
            Trouble::HubBehind => self.flood(at),
            _ => return self.stop(at),
        }
        Ok(())
    }

    /// Whom a fault meets.
    pub(super) fn victim(&mut self) -> usize {
        let leads = |at: &usize| self.machines[*at].run.as_ref().is_some_and(|run| run.core.node().is_leader());
        let leaders: Vec<usize> = (0..self.machines.len()).filter(leads).collect();
        if !leaders.is_empty() && self.rng.chance(40) {
            return self.rng.pick(&leaders);
        }
        let alive: Vec<usize> = (0..self.machines.len()).filter(|at| !self.machines[*at].is_gone).collect();
        if alive.is_empty() { 0 } else { self.rng.pick(&alive) }
    }

    pub(super) fn arm(&mut self, at: usize, trouble: Trouble) {
        self.machines[at].armed = Some(trouble);
        let seed = self.rng.next();
        let soon = Some(self.rng.below(6));
        let faults = Faults::default();
        match trouble {
            Trouble::PowerInDisk => {
                let stop_after = Some(self.rng.below(20));
                self.machines[at].disk.set_faults(Faults { stop_after, ..faults }, seed);
            }
            Trouble::SyncFails => self.machines[at].disk.set_faults(Faults { fail_sync_after: soon, ..faults }, seed),
            Trouble::WriteFails => self.machines[at].disk.set_faults(Faults { fail_write_after: soon, ..faults }, seed),
            Trouble::DiskFull => {
                let capacity = Some(used(&self.machines[at].disk) + self.rng.below(self.params.wal.min_segment));
                self.machines[at].disk.set_faults(Faults { capacity, ..faults }, seed);
            }
            Trouble::StoreWrite | Trouble::StoreFlush => {
                let fault = self.rng.pick(&[Fault::Io, Fault::NoSpace]);
                if trouble == Trouble::StoreWrite && self.rng.chance(40) {
                    self.machines[at].engine.fail_in_chunk(fault);
                } else {
                    self.machines[at].engine.fail(trouble == Trouble::StoreWrite, fault);
                }
            }
            _ => {
                let (done, flushed, in_chunk) = (self.rng.chance(50), self.rng.chance(50), self.rng.chance(40));
                let after = self.rng.below(if in_chunk { 3 } else { 8 });
                // also of a store that is being received
                let nth = self.rng.below(8);
                let staged = self.machines[at].stores.nth(nth).filter(|_| !in_chunk && nth % 2 == 1);
                let engine = staged.unwrap_or_else(|| self.machines[at].engine.clone());
                engine.stop(Stop { after, done, flushed, in_chunk });
            }
        }
    }

    /// A member that lost touch long ago speaks up in a later term.
    fn higher_term(&mut self) {
        let Some(run) = &self.machines[0].run else { return };
        let node = run.core.node();
        let term = node.term() + self.rng.between(1, 3);
        let body = match self.rng.below(3) {
            0 => Body::AppendAccepted { index: 0 },
            1 => Body::HeartbeatAck { read_round: 0 },
            _ => {
                let last_index = node.last_index() - self.rng.below(2);
                Body::Vote(VoteRequest { last_index, last_term: node.term(), transfer: true })
            }
        };
        let messages = vec![Message { from: LEARNER, to: MEMBER, term, body }];
        run.inner.receive(Receive { messages, held: Held::default() }, true);
    }

    /// The hub has more to take than fits, so the applier leaves events out and the hub reads the store.
    fn flood(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if let Some(run) = machine.run.as_ref().filter(|_| !machine.flooded) {
            run.backlog.fetch_add(HUB_BACKLOG_BYTES, Relaxed);
            machine.flooded = true;
        }
    }

    pub(super) fn unflood(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let flooded = std::mem::take(&mut machine.flooded);
        if let Some(run) = machine.run.as_ref().filter(|_| flooded) {
            run.backlog.fetch_sub(HUB_BACKLOG_BYTES, Relaxed);
        }
    }

    /// The order in which the kernel ends its owners.
    fn stop(&mut self, at: usize) -> Checked {
        let Some(run) = &mut self.machines[at].run else { return Ok(()) };
        run.core.end();
        let left: Vec<ToWal> = run.to_wal.try_iter().collect();
        let written = match run.wal.in_flight() {
            true => run.wal.finish(),
            false => Ok(()),
        };
        let ended = written
            .and_then(|()| run.wal.begin(left.into_iter()).map(drop))
            .and_then(|()| run.wal.finish())
            .and_then(|()| run.wal.end());
        if let Err(why) = ended {
            return self.failed(at, "log at its end", &why.to_string(), Doing::Sync);
        }
        self.hear(at)?;
        // what the log has let go of is on its way
        self.carry(at)?;
        // what is queued is applied by the next start as well: an orderly stop may be cut short here
        if self.rng.chance(70)
            && let Err(why) = self.machines[at].engine.flush()
        {
            return self.failed(at, "store at its end", &why.to_string(), Doing::Flush);
        }
        self.crash(at, false);
        Ok(())
    }

    /// A bit of the log flips while the member is down. On a copy: it is refused, or nothing that was durable is missing. The
    /// one exception is the last batch: nothing behind it proves that it was whole, so it is cut as a torn one.
    pub(super) fn rot(&mut self, at: usize) -> Checked {
        let (clean, rotten) = (self.machines[at].disk.fork(), self.machines[at].disk.fork());
        let owner = if self.is_cluster() { (self.cluster_id, self.machines[at].id) } else { (CLUSTER, MEMBER) };
        // a clean stop of recovery first: what both would find without the flip
        let Ok((wal, log)) = recover::open(&clean, &self.params, owner) else { return Ok(()) };
        drop(wal);
        let Some((path, offset, bit)) = self.flip(&rotten) else { return Ok(()) };
        self.count(at, Trouble::BitRot);
        let book = &self.machines[at].book;
        let (durable, applied) = (book.durable.last(), self.machines[at].applied);
        let floor = if log.last.index > durable { durable } else { book.before_last };
        let found = recover::open(&rotten, &self.params, owner);
        self.trace.line(self.now, || {
            format!("m{at}: rot: bit {bit} at {offset} of {}: {:?}", path.display(), found.as_ref().err())
        });
        let Ok((wal, rotten_log)) = found else { return Ok(()) };
        hold("SIM-ROT-REFUSED", rotten_log.last.index >= floor.min(log.last.index), || {
            format!(
                "bit {bit} of byte {offset} of {} flipped: the log ends at {}, not at {}, and opens",
                path.display(),
                rotten_log.last.index,
                log.last.index
            )
        })?;
        let mut reader = wal.reader();
        let mut next = rotten_log.truncated.index + 1;
        while next <= rotten_log.last.index {
            let Ok(entries) = reader.read(next, rotten_log.last.index + 1, 1 << 20) else { return Ok(()) };
            for entry in &entries {
                // what is behind may have been replaced by another leader since, and the last batch may have replaced what it reveals
                let revealed = self.machines[at].book.before.holds(entry.index, entry.term);
                if entry.index <= applied && !revealed {
                    self.replay.same_entry(entry)?;
                }
                next = entry.index + 1;
            }
        }
        Ok(())
    }

    /// Flips a bit of something that was written, more often near the end.
    fn flip(&mut self, disk: &SimDisk) -> Option<(PathBuf, u64, u8)> {
        let names: Vec<String> = disk.list(Path::new(LOG)).ok()?.into_iter().filter(|n| n.ends_with(".wal")).collect();
        let newest = names.len().checked_sub(1)?;
        let nth = if self.rng.chance(80) { newest } else { self.rng.below(names.len() as u64) as usize };
        let path = Path::new(LOG).join(&names[nth]);
        let file = disk.open(&path).ok()?;
        let mut bytes = vec![0; file.len().ok()? as usize];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let end = bytes.iter().rposition(|b| *b != 0)? as u64 + 1;
        let from = if self.rng.chance(70) { end.saturating_sub(4 * 4096) } else { 0 };
        let offset = from + self.rng.below(end - from);
        let bit = self.rng.below(8) as u8;
        disk.flip_bit(&path, offset, bit);
        Some((path, offset, bit))
    }
}

/// Faults that strike at the next fitting moment, not at once.
fn arms(trouble: Trouble) -> bool {
    matches!(
        trouble,
        Trouble::PowerInDisk
            | Trouble::PowerInStore
            | Trouble::SyncFails
            | Trouble::WriteFails
            | Trouble::DiskFull
            | Trouble::StoreWrite
            | Trouble::StoreFlush
    )
}

/// Bytes of all files of the log.
fn used(disk: &SimDisk) -> u64 {
    let names = disk.list(Path::new(LOG)).unwrap_or_default();
    let len = |name: &String| disk.open(&Path::new(LOG).join(name)).and_then(|file| file.len()).unwrap_or(0);
    names.iter().map(len).sum()
}
