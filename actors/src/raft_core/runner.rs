//! The raft core between its rounds: the thread that has work for it runs it, so that a core at rest costs nobody a wake (ADR 0080).
//!
//! One at a time (CORE-ALONE): whoever runs a round holds the lock, nobody waits for it but the core's own thread, and it is not held
//! from one round of a caller to the next. Nothing is left behind (CORE-SEEN): whoever finds the lock taken has said so before, and
//! whoever gives it back looks once more. What is more than a few rounds is left to the core's own thread: a thread of connections or of
//! the log has work of its own.
//!
//! Must never make a caller wait.

use super::core::RaftCore;
use crate::death_watch::DeathWatch;
use crossbeam_channel::Receiver;
use messages::ports::{Bell, CallerRuns};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, fence};
use std::sync::{Arc, Mutex, TryLockError};

/// Rounds in a row of a thread that rings.
const ROUNDS_OF_CALLER: usize = 4;

/// See the file header.
pub(crate) struct CoreRunner {
    /// `None` once the core has ended.
    core: Mutex<Option<RaftCore>>,
    /// Somebody rang and nobody has looked since.
    rung: AtomicBool,
    /// What the core's own thread sleeps on.
    woken: Receiver<()>,
}

/// What an attempt to run a round came to.
enum RoundOutcome {
    /// Somebody else has the core, or it has ended.
    NotHere,
    /// Nothing is left to do.
    AtRest,
    /// The core's own thread must go on.
    More,
}

impl CoreRunner {
    /// Around a core that was not started yet.
    pub(crate) fn new(core: RaftCore) -> Arc<Self> {
        let woken = core.parts.inbox.woken();
        Arc::new(Self { core: Mutex::new(Some(core)), rung: AtomicBool::new(false), woken })
    }

    /// The core's own thread: starts it, runs what callers leave, and ends it.
    pub(crate) fn run(self: Arc<Self>, bell: &Bell, mut watch: DeathWatch) {
        if let Ok(mut slot) = self.core.lock()
            && let Some(core) = slot.as_mut()
        {
            core.start();
        }
        bell.run_by_callers(self.clone());
        let ended = self.serve();
        match ended {
            None => watch.fail("it panicked"),
            Some(mut core) => {
                core.end();
                match core.failure() {
                    Some(why) => watch.fail(why),
                    None if core.has_left() => watch.removed(),
                    None => watch.finish(),
                }
            }
        }
    }

    /// Runs rounds and sleeps between them, until there is to be no further one. `None` when a round panicked elsewhere.
    fn serve(&self) -> Option<RaftCore> {
        // before there were callers who run it, they only woke this thread
        let mut must_look = true;
        loop {
            let mut slot = self.core.lock().ok()?;
            let core = slot.as_mut()?;
            while !core.is_over()
                && (self.rung.swap(false, AcqRel) || std::mem::take(&mut must_look) || core.has_more())
            {
                core.round();
            }
            if core.is_over() {
                return slot.take();
            }
            drop(slot);
            fence(SeqCst);
            if !self.rung.load(Relaxed) {
                if self.woken.recv().is_err() {
                    // nobody is left who could ring
                    return self.core.lock().ok()?.take();
                }
                must_look = true;
            }
        }
    }

    /// One round, by a caller.
    fn run_round(&self) -> RoundOutcome {
        let mut slot = match self.core.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::WouldBlock) => return RoundOutcome::NotHere,
            Err(TryLockError::Poisoned(_)) => return RoundOutcome::More,
        };
        let Some(core) = slot.as_mut() else { return RoundOutcome::NotHere };
        if core.is_over() {
            return RoundOutcome::More;
        }
        if !self.rung.swap(false, AcqRel) && !core.has_more() {
            return RoundOutcome::AtRest;
        }
        if catch_unwind(AssertUnwindSafe(|| core.round())).is_err() {
            // reported by its own thread; this one, perhaps of a host, goes on
            *slot = None;
            return RoundOutcome::More;
        }
        if core.is_over() || core.has_more() { RoundOutcome::More } else { RoundOutcome::AtRest }
    }
}

impl CallerRuns for CoreRunner {
    fn rung(&self, bell: &Bell) {
        self.rung.store(true, Release);
        for _ in 0..ROUNDS_OF_CALLER {
            // CORE-SEEN: whoever holds the lock now either sees the ring when it has given the lock back, or has given it back
            fence(SeqCst);
            match self.run_round() {
                RoundOutcome::NotHere => return,
                RoundOutcome::More => return bell.wake(),
                RoundOutcome::AtRest => {}
            }
            fence(SeqCst);
            if !self.rung.load(Relaxed) {
                return;
            }
        }
        bell.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use crate::death_watch::{DeathWatch, ExitCell, NodeExit};
    use messages::SinkId;
    use messages::admin::Control;
    use messages::read::ReadIndex;
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A core that leads alone, so that it answers reads by itself.
    fn sole_leader() -> super::super::testing::Bench {
        let mut bench = bench(1);
        // its vote, and the first entry of its term
        for _ in 0..2 {
            bench.persist();
            bench.apply();
        }
        assert!(bench.core.is_settled_leader());
        bench
    }

    #[test]
    fn whatever_is_rung_for_is_seen_by_somebody() {
        const THREADS: u64 = 4;
        const READS: u64 = 3_000;
        let running = sole_leader().run(DeathWatch::new("core", ExitCell::default()));
        let seen = Mutex::new(BTreeSet::new());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (running, seen) = (&running, &seen);
                scope.spawn(move || {
                    for read in 0..READS {
                        let token = thread << 32 | read;
                        // one after the other: a ring that nobody sees is not made good by the next one
                        running.port.read(ReadIndex { sink: SinkId(0), tokens: vec![token] }).expect("room");
                        let since = Instant::now();
                        while !seen.lock().expect("not poisoned").remove(&token) {
                            assert!(since.elapsed() < PATIENCE, "CORE-SEEN: {token:x} was never looked at");
                            let answers = running.answers();
                            assert!(answers.iter().all(|(_, why)| why.is_none()), "{answers:?}");
                            seen.lock().expect("not poisoned").extend(answers.into_iter().map(|(token, _)| token));
                        }
                    }
                });
            }
        });
        running.port.stop();
        running.thread.join().expect("an orderly end");
    }

    #[test]
    fn a_stop_that_a_caller_comes_upon_ends_the_thread() {
        let exit = ExitCell::default();
        let running = sole_leader().run(DeathWatch::new("core", exit.clone()));
        assert!(running.port.control(Control::Stop));
        // this thread or the core's own may come upon it first
        let _ = running.port.read(ReadIndex { sink: SinkId(0), tokens: vec![0] });
        running.thread.join().expect("an orderly end");
        assert_eq!(exit.get(), None::<NodeExit>);
        assert!(running.port.read(ReadIndex { sink: SinkId(0), tokens: vec![1] }).is_err(), "nobody takes it");
    }
}
