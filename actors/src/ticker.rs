//! The ticker: its own thread, so that time passes for the core whatever the others do.
//!
//! A tick that cannot be delivered is merged into the next one. Must never do anything else.

use crate::death_watch::DeathWatch;
use crate::raft_core::inbox::InnerPort;
use crate::wiring::tick::Tick;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Ticks every `interval` until the sending end of `stop` is dropped.
pub fn run(interval: Duration, core: &InnerPort, stop: &Receiver<()>, watch: DeathWatch) {
    let mut next = Instant::now() + interval;
    let mut owed = 0;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_deadline(next) {
        let now = Instant::now();
        while next <= now {
            next += interval;
            owed += 1;
        }
        owed = match core.tick(Tick { count: owed }) {
            Ok(()) => 0,
            Err(tick) => tick.count,
        };
    }
    watch.finish();
}
