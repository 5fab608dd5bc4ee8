//! A node's doors: loops on arbiters of their own, services on each loop, listeners in front.
//!
//! Loops exist before the actors start (answers go there), listeners open after service has begun.

use crate::door::{
    Door, DoorLimits, HttpHandler, ListenSpec, Listener, LoopHandle, LoopHooks, LoopRunner, LoopSender, LoopSetup,
    Status,
};
use crate::http::{Http, HttpConfig, Metrics, Observer};
use crate::services::{self, ClientServices, ServiceConfig};
use actix_rt::{Arbiter, ArbiterHandle};
use messages::{Ports, Reply, ReplySink, SinkId};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A socket to serve clients on.
pub struct Listen {
    /// The bound socket.
    pub listener: Listener,
    /// How it is spoken.
    pub spec: ListenSpec,
}

impl Listen {
    /// The address it is bound to; `None` for a unix socket.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        match &self.listener {
            Listener::Tcp(tcp) => tcp.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }
}

/// Open connections over all loops, beyond which accepting waits.
const MAX_CONNECTIONS: usize = 32_768;

/// The loops, before they know whom to ask.
pub struct Loops {
    door: Arc<Door>,
    runners: Vec<LoopRunner<Reply>>,
    senders: Vec<LoopSender<Reply>>,
    service: Arc<OnceLock<Service>>,
    metrics: Metrics,
}

/// What a loop's services need, known once the actors run.
struct Service {
    ports: Ports,
    config: Arc<ServiceConfig>,
    first_sink: u32,
}

impl Loops {
    /// Prepares `threads` loops.
    pub fn new(limits: &DoorLimits, threads: usize, http: HttpConfig) -> Self {
        let service: Arc<OnceLock<Service>> = Arc::default();
        let metrics = Metrics::new(threads.max(1));
        let known = service.clone();
        let counters = metrics.clone();
        let setup = Arc::new(move |handle: LoopHandle, _: LoopSender<Reply>| {
            let service = known.get().expect("loops are run after the actors have started");
            set_up(service, handle, &counters, http.clone())
        });
        let limits = DoorLimits { busy: crate::services::status::BUSY, ..limits.clone() };
        let (door, runners, senders) = Door::new(&limits, threads.max(1), MAX_CONNECTIONS, setup);
        Self { door, runners, senders, service, metrics }
    }

    /// Where the actors send answers for these loops, in order of their sink ids.
    pub fn sinks(&self) -> Vec<Arc<dyn ReplySink>> {
        self.senders.iter().map(|sender| Arc::new(LoopSink(sender.clone())) as Arc<dyn ReplySink>).collect()
    }

    /// Runs the loops on arbiters of their own. The first loop's sink has id `first_sink`. Each loop holds a guard: dropped
    /// unfinished it says that the loop died, and with it the connections that were dealt to it.
    ///
    /// # Panics
    /// When called outside an actix system, or twice.
    pub fn run(
        self,
        ports: Ports,
        config: ServiceConfig,
        first_sink: u32,
        guard: impl Fn() -> Box<dyn LoopGuard>,
    ) -> Doors {
        let service = Service { ports, config: Arc::new(config), first_sink };
        assert!(self.service.set(service).is_ok(), "loops are run once");
        let arbiters: Vec<Arbiter> = self
            .runners
            .into_iter()
            .map(|runner| {
                let arbiter = Arbiter::new();
                let guard = guard();
                arbiter.spawn_fn(move || {
                    actix_rt::spawn(async move {
                        let guard = guard;
                        runner.run().await;
                        guard.finished();
                    });
                });
                arbiter
            })
            .collect();
        Doors { door: self.door, arbiters, metrics: self.metrics }
    }
}

/// Watches a loop: must report the death of a loop that is dropped without [`Self::finished`].
pub trait LoopGuard: Send {
    /// The loop ended because it was asked to.
    fn finished(self: Box<Self>);
}

struct LoopSink(LoopSender<Reply>);

impl ReplySink for LoopSink {
    fn deliver(&self, replies: Vec<Reply>) {
        // a loop that has ended needs no answers any more
        self.0.send(replies);
    }
}

/// Running loops. Dropped without [`Doors::close`], they end by themselves, with nobody waiting for it.
pub struct Doors {
    door: Arc<Door>,
    arbiters: Vec<Arbiter>,
    metrics: Metrics,
}

impl Doors {
    /// Accepts clients on a socket, on the first loop's arbiter.
    pub fn open(&self, listen: Listen) {
        let door = self.door.clone();
        let acceptor: ArbiterHandle = self.arbiters[0].handle();
        acceptor.spawn(async move {
            if let Err(why) = door.listen(listen.listener, listen.spec).await {
                tracing::error!(error = %why, "cannot serve clients on a socket");
            }
        });
    }

    /// Counters of the loops, for a metrics page elsewhere.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends: streams with "server stopped", calls within `grace`, then the threads.
    pub async fn close(mut self, grace: Duration, status: Status) {
        self.door.shutdown(grace, status).await;
        let arbiters = std::mem::take(&mut self.arbiters);
        let join = move || {
            for arbiter in arbiters {
                arbiter.stop();
                // a loop that panicked has been reported by its guard
                let _ = arbiter.join();
            }
        };
        // a loop may be inside a long read: the caller's runtime, and its patience, go on meanwhile
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        let handles: Vec<ArbiterHandle> = self.arbiters.iter().map(Arbiter::handle).collect();
        let Some(first) = handles.first().cloned() else { return };
        let door = self.door.clone();
        first.spawn(async move {
            door.shutdown(Duration::ZERO, crate::services::status::STOPPED).await;
            handles.iter().for_each(|arbiter| {
                arbiter.stop();
            });
        });
    }
}

fn set_up(service: &Service, handle: LoopHandle, metrics: &Metrics, http: HttpConfig) -> LoopSetup<Reply> {
    let index = handle.index();
    let sink = SinkId(service.first_sink + index as u32);
    let this = ClientServices::new(handle, service.ports.clone(), sink, service.config.clone());
    let methods = services::methods(&this);
    let counters = metrics.loops[index].clone();
    counters.name_methods(methods.infos());
    let config = &service.config;
    let seed = config.request_id_seed.wrapping_add((index as u64) << 48);
    let tracer = config.tracing.as_ref().map(|tracing| tracing.tracer(service.ports.gauges.clone(), seed));
    let observer = Observer { metrics: counters, tracer, slow_request: config.slow_request };
    let http: Rc<dyn HttpHandler> = Rc::new(Http::new(this.clone(), metrics.clone(), http));
    LoopSetup { methods, http, hooks: Rc::new(Hooks(this)), observer: Rc::new(observer) }
}

struct Hooks(ClientServices);

impl LoopHooks<Reply> for Hooks {
    fn on_messages(&self, list: Vec<Reply>) {
        self.0.on_replies(list);
    }

    fn end_of_round(&self) {
        self.0.end_of_round();
    }

    fn stopping(&self) {
        self.0.stopping();
    }
}
