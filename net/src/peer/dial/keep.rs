//! Keeps one peer reachable for messages: sends on a connection that the peer has dialled, or dials, and begins again when it ends.
//!
//! Nobody waits longer than needed: a connection of the peer is used at once, whatever dial or pause was under way, and a peer whose
//! connection may not be sent on is dialled at once.

use super::backoff::Backoff;
use super::certificate;
use super::route::{DialError, Route};
use crate::peer::codec::hello::Refusal;
use crate::peer::lanes::outbox::Outbox;
use crate::peer::session::context::Context;
use crate::peer::session::offer::{Offers, Standing};
use crate::peer::session::quic::send_back;
use crate::peer::session::sending::{ConnectionKind, End, Origin, SendingLink, run};
use raft::NodeId;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// Dials over UDP that may stay without an answer before TCP is tried.
const SILENT_DIALS: u32 = 2;

/// What came of an attempt to reach the peer.
enum Connected {
    Link(Box<SendingLink>),
    /// Something came up meanwhile: the next attempt is made at once.
    Again,
    Failed(DialError),
}

/// One peer's keeper.
pub struct Keeper {
    context: Rc<Context>,
    route: Rc<Route>,
    outbox: Arc<Outbox>,
    kick: Rc<Notify>,
    offers: Rc<Offers>,
    /// Dials over UDP in a row that stayed without an answer.
    silent: u32,
    /// UDP did not pass and TCP did: the next dial does not wait for UDP again.
    tcp_first: bool,
}

impl Keeper {
    /// Of the peer that `route` leads to.
    pub fn new(context: Rc<Context>, route: Rc<Route>, outbox: Arc<Outbox>) -> Self {
        let kick = context.registry.kick(route.peer);
        let offers = context.registry.offers(route.peer);
        offers.demand_proof(route.demands_proof());
        Self { context, route, outbox, kick, offers, silent: 0, tcp_first: false }
    }

    /// Runs until `stop` becomes true or its sender is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let first = self.context.config.heartbeat / 2;
        let most = self.context.config.election.max(Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        loop {
            let kicked = Cell::new(false);
            let connected = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                connected = self.connect(&kicked) => connected,
            };
            match connected {
                Connected::Link(link) => {
                    backoff.reset();
                    let end = self.session(*link, &mut stop).await;
                    if matches!(end, End::Closed) && *stop.borrow() {
                        return;
                    }
                    if matches!(end, End::Closed | End::NewerRun | End::Replaced) {
                        continue;
                    }
                }
                Connected::Again => {
                    backoff.reset();
                    continue;
                }
                Connected::Failed(why) => self.report(&why),
            }
            if kicked.get() {
                backoff.reset();
                continue;
            }
            let (route, kick, offers) = (self.route.clone(), self.kick.clone(), self.offers.clone());
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = offers.arrived() => {}
                () = kick.notified() => backoff.reset(),
                () = route.changed.notified() => backoff.reset(),
                () = sleep(backoff.next_pause()) => {}
            }
        }
    }

    /// A connection of the peer that may be sent on, or one that is dialled.
    async fn connect(&mut self, kicked: &Cell<bool>) -> Connected {
        self.offers.demand_proof(self.route.demands_proof());
        if let Some(link) = self.take_offer().await {
            return Connected::Link(Box::new(link));
        }
        let (context, kick, offers) = (self.context.clone(), self.kick.clone(), self.offers.clone());
        let peer = self.route.peer;
        // what a peer of a newer run answers to a dial of before is not waited for
        let epoch = context.registry.epoch(peer);
        tokio::select! {
            biased;
            () = offers.arrived() => Connected::Again,
            () = newer_run(&context, peer, &kick, epoch, kicked) => Connected::Again,
            dialled = self.dial() => match dialled {
                Ok(link) => Connected::Link(Box::new(link)),
                Err(why) => Connected::Failed(why),
            }
        }
    }

    async fn take_offer(&self) -> Option<SendingLink> {
        let offered = self.offers.take()?;
        match timeout(self.context.config.dial_timeout(), send_back(offered)).await {
            Ok(Ok(link)) => Some(link),
            // it broke meanwhile
            Ok(Err(_)) | Err(_) => None,
        }
    }

    async fn dial(&mut self) -> Result<SendingLink, DialError> {
        if !self.context.config.path.udp || self.route.is_path() {
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
        let (dialled_here, replaced) = match &link.origin {
            Origin::Here(_) => (true, None),
            Origin::There(standing) => (false, Some(standing.clone())),
        };
        let peer = format_args!("{:x}", self.route.peer).to_string();
        let epoch = link.epoch;
        let over_tcp = matches!(link.kind, ConnectionKind::Tcp);
        if let Some(repeated) = self.context.throttle.pass(self.route.peer, "active") {
            tracing::info!(peer, over_tcp, dialled_here, repeated, "peer became active");
        }
        self.context.throttle.reset(self.route.peer, "dial");
        let udp_passes = Cell::new(false);
        let kicked = Cell::new(false);
        let close = async {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => End::Closed,
                () = self.offers.arrived() => End::Replaced,
                () = is_replaced(replaced) => End::Replaced,
                () = newer_run(&self.context, self.route.peer, &self.kick, epoch, &kicked) => End::NewerRun,
                // where the peer dialled from has nothing to do with its URLs
                () = self.route.changed.notified(), if dialled_here => End::Closed,
                () = self.udp_again(over_tcp) => { udp_passes.set(true); End::Closed }
                end = self.try_own_way(dialled_here) => end,
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
            if self.route.try_handshake().await.is_ok() {
                return;
            }
        }
    }

    /// A member that sends on the peer's connection finds out whether it could dial as well, and says it if not: one day it will have to.
    async fn try_own_way(&self, dialled_here: bool) -> End {
        let context = &self.context;
        if !dialled_here && context.config.path.udp {
            sleep(context.config.heartbeat).await;
            if let Err(why) = self.route.try_handshake().await
                && let Some(repeated) = context.throttle.pass(self.route.peer, "own way")
            {
                let peer = format_args!("{:x}", self.route.peer);
                let complaint = certificate::after_dial(&why).unwrap_or("its own dial fails");
                tracing::warn!(
                    %peer, error = complaint, details = %why, repeated,
                    "this member reaches a peer only on the connection that the peer has dialled"
                );
            }
        }
        std::future::pending().await
    }

    fn report(&self, why: &DialError) {
        if why.is_overtaken() {
            return;
        }
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

/// Resolves when a connection that the peer dialled has been replaced by a newer one. What is received no more because the peer was removed
/// may still be sent on.
async fn is_replaced(standing: Option<watch::Receiver<Standing>>) {
    if let Some(mut standing) = standing
        && standing.wait_for(|standing| *standing == Standing::Replaced).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
