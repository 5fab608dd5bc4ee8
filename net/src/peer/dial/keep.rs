//! Keeps the raft connection to one peer up: dials, runs the session, dials again.
//!
//! Nobody waits longer than needed: a peer that connects by itself is dialled at once, whatever pause was under way.

use super::backoff::Backoff;
use super::certificate;
use super::route::{DialError, Route};
use crate::peer::codec::hello::Refusal;
use crate::peer::lanes::outbox::Outbox;
use crate::peer::session::context::Context;
use crate::peer::session::sending::{ConnectionKind, End, SendingLink, run};
use raft::NodeId;
use std::cell::Cell;
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
    /// Dials over UDP in a row that stayed without an answer.
    silent: u32,
    /// UDP did not pass and TCP did: the next dial does not wait for UDP again.
    tcp_first: bool,
}

impl Keeper {
    /// Of the peer that `route` leads to.
    pub fn new(context: Rc<Context>, route: Rc<Route>, outbox: Arc<Outbox>) -> Self {
        let kick = context.registry.kick(route.peer);
        Self { context, route, outbox, kick, silent: 0, tcp_first: false }
    }

    /// Runs until `stop` becomes true or its sender is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let first = self.context.config.heartbeat / 2;
        let most = self.context.config.election.max(Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        loop {
            // what a peer of a newer run answers to a dial of before is not waited for
            let context = self.context.clone();
            let peer = self.route.peer;
            let epoch = context.registry.epoch(peer);
            let kicked = Cell::new(false);
            let kick = self.kick.clone();
            let dialled = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = newer_run(&context, peer, &kick, epoch, &kicked) => {
                    backoff.reset();
                    continue;
                }
                dialled = self.dial() => dialled,
            };
            match dialled {
                Ok(link) => {
                    backoff.reset();
                    let end = self.session(link, &mut stop).await;
                    if matches!(end, End::Closed) && *stop.borrow() {
                        return;
                    }
                    if matches!(end, End::Closed | End::NewerRun) {
                        continue;
                    }
                }
                Err(why) => self.report(&why),
            }
            if kicked.get() {
                backoff.reset();
                continue;
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

    async fn dial(&mut self) -> Result<SendingLink, DialError> {
        if !self.context.config.path.udp {
            return self.route.raft_over_tcp().await;
        }
        if self.tcp_first {
            let dialled = self.route.raft_over_tcp().await;
            self.tcp_first = dialled.is_ok();
            return dialled;
        }
        let silence = match self.route.raft_over_quic().await {
            Ok(link) => {
                self.silent = 0;
                return Ok(link);
            }
            Err(why) if why.is_silence() => why,
            Err(why) => return Err(why),
        };
        self.silent = self.silent.saturating_add(1);
        if self.silent < SILENT_DIALS {
            return Err(silence);
        }
        let link = self.route.raft_over_tcp().await.map_err(|_| silence)?;
        self.tcp_first = true;
        self.name_udp();
        Ok(link)
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

    /// Runs a connection to its end.
    async fn session(&mut self, link: SendingLink, stop: &mut watch::Receiver<bool>) -> End {
        let peer = format_args!("{:x}", self.route.peer).to_string();
        let epoch = link.epoch;
        let over_tcp = matches!(link.kind, ConnectionKind::Tcp);
        if let Some(repeated) = self.context.throttle.pass(self.route.peer, "active") {
            tracing::info!(peer, over_tcp, repeated, "peer became active");
        }
        self.context.throttle.reset(self.route.peer, "dial");
        let udp_passes = Cell::new(false);
        let kicked = Cell::new(false);
        let close = async {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => End::Closed,
                () = newer_run(&self.context, self.route.peer, &self.kick, epoch, &kicked) => End::NewerRun,
                () = self.route.changed.notified() => End::Closed,
                () = self.udp_again(over_tcp) => { udp_passes.set(true); End::Closed }
            }
        };
        let end = run(&self.context, &self.outbox, link, close).await;
        if let Some(repeated) = self.context.throttle.pass(self.route.peer, "inactive") {
            tracing::warn!(peer, reason = %end, repeated, "peer became inactive (message send to peer failed)");
        }
        if udp_passes.get() {
            self.silent = 0;
            self.tcp_first = false;
        }
        end
    }

    /// While messages go over TCP, tries once in a while whether UDP passes again. The connection of the try is not used: its hello would
    /// end the one that works before it is known to work itself.
    async fn udp_again(&self, over_tcp: bool) {
        if !over_tcp || !self.context.config.path.udp {
            return std::future::pending().await;
        }
        loop {
            sleep(self.context.config.path.udp_retry).await;
            if self.route.udp_passes().await {
                return;
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
        if let Some(complaint) = certificate::after_dial(why) {
            tracing::warn!(
                local, peer, error = complaint, details = %why, repeated,
                "the peer does not take the certificate of this member; see its log for the reason, and --peer-cert-file here"
            );
            return;
        }
        match refusal {
            None => tracing::warn!(local, peer, error = %why, repeated, "cannot connect to a peer"),
            Some(_) => {
                let cluster = format_args!("{:x}", context.config.cluster);
                tracing::warn!(local, peer, cluster, error = %why, repeated, "{what}");
            }
        }
    }
}

/// Resolves when a run of `peer` shows itself that is newer than `epoch`. Notes when the peer connected at all.
async fn newer_run(context: &Context, peer: NodeId, kick: &Notify, epoch: u64, kicked: &Cell<bool>) {
    loop {
        kick.notified().await;
        kicked.set(true);
        if context.registry.epoch(peer) > epoch {
            return;
        }
    }
}
