//! The lease manager's shell: an actix actor on its own arbiter. Tells the service what time it is and hands it every message.
//!
//! Time is looked at with every message, so a full mailbox delays no deadline; a timer thread sees to it that there is one.
//! Must never decide anything about a lease.

use super::forwarding::{LeaderAnswer, LeaderAnswered, LeaderCall, LeaderCalls, LeaderQuestion};
use super::service::{LeaseService, LeaseServiceParts};
use super::table::TICK;
use crate::calls::PeerCalls;
use crate::calls::kinds::{LeaseTimes, RenewLeases};
use crate::clock::Clock;
use crate::death_watch::{DeathWatch, ExitCell};
use crate::timer;
use crate::wiring::leases::{LeaseCall, LeasesAdvanced, RebuildLeases, RoleChanged};
use actix::{Actor, ActorContext, Addr, ArbiterHandle, AsyncContext, Context, Handler};
use messages::Reply;
use messages::lease::LeaseRequests;
use messages::reply::ReplySink;
use std::time::Duration;

/// What a lease manager is made of.
pub struct LeaseParts {
    /// Who decides. Under its sink a [`LeaseSink`] is registered.
    pub service: LeaseServiceParts,
    /// To other members.
    pub calls: PeerCalls,
    /// Its time, which must go on while the machine is suspended: the others may have elected a leader meanwhile.
    pub clock: Clock,
    /// Where its end is noted.
    pub exit: ExitCell,
}

/// Takes answers to the manager's own proposals and reads; to be registered under its service's sink.
pub struct LeaseSink(pub Addr<LeaseManager>);

impl ReplySink for LeaseSink {
    fn deliver(&self, replies: Vec<Reply>) {
        self.0.do_send(Answers(replies));
    }
}

/// The way to the leader's manager: the answer comes back as a message.
struct CallLeader {
    calls: PeerCalls,
    address: Addr<LeaseManager>,
}

impl LeaderCalls for CallLeader {
    fn call(&self, call: LeaderCall) {
        let LeaderCall { number, leader, question, ids, patience } = call;
        let address = self.address.clone();
        let tell = move |result| address.do_send(LeaderAnswered { number, result });
        match question {
            LeaderQuestion::Renew => self
                .calls
                .ask::<RenewLeases>(leader, ids, patience, move |result| tell(result.map(LeaderAnswer::Renewals))),
            LeaderQuestion::Times => {
                self.calls
                    .ask::<LeaseTimes>(leader, ids, patience, move |result| tell(result.map(LeaderAnswer::Times)));
            }
        }
    }
}

/// Ends the manager.
#[derive(Clone, Copy, Debug)]
pub struct StopLeases;

struct Answers(Vec<Reply>);

struct Tick;

impl actix::Message for StopLeases {
    type Result = ();
}

impl actix::Message for LeaderAnswered {
    type Result = ();
}

impl actix::Message for Answers {
    type Result = ();
}

impl actix::Message for Tick {
    type Result = ();
}

/// The actor.
pub struct LeaseManager {
    service: LeaseService,
    exit: ExitCell,
    watch: Option<DeathWatch>,
    clock: Clock,
    /// When it started, by its clock.
    start: Duration,
    /// Dropped to end the timer thread.
    _timer: Option<crossbeam_channel::Sender<()>>,
}

impl LeaseManager {
    /// Starts a manager on an arbiter.
    pub fn start(parts: LeaseParts, arbiter: &ArbiterHandle) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            let LeaseParts { service, calls, clock, exit } = parts;
            let calls = CallLeader { calls, address: ctx.address() };
            Self {
                service: LeaseService::new(service, Box::new(calls)),
                watch: Some(DeathWatch::new("lease manager", exit.clone())),
                exit,
                start: clock(),
                clock,
                _timer: None,
            }
        })
    }

    fn now(&self) -> u64 {
        (self.clock)().saturating_sub(self.start).as_millis() as u64
    }
}

impl Actor for LeaseManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let address = ctx.address();
        let beat = move || {
            // one that meets a full mailbox is made up for by the next message
            let _ = address.try_send(Tick);
        };
        match timer::start("lease-tick", Duration::from_millis(TICK / 2), &self.exit, beat) {
            Ok(timer) => self._timer = Some(timer),
            Err(why) => {
                if let Some(watch) = &mut self.watch {
                    watch.fail(format!("cannot start its timer: {why}"));
                }
                ctx.stop();
            }
        }
    }
}

impl Handler<LeasesAdvanced> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: LeasesAdvanced, _: &mut Self::Context) {
        let now = self.now();
        self.service.advanced(message, now);
    }
}

impl Handler<RoleChanged> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: RoleChanged, _: &mut Self::Context) {
        let now = self.now();
        self.service.role(message, now);
    }
}

impl Handler<RebuildLeases> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: RebuildLeases, _: &mut Self::Context) {
        let now = self.now();
        self.service.rebuild(message, now);
    }
}

impl Handler<LeaseCall> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: LeaseCall, _: &mut Self::Context) {
        let now = self.now();
        self.service.peer_call(message, now);
    }
}

impl Handler<LeaderAnswered> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: LeaderAnswered, _: &mut Self::Context) {
        let now = self.now();
        self.service.leader_answered(message, now);
    }
}

impl Handler<LeaseRequests> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: LeaseRequests, _: &mut Self::Context) {
        let now = self.now();
        self.service.requests(message, now);
    }
}

impl Handler<Answers> for LeaseManager {
    type Result = ();

    fn handle(&mut self, message: Answers, _: &mut Self::Context) {
        let now = self.now();
        self.service.answers(message.0, now);
    }
}

impl Handler<Tick> for LeaseManager {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        let now = self.now();
        self.service.tick(now);
    }
}

impl Handler<StopLeases> for LeaseManager {
    type Result = ();

    fn handle(&mut self, _: StopLeases, ctx: &mut Self::Context) {
        if let Some(watch) = self.watch.take() {
            watch.finish();
        }
        ctx.stop();
    }
}
