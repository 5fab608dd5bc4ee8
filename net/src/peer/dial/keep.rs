//! Keeps the raft connection to one peer up: dials, runs the session, dials again.
//!
//! Nobody waits longer than needed: a peer that shows a newer run of itself is dialled at once, whatever pause was under way.

use super::backoff::Backoff;
use super::route::{DialError, Route};
use crate::peer::codec::hello::Refusal;
use crate::peer::lanes::outbox::Outbox;
use crate::peer::session::context::Context;
use crate::peer::session::sending::{Carrier, End, SendingLink, run};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// Dials over UDP that may stay without an answer before TCP is tried.
const SILENT_DIALS: u32 = 2;

/// One peer's keeper.
pub struct Keeper {
    context: Rc<Context>,
    route: Rc<Route>,
    outbox: Arc<Outbox>,
    kick: Rc<Notify>,
    silent: u32,
}

impl Keeper {
    /// Of the peer that `route` leads to.
    pub fn new(context: Rc<Context>, route: Rc<Route>, outbox: Arc<Outbox>) -> Self {
        let kick = context.registry.kick(route.peer);
        Self { context, route, outbox, kick, silent: 0 }
    }

    /// Runs until `stop` becomes true or its sender is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let first = self.context.config.heartbeat / 2;
        let most = self.context.config.election.max(Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        let mut upgrade = None;
        loop {
            let kick = self.kick.clone();
            let dialled = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = kick.notified() => { backoff.reset(); continue }
                dialled = self.dial(upgrade.take()) => dialled,
            };
            match dialled {
                Ok(link) => {
                    backoff.reset();
                    let (end, found) = self.session(link, &mut stop).await;
                    upgrade = found;
                    if matches!(end, End::Closed) && *stop.borrow() {
                        return;
                    }
                    if matches!(end, End::Closed | End::NewerRun) {
                        continue;
                    }
                }
                Err(why) => self.report(&why),
            }
            let route = self.route.clone();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = kick.notified() => backoff.reset(),
                () = route.changed.notified() => backoff.reset(),
                () = sleep(backoff.next_pause()) => {}
            }
        }
    }

    async fn dial(&mut self, ready: Option<SendingLink>) -> Result<SendingLink, DialError> {
        if let Some(link) = ready {
            return Ok(link);
        }
        let over_udp = if self.context.config.path.udp {
            match self.route.raft_over_quic().await {
                Ok(link) => {
                    self.silent = 0;
                    return Ok(link);
                }
                Err(why) if why.is_silence() => {
                    self.silent = self.silent.saturating_add(1);
                    if self.silent < SILENT_DIALS {
                        return Err(why);
                    }
                    Some(why)
                }
                Err(why) => return Err(why),
            }
        } else {
            None
        };
        match self.route.raft_over_tcp().await {
            Ok(link) => {
                if over_udp.is_some() {
                    self.name_udp();
                }
                Ok(link)
            }
            Err(why) => Err(over_udp.unwrap_or(why)),
        }
    }

    fn name_udp(&self) {
        if let Some(repeated) = self.context.throttle.pass(self.route.peer, "udp") {
            let peer = format_args!("{:x}", self.route.peer);
            tracing::warn!(
                %peer,
                repeated,
                "the peer answers over TCP but not over UDP: messages go over TCP, which is slower; let UDP pass on the \
                 peer port of both members"
            );
        }
    }

    /// Runs a connection. With its end comes the connection that is to replace it, if there is one.
    async fn session(&self, link: SendingLink, stop: &mut watch::Receiver<bool>) -> (End, Option<SendingLink>) {
        let peer = format_args!("{:x}", self.route.peer).to_string();
        let epoch = link.epoch;
        let over_tcp = matches!(link.carrier, Carrier::Tcp);
        tracing::info!(peer, over_tcp, "peer became active");
        self.context.throttle.reset(self.route.peer, "dial");
        let upgrade = RefCell::new(None);
        let close = async {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => End::Closed,
                () = self.newer_run(epoch) => End::NewerRun,
                () = self.route.changed.notified() => End::Closed,
                link = self.udp_again(over_tcp) => { upgrade.replace(Some(link)); End::Closed }
            }
        };
        let end = run(&self.context, &self.outbox, link, close).await;
        tracing::warn!(peer, reason = %end, "peer became inactive (message send to peer failed)");
        (end, upgrade.into_inner())
    }

    async fn newer_run(&self, epoch: u64) {
        loop {
            self.kick.notified().await;
            if self.context.registry.epoch(self.route.peer) > epoch {
                return;
            }
        }
    }

    /// While messages go over TCP, tries once in a while whether UDP passes again.
    async fn udp_again(&self, over_tcp: bool) -> SendingLink {
        if !over_tcp || !self.context.config.path.udp {
            return std::future::pending().await;
        }
        loop {
            sleep(self.context.config.path.udp_retry).await;
            if let Ok(link) = self.route.raft_over_quic().await {
                return link;
            }
        }
    }

    fn report(&self, why: &DialError) {
        let context = &self.context;
        let refusal = why.refusal();
        if refusal == Some(Refusal::Removed) {
            context.inbound.told_removed(self.route.peer, self.route.is_authenticated());
        }
        let what = match refusal {
            None => "dial",
            Some(Refusal::WrongCluster) => "request sent was ignored by remote peer due to cluster ID mismatch",
            Some(Refusal::Removed) => "the member has been permanently removed from the cluster",
            Some(_) => "request sent was refused by remote peer",
        };
        let Some(repeated) = context.throttle.pass(self.route.peer, what) else { return };
        let local = format_args!("{:x}", context.config.own);
        let peer = format_args!("{:x}", self.route.peer);
        match refusal {
            None => tracing::warn!(local, peer, error = %why, repeated, "cannot connect to a peer"),
            Some(_) => {
                let cluster = format_args!("{:x}", context.config.cluster);
                tracing::warn!(local, peer, cluster, error = %why, repeated, "{what}");
            }
        }
    }
}
