//! Leadership handed over before this member stops, so that its clients need not wait for an election.
//!
//! Decides only in which order the others are preferred: the raft core knows who can lead. Must never delay a stop by more than the
//! patience it is given.

use crossbeam_channel::{Receiver, bounded};
use messages::Ports;
use messages::admin::Control;
use messages::peer::Transport;
use std::time::{Duration, Instant};

/// Leadership on its way to somebody else.
#[derive(Debug)]
pub struct HandOver(Option<Receiver<u64>>);

impl HandOver {
    /// Begins it; nothing happens without other members.
    pub(super) fn begin(ports: &Ports, transport: Option<&dyn Transport>) -> Self {
        let Some(transport) = transport else { return Self(None) };
        let mut connected: Vec<(Instant, u64)> = match ports.reads.members() {
            Ok(members) => members.iter().filter_map(|m| Some((transport.active_since(m.id)?, m.id))).collect(),
            Err(_) => Vec::new(),
        };
        connected.sort_unstable();
        let preferred = connected.into_iter().map(|(_, id)| id).collect();
        let (left, wait) = bounded(1);
        // a core that is busy or gone: others elect somebody when they hear nothing any more
        Self(ports.core.control(Control::HandOver { preferred, left }).then_some(wait))
    }

    /// Waits until somebody else leads; false when nobody does within `patience`, or nobody could. Blocking.
    pub fn wait(self, patience: Duration) -> bool {
        self.0.is_none_or(|wait| wait.recv_timeout(patience).is_ok())
    }
}
