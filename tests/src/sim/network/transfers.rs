//! Snapshots on their way: chunk by chunk, over connections that break and are resumed, as the transport's bulk streams are.
//!
//! Must never go on where the receiver has other bytes than the sender.

use super::super::coverage::{Doing, Trouble};
use super::super::engine::StepEngine;
use super::super::violation::Checked;
use super::super::world::{Event, World};
use actors::snapshotter::about::About;
use actors::snapshotter::sink::{HandedOver, StagingSink};
use crc32c::crc32c_append;
use messages::peer::{BulkError, BulkHeader, BulkSink, Parcel};
use std::io;

/// Connections in vain after which a transfer is given up.
const TRIES: u32 = 4;
/// Pause before the next one.
const PAUSE: u64 = 500_000;

/// A snapshot on its way.
pub(super) struct Transfer {
    pub(super) from: usize,
    pub(super) to: usize,
    lives: (u64, u64),
    header: BulkHeader,
    parcel: Parcel,
    sink: Option<StagingSink<StepEngine>>,
    handed: Option<HandedOver>,
    at: u64,
    tries: u32,
}

impl Transfer {
    /// This life of the machine sends it, as the leader of this term.
    pub(super) fn is_of(&self, machine: usize, life: u64, term: u64) -> bool {
        let about = About::decode(&self.header.about);
        self.from == machine && self.lives.0 == life && about.is_some_and(|about| about.term == term)
    }
}

enum Step {
    /// The next one comes within so many microseconds.
    Next(u64),
    Broken,
    Ended(Result<(), BulkError>),
}

fn refused(why: &io::Error) -> Step {
    Step::Ended(Err(BulkError::Refused(why.to_string())))
}

impl World {
    /// A member wants to send a snapshot.
    pub(super) fn begin_transfer(&mut self, from: usize, to: u64, parcel: Parcel) {
        let to = self.machines.iter().position(|machine| machine.id == to && !machine.is_gone);
        let Some(to) = to else { return (parcel.done)(Err(BulkError::Unreachable)) };
        let length = parcel.source.length();
        let (transfer, about) = (parcel.transfer, parcel.about.clone());
        let header = BulkHeader { from: self.machines[from].id, transfer, length, about };
        self.net.last_transfer += 1;
        let id = self.net.last_transfer;
        let lives = (self.machines[from].life, self.machines[to].life);
        let transfer = Transfer { from, to, lives, header, parcel, sink: None, handed: None, at: 0, tries: 0 };
        self.trace.line(self.now, || format!("m{from}: sends m{to} a snapshot of {length} bytes"));
        self.story.note(self.now, from, || format!("snapshot to m{to}"));
        self.net.transfers.insert(id, transfer);
        self.later(self.params.way + 1_000, Event::Transfer(id));
    }

    /// The next step of a transfer.
    pub(in super::super) fn transfer(&mut self, id: u64) -> Checked {
        let Some(mut transfer) = self.net.transfers.remove(&id) else { return Ok(()) };
        let (from, to) = (transfer.from, transfer.to);
        if self.machines[from].life != transfer.lives.0 {
            // its sender is gone: nobody waits
            return Ok(());
        }
        let thaw = self.machines[from].frozen_until.max(self.machines[to].frozen_until);
        if thaw > self.now {
            self.net.transfers.insert(id, transfer);
            self.at(thaw + 1, Event::Transfer(id));
            return Ok(());
        }
        let step = self.step_of(&mut transfer);
        // a store says so, a disk in the error that the receiver passes on
        let stopped = self.machines[to].stores.has_stopped()
            || matches!(&step, Step::Ended(Err(BulkError::Refused(why))) if why.contains("simulated: the machine"));
        match step {
            Step::Next(most) => {
                self.net.transfers.insert(id, transfer);
                self.later(most, Event::Transfer(id));
            }
            Step::Broken => {
                // what is there of it waits for the next connection
                transfer.sink = None;
                transfer.tries += 1;
                if transfer.tries > TRIES {
                    self.end_transfer(transfer, Err(BulkError::Unreachable));
                } else {
                    self.net.transfers.insert(id, transfer);
                    self.later(PAUSE, Event::Transfer(id));
                }
            }
            Step::Ended(result) => self.end_transfer(transfer, result),
        }
        if stopped && self.machines[to].run.is_some() {
            return self.failed(to, "staging", "the machine has stopped", Doing::Receive);
        }
        Ok(())
    }

    fn end_transfer(&mut self, transfer: Transfer, result: Result<(), BulkError>) {
        let Transfer { from, to, parcel, sink, .. } = transfer;
        drop(sink);
        self.net.carried.snapshots += u64::from(result.is_ok());
        self.trace.line(self.now, || format!("m{from}: its snapshot for m{to}: {result:?}"));
        (parcel.done)(result);
    }

    fn step_of(&mut self, transfer: &mut Transfer) -> Step {
        let (from, to) = (transfer.from, transfer.to);
        let knows = self.net.known.get(&to).is_none_or(|known| !known.removed.contains(&transfer.header.from));
        let reached = !self.net.is_cut(from, to) && !self.net.is_cut(to, from) && knows;
        if transfer.handed.is_none() && self.rng.below(1_000) < self.net.bulk_breaks {
            self.count(to, Trouble::TransferBreaks);
            return Step::Broken;
        }
        let Some(run) = self.machines[to].run.as_ref().filter(|_| reached) else { return Step::Broken };
        if self.machines[to].life != transfer.lives.1 {
            // another run of the receiver: what was there of it is gone
            transfer.lives.1 = self.machines[to].life;
            (transfer.sink, transfer.handed) = (None, None);
        }
        if let Some(handed) = &transfer.handed {
            return match handed.told() {
                None => Step::Next(2_000),
                Some(Ok(())) => Step::Ended(Ok(())),
                Some(Err(why)) => refused(&why),
            };
        }
        let Some(sink) = &mut transfer.sink else {
            let opened = run.staging.clone().open_sink(&transfer.header);
            return match opened.map_err(io::Error::other).and_then(|sink| resume(transfer, sink)) {
                Ok(resumed) => {
                    self.net.carried.resumed += u64::from(resumed);
                    Step::Next(self.params.way + 500)
                }
                Err(why) => refused(&why),
            };
        };
        if transfer.at < transfer.header.length {
            let most = self.rng.between(1, 4_000).min(transfer.header.length - transfer.at) as usize;
            return match transfer.parcel.source.read_at(transfer.at, most) {
                Err(why) => Step::Ended(Err(BulkError::Source(why.to_string()))),
                Ok(bytes) => {
                    transfer.at += bytes.len() as u64;
                    match sink.write(&bytes) {
                        Ok(()) => Step::Next(3_000),
                        Err(why) => refused(&why),
                    }
                }
            };
        }
        let sink = transfer.sink.take().expect("just seen");
        match sink.complete() {
            Ok(handed) => {
                transfer.handed = Some(handed);
                Step::Next(2_000)
            }
            Err(why) => refused(&why),
        }
    }

    /// A machine is down: connections of its transfers break. Its own end with it.
    pub(super) fn break_transfers_of(&mut self, machine: usize) {
        self.net.transfers.retain(|_, transfer| transfer.from != machine);
        for transfer in self.net.transfers.values_mut().filter(|transfer| transfer.to == machine) {
            (transfer.sink, transfer.handed) = (None, None);
        }
    }
}

/// Goes on where the receiver stands, if it has what was sent; true when that is in the middle.
fn resume(transfer: &mut Transfer, mut sink: StagingSink<StepEngine>) -> io::Result<bool> {
    let (held, checksum) = sink.progress()?;
    let (mut at, mut own) = (0, 0);
    while at < held {
        let bytes = transfer.parcel.source.read_at(at, (held - at).min(1 << 20) as usize)?;
        at += bytes.len() as u64;
        own = crc32c_append(own, &bytes);
    }
    transfer.at = held;
    if own != checksum {
        sink.restart()?;
        transfer.at = 0;
    }
    transfer.sink = Some(sink);
    Ok(transfer.at > 0)
}
