//! A machine: its disk, its stores, its clock, the member that runs on it, and what is known of both from outside.
//!
//! Must never know another machine.

use super::coverage::{Doing, Trouble};
use super::engine::StepEngine;
use super::log_book::LogBook;
use super::owner::OWNERS;
use super::params::{NEWER, Params};
use super::running::Running;
use super::stores::SimStores;

use raft::{ConfState, LogId, NodeId};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Acquire;
use storage::disk::SimDisk;
use storage::member::RunningCluster;

/// The clocks of a machine: they run a little faster or slower than the world's. One of them stands still while the machine is
/// suspended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// When its process started, in the world's microseconds.
    pub born: u64,
    /// Parts per million by which it is fast.
    pub drift: i64,
    /// Microseconds of this process in which the machine was suspended.
    pub suspended: u64,
}

impl Clock {
    /// Microseconds since the process started; goes on while the machine is suspended.
    pub fn boot(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.born) as i64;
        (passed + passed * self.drift / 1_000_000).max(0) as u64
    }

    /// The same, but it stands still while the machine is suspended.
    pub fn monotonic(&self, now: u64) -> u64 {
        self.boot(now).saturating_sub(self.suspended)
    }

    /// The world's microseconds that pass while this clock goes on by so many.
    pub fn world(&self, micros: u64) -> u64 {
        (micros as i64 - micros as i64 * self.drift / 1_000_000).max(1) as u64
    }
}

/// How a member without data starts.
#[derive(Clone, Debug)]
pub enum FirstStart {
    /// It founds the cluster with others.
    Founder,
    /// It joins.
    Joiner(RunningCluster),
}

/// A checkpoint that a client is sent.
pub struct Sending {
    /// What is left of it.
    pub chunks: VecDeque<Vec<u8>>,
    /// What was sent.
    pub bytes: Vec<u8>,
}

/// See the file header.
pub struct Machine {
    /// Where it is reached.
    pub url: String,
    /// Its member's name.
    pub name: String,
    /// The member that runs here, once it is known.
    pub id: NodeId,
    /// Version of the build that it is started with.
    pub version: [u16; 3],
    /// The last start was one of an older build.
    pub ran_older: bool,
    /// How it starts without data.
    pub first: FirstStart,
    /// It was given up: nothing runs here any more.
    pub is_gone: bool,
    /// Its disk was lost: it must not run again.
    pub is_wiped: bool,
    /// Its disk.
    pub disk: SimDisk,
    /// Its stores.
    pub stores: SimStores,
    /// The engine of the current one.
    pub engine: StepEngine,
    /// Its member.
    pub run: Option<Running>,
    /// Events of owners belong to one life of the member.
    pub life: u64,
    /// Steps that wait in the queue of events.
    pub scheduled: [bool; OWNERS],
    /// Its clocks.
    pub clock: Clock,
    /// Until when it stands still.
    pub frozen_until: u64,
    /// Until when its applier stands still.
    pub stalled_until: u64,
    /// A fault that waits for its moment.
    pub armed: Option<Trouble>,
    /// The next sync takes so much longer.
    pub hang: u64,
    /// The batch in flight truncates the log.
    pub truncating: bool,
    /// A checkpoint for a client.
    pub sending: Option<Sending>,
    /// What its log holds.
    pub book: LogBook,
    /// The newest entry that was applied here.
    pub applied: u64,
    /// More waits for the hub than fits.
    pub flooded: bool,
    /// Number of the last start that succeeded.
    pub boot_epoch: u64,
    /// A proposal that tells the cluster of its member is under way until then.
    pub publishing_until: u64,
    /// Term in which its member was last seen to lead, what it called committed, and its membership then.
    pub led: Option<(u64, u64, ConfState)>,
}

impl Machine {
    /// With an empty disk.
    pub fn new(url: String, name: String, first: FirstStart, begins: LogId) -> Self {
        let disk = SimDisk::new();
        Self {
            url,
            name,
            id: 0,
            version: NEWER,
            ran_older: false,
            first,
            is_gone: false,
            is_wiped: false,
            stores: SimStores::new(&disk),
            disk,
            engine: StepEngine::default(),
            run: None,
            life: 0,
            scheduled: [false; OWNERS],
            clock: Clock::default(),
            frozen_until: 0,
            stalled_until: 0,
            armed: None,
            hang: 0,
            truncating: false,
            sending: None,
            book: LogBook::behind(begins),
            applied: begins.index,
            flooded: false,
            boot_epoch: 0,
            publishing_until: 0,
            led: None,
        }
    }

    /// Whether a member runs here and serves.
    pub fn is_serving(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.gauges.serving.load(Acquire))
    }

    /// Milliseconds since its process started, as its owners count them.
    pub fn millis(&self, now: u64) -> u64 {
        self.clock.monotonic(now) / 1_000
    }

    /// The same for the lease manager, whose clock goes on while the machine is suspended.
    pub fn lease_millis(&self, now: u64) -> u64 {
        self.clock.boot(now) / 1_000
    }

    /// Its disk is lost with everything on it.
    pub fn wipe(&mut self, params: &Params, begins: LogId) {
        self.disk = SimDisk::new();
        self.stores = SimStores::new(&self.disk);
        self.stores.set_background_flush(params.background_flush);
        self.engine = StepEngine::default();
        self.applied = begins.index;
        self.is_wiped = true;
    }

    /// What the member is doing, as far as can be seen from outside.
    pub fn doing(&self) -> Doing {
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
}
