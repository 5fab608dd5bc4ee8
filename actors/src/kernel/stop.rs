//! The end of a node: each owner after those that feed it, so that what was taken in is written, applied and answered.
//!
//! Must never wait for somebody who waits for an owner that has ended already.

use crate::death_watch::{ExitCell, NodeExit};
use crate::lease_manager::actor::{LeaseManager, StopLeases};
use crate::watch_hub::WatchHub;
use crate::watch_hub::actor::StopHub;
use crate::wiring::apply::ToApplier;
use crate::wiring::flush::ToFlusher;
use crate::wiring::wal::ToWal;
use actix::Addr;
use actix_rt::Arbiter;
use crossbeam_channel::Sender;
use messages::Ports;
use messages::peer::Transport;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::thread::JoinHandle;

/// Actors on arbiters of their own.
pub(super) struct Actors {
    pub(super) hub: Addr<WatchHub>,
    pub(super) leases: Addr<LeaseManager>,
    pub(super) arbiters: [Arbiter; 2],
}

/// What ends an owner, and shows that it has.
pub(super) struct Running {
    pub(super) wal: Sender<ToWal>,
    pub(super) applier: Sender<ToApplier>,
    pub(super) flusher: Sender<ToFlusher>,
    pub(super) actors: Actors,
    pub(super) threads: Threads,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) stop_log: Sender<()>,
    pub(super) stop_snapshots: Sender<()>,
    pub(super) stop_ticker: Sender<()>,
    pub(super) stop_readers: Sender<()>,
    pub(super) stop_jobs: Sender<()>,
    pub(super) stop_passwords: Sender<()>,
    /// Lets clients that are kept let go of the store.
    pub(super) close_reads: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
pub(super) struct Threads {
    pub(super) core: Option<JoinHandle<()>>,
    pub(super) wal: Option<JoinHandle<()>>,
    pub(super) log: Option<JoinHandle<()>>,
    pub(super) applier: Option<JoinHandle<()>>,
    pub(super) flusher: Option<JoinHandle<()>>,
    pub(super) snapshots: Option<JoinHandle<()>>,
    pub(super) jobs: Option<JoinHandle<()>>,
    pub(super) ticker: Option<JoinHandle<()>>,
    pub(super) readers: Vec<JoinHandle<()>>,
    pub(super) passwords: Vec<JoinHandle<()>>,
}

impl Running {
    pub(super) fn stop(mut self, ports: &Ports, exit: &ExitCell) {
        ports.gauges.stopping.store(true, Release);
        ports.core.stop();
        join(self.threads.core.take());
        drop(self.stop_ticker);
        join(self.threads.ticker.take());
        // a closed queue means that its owner ended already
        let _ = self.wal.send(ToWal::Stop);
        join(self.threads.wal.take());
        drop(self.stop_log);
        join(self.threads.log.take());
        if let Some(transport) = self.transport {
            // what the core and the log have let go is on its way
            transport.stop();
        }
        let _ = self.applier.send(ToApplier::Stop);
        join(self.threads.applier.take());
        self.actors.hub.do_send(StopHub);
        self.actors.leases.do_send(StopLeases);
        // behind the applier, which may have had the last store to remove
        drop(self.stop_snapshots);
        join(self.threads.snapshots.take());
        let _ = self.flusher.send(ToFlusher::Stop);
        join(self.threads.flusher.take());
        drop(self.stop_jobs);
        join(self.threads.jobs.take());
        drop(self.stop_readers);
        for reader in self.threads.readers.drain(..) {
            join(Some(reader));
        }
        drop(self.stop_passwords);
        // one that computes for minutes, because somebody asked for that cost, ends with the process
        drop(self.threads.passwords);
        for arbiter in self.actors.arbiters {
            arbiter.stop();
            // an arbiter that panicked has been reported by its actor's death watch
            let _ = arbiter.join();
        }
        (self.close_reads)();
        ports.sinks.node_stopped();
        exit.set(NodeExit::Stopped);
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // a panic has been reported by the thread's death watch
        let _ = thread.join();
    }
}
