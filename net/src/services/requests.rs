//! The requests of one round, as one list for each receiver.
//!
//! Must never lose a request: a list that its receiver cannot take now stays for the next attempt, and requests to a
//! receiver that has ended are answered.

use crossbeam_channel::TrySendError;
use messages::lease::{LeaseAsk, LeaseRequests};
use messages::propose::{Proposal, Propose};
use messages::read::ReadIndex;
use messages::watch::{ToHub, WatchRequests};
use messages::{Ports, Reply, ReplyBody, RequestError, SinkId, Token};

/// Requests of a round that have not been sent.
#[derive(Default)]
pub(super) struct RoundRequests {
    pub(super) proposals: Vec<Proposal>,
    pub(super) reads: Vec<Token>,
    pub(super) watch: Vec<ToHub>,
    pub(super) leases: Vec<(Token, LeaseAsk)>,
}

impl RoundRequests {
    /// Sends every list whose receiver can take it. Returns the answers to requests whose receiver has ended.
    pub(super) fn send(&mut self, ports: &Ports, sink: SinkId) -> Vec<Reply> {
        let mut refused = self.send_proposals(ports, sink);
        refused.extend(self.send_reads(ports, sink));
        if !self.watch.is_empty() {
            ports.hub.do_send(WatchRequests(std::mem::take(&mut self.watch)));
        }
        if !self.leases.is_empty() {
            ports.leases.do_send(LeaseRequests { sink, asks: std::mem::take(&mut self.leases) });
        }
        refused
    }

    /// True while the core could not take a list.
    pub(super) fn has_backlog(&self) -> bool {
        !self.proposals.is_empty() || !self.reads.is_empty()
    }

    fn send_proposals(&mut self, ports: &Ports, sink: SinkId) -> Vec<Reply> {
        if self.proposals.is_empty() {
            return Vec::new();
        }
        let list = Propose { sink, proposals: std::mem::take(&mut self.proposals) };
        match ports.core.propose(list) {
            Ok(()) => Vec::new(),
            Err(TrySendError::Full(list)) => {
                self.proposals = list.proposals;
                Vec::new()
            }
            Err(TrySendError::Disconnected(list)) => {
                let stopped =
                    |p: Proposal| Reply { token: p.token, body: ReplyBody::Applied(Err(RequestError::Stopped)) };
                list.proposals.into_iter().map(stopped).collect()
            }
        }
    }

    fn send_reads(&mut self, ports: &Ports, sink: SinkId) -> Vec<Reply> {
        if self.reads.is_empty() {
            return Vec::new();
        }
        let list = ReadIndex { sink, tokens: std::mem::take(&mut self.reads) };
        match ports.core.read(list) {
            Ok(()) => Vec::new(),
            Err(TrySendError::Full(list)) => {
                self.reads = list.tokens;
                Vec::new()
            }
            Err(TrySendError::Disconnected(list)) => {
                let stopped = |token| Reply { token, body: ReplyBody::ReadGranted(Err(RequestError::Stopped)) };
                list.tokens.into_iter().map(stopped).collect()
            }
        }
    }
}
