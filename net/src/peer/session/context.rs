//! What all connections of a member share. It lives on the transport's arbiter, so it needs no locks.

use super::registry::Registry;
use super::throttle::Throttle;
use crate::peer::codec::error::FRAME_VERSION;
use crate::peer::codec::hello::{DialNumbers, Hello, Purpose};
use crate::peer::codec::reader::Ends;
use crate::peer::codec::talk::Vitals;
use crate::peer::config::PeerConfig;
use crate::peer::metrics::PeerMetrics;
use crate::peer::port::Inbound;
use arc_swap::ArcSwap;
use raft::NodeId;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Shared by all tasks of a transport.
pub struct Context {
    /// Settings.
    pub config: PeerConfig,
    /// Whom the transport works for.
    pub inbound: Arc<dyn Inbound>,
    /// Counters.
    pub metrics: PeerMetrics,
    /// What peers are told.
    pub vitals: Arc<ArcSwap<Vitals>>,
    /// Runs and connections of peers.
    pub registry: Rc<Registry>,
    /// Keeps repeated lines back.
    pub throttle: Throttle,
    /// Zero of the stamps in vitals.
    pub started: Instant,
}

impl Context {
    /// This member's hello to `to`.
    pub fn hello(&self, to: NodeId, purpose: Purpose, both_ways: Option<DialNumbers>) -> Hello {
        Hello {
            cluster: self.config.cluster,
            member: self.config.own,
            to,
            boot_epoch: self.config.boot_epoch,
            oldest: FRAME_VERSION,
            newest: FRAME_VERSION,
            purpose,
            both_ways,
        }
    }

    /// The ends of a stream to or from `peer`.
    pub fn ends(&self, peer: NodeId) -> Ends {
        Ends { own: self.config.own, peer }
    }

    /// Microseconds of this run, never zero.
    pub fn stamp(&self) -> u64 {
        self.started.elapsed().as_micros() as u64 + 1
    }
}
