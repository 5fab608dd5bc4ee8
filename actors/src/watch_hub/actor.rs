//! The watch hub's shell: an actix actor on its own arbiter, two reader threads, one list of answers per sink and message.
//!
//! Must never read the store on the arbiter, and never wake a connection thread more than once per message.

use super::config::{HubConfig, HubCounts, Position};
use super::hub::Hub;
use super::jobs::{ReadDone, ReadJob};
use super::source::LogReads;
use crate::death_watch::{DeathWatch, ExitCell};
use crate::timer;
use crate::wiring::events::{Advanced, WatchRevision};
use actix::{Actor, ActorContext, Addr, ArbiterHandle, AsyncContext, Context, Handler};
use crossbeam_channel::{Receiver, Sender};
use messages::reply::Outbox;
use messages::watch::WatchRequests;
use messages::{Gauges, Reply, ReplyBody, Sinks};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

/// Reader threads: a slow scan does not hold up previous key-values.
const READERS: usize = 2;

/// What a hub is made of.
pub struct HubParts {
    /// Sizes and times.
    pub config: HubConfig,
    /// Where the store is when the hub starts; every later move must come as a message.
    pub at: Position,
    /// The store.
    pub source: Arc<dyn LogReads>,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
    /// Bytes of events handed over and not yet taken (the applier adds).
    pub backlog: Arc<AtomicUsize>,
    /// Where its end is noted.
    pub exit: ExitCell,
}

/// Ends the hub.
#[derive(Clone, Copy, Debug)]
pub struct StopHub;

struct Tick;

struct JobDone(ReadDone);

impl actix::Message for StopHub {
    type Result = ();
}

impl actix::Message for Tick {
    type Result = ();
}

impl actix::Message for JobDone {
    type Result = ();
}

/// The actor.
pub struct WatchHub {
    hub: Hub,
    parts: HubParts,
    watch: Option<DeathWatch>,
    /// None only while it ends.
    jobs: Option<Sender<ReadJob>>,
    jobs_out: Receiver<ReadJob>,
    readers: Vec<JoinHandle<()>>,
    /// Dropped to end the timer thread.
    _timer: Option<Sender<()>>,
    start: Instant,
    counted: HubCounts,
}

impl WatchHub {
    /// Starts a hub on an arbiter.
    pub fn start(parts: HubParts, arbiter: &ArbiterHandle) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |_| {
            // jobs are bounded by the hub: one per scan, one for the head, one for previous key-values, one that measures
            let (jobs, jobs_out) = crossbeam_channel::unbounded();
            let watch = DeathWatch::new("watch hub", parts.exit.clone());
            Self {
                hub: Hub::new(parts.config, parts.at),
                parts,
                watch: Some(watch),
                jobs: Some(jobs),
                jobs_out,
                readers: Vec::new(),
                _timer: None,
                start: Instant::now(),
                counted: HubCounts::default(),
            }
        })
    }

    fn start_threads(&mut self, address: &Addr<Self>) -> std::io::Result<()> {
        for n in 0..READERS {
            let jobs = self.jobs_out.clone();
            let source = self.parts.source.clone();
            let address = address.clone();
            let watch = DeathWatch::new("watch reader", self.parts.exit.clone());
            let reader = std::thread::Builder::new().name(format!("watch-reader-{n}")).spawn(move || {
                while let Ok(job) = jobs.recv() {
                    address.do_send(JobDone(job.run(&source)));
                }
                watch.finish();
            })?;
            self.readers.push(reader);
        }
        let address = address.clone();
        self._timer = Some(timer::start("watch-tick", self.parts.config.tick(), &self.parts.exit, move || {
            // one that meets a full mailbox is made up for by the next message
            let _ = address.try_send(Tick);
        })?);
        Ok(())
    }

    /// Hands out what the hub wants done and sent.
    fn flush(&mut self) {
        // data that is not that of the others is shown to nobody: watchers that are behind wait for the right one
        let jobs = if self.is_fenced() { Vec::new() } else { self.hub.take_jobs() };
        for job in jobs {
            // the receiving end is ours
            if let Some(jobs) = &self.jobs {
                let _ = jobs.send(job);
            }
        }
        let mut out = Outbox::default();
        for (stream, frames) in self.hub.take_frames() {
            out.push(stream.sink, Reply { token: stream.token, body: ReplyBody::Watch(frames) });
        }
        out.flush(&self.parts.sinks);
        self.count();
    }

    fn count(&mut self) {
        let counts = self.hub.counts();
        if counts == self.counted {
            return;
        }
        let gauges = &self.parts.gauges;
        gauges.watchers.store(counts.watchers as u64, Relaxed);
        gauges.watch_streams.store(counts.streams as u64, Relaxed);
        gauges.slow_watchers.store(counts.slow as u64, Relaxed);
        gauges.events.fetch_add(counts.events - self.counted.events, Relaxed);
        self.counted = counts;
    }

    fn is_fenced(&self) -> bool {
        self.parts.gauges.fenced.load(Acquire)
    }

    /// What a turn took in which events were sent; `sent` is how many had been before it.
    fn note_sent(&self, begun: Instant, sent: u64) {
        let events = self.counted.events.saturating_sub(sent);
        if events > 0 {
            let (took, measured) = (begun.elapsed(), &self.parts.gauges.measured);
            measured.watch_turns.observe(took);
            measured.watch_events.observe_many(events, took / u32::try_from(events).unwrap_or(u32::MAX));
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

/// The readers hold the store: whoever waits for the hub's arbiter finds the data folder free.
impl Drop for WatchHub {
    fn drop(&mut self) {
        self.jobs = None;
        for reader in self.readers.drain(..) {
            // a panic has been reported by the reader's death watch
            let _ = reader.join();
        }
    }
}

impl Actor for WatchHub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Err(why) = self.start_threads(&ctx.address())
            && let Some(watch) = &mut self.watch
        {
            watch.fail(format!("cannot start its threads: {why}"));
            ctx.stop();
        }
    }
}

impl Handler<Advanced> for WatchHub {
    type Result = ();

    fn handle(&mut self, message: Advanced, _: &mut Self::Context) {
        let Advanced { revision, compact_revision, events, restored } = message;
        let bytes = events.iter().flat_map(|list| list.iter()).map(WatchRevision::bytes).sum::<usize>();
        let (at, begun, sent) = (Position { revision, compact_revision }, Instant::now(), self.counted.events);
        if restored {
            self.hub.restored(at);
        } else {
            self.hub.advanced(at, events);
        }
        self.parts.backlog.fetch_sub(bytes, Relaxed);
        self.flush();
        self.note_sent(begun, sent);
    }
}

impl Handler<WatchRequests> for WatchHub {
    type Result = ();

    fn handle(&mut self, message: WatchRequests, _: &mut Self::Context) {
        // taken now, after the requests arrived: no client can have seen more when it sent them
        let begun = Instant::now();
        let (revision, compact_revision) = self.parts.source.position();
        // of such data nothing is known here beyond what was before
        let at = if self.is_fenced() { Position::default() } else { Position { revision, compact_revision } };
        self.hub.requests(message.0, at);
        self.flush();
        self.parts.gauges.measured.watch_requests.observe(begun.elapsed());
    }
}

impl Handler<JobDone> for WatchHub {
    type Result = ();

    fn handle(&mut self, message: JobDone, ctx: &mut Self::Context) {
        let (begun, sent) = (Instant::now(), self.counted.events);
        match self.hub.done(message.0) {
            Ok(()) => {
                self.flush();
                self.note_sent(begun, sent);
            }
            Err(why) => {
                if let Some(watch) = &mut self.watch {
                    watch.fail(why);
                }
                ctx.stop();
            }
        }
    }
}

impl Handler<Tick> for WatchHub {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        let (now, begun) = (self.now(), Instant::now());
        if self.hub.tick(now) {
            self.flush();
            self.parts.gauges.measured.watch_progress.observe(begun.elapsed());
        } else {
            self.flush();
        }
    }
}

impl Handler<StopHub> for WatchHub {
    type Result = ();

    fn handle(&mut self, _: StopHub, ctx: &mut Self::Context) {
        if let Some(watch) = self.watch.take() {
            watch.finish();
        }
        ctx.stop();
    }
}
