//! The kernel: makes every queue, then every owner, in an order in which nobody is spoken to before it lives; and ends them
//! in the order in which nothing is lost.
//!
//! | file | idea |
//! |---|---|
//! | [`assembly`] | what a node is put together from |
//! | `queues` | the queues, and which ends each owner gets |
//! | `start` | the owners, in order |
//! | `hand_over` | who leads when this member stops |
//! | `stop` | their end, in order |
//!
//! The only room that sees everyone. Must never decide anything about data.

pub mod assembly;
#[cfg(test)]
mod cluster_tests;
mod hand_over;
mod queues;
mod start;
mod stop;

pub use assembly::{Assembly, FIRST_CLIENT_SINK, LEASE_SINK, StartError};
pub use hand_over::HandOver;

use crate::death_watch::ExitCell;
use messages::Ports;
use start::Started;
use stop::Running;
use storage::engine::Engine;

/// A running node. Dropped without [`Kernel::stop`], it is stopped in the background.
pub struct Kernel {
    ports: Ports,
    exit: ExitCell,
    running: Option<Running>,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let (ports, exit) = (self.ports.clone(), self.exit.clone());
            // nobody waits for it: the folder is free a moment later
            std::thread::spawn(move || running.stop(&ports, &exit));
        }
    }
}

impl Kernel {
    /// Starts all owners. Must be called inside an actix system.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start<E: Engine>(assembly: Assembly<E>) -> Result<Self, StartError> {
        let Started { ports, exit, running } = start::start(assembly)?;
        Ok(Self { ports, exit, running: Some(running) })
    }

    /// Sending ends for clients.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Where the node's end is noted.
    pub fn exit(&self) -> &ExitCell {
        &self.exit
    }

    /// Begins to hand leadership over, before a stop: to the voter that has been connected for the longest time, as etcd does. A
    /// member that does not lead, or leads nobody, has nothing to hand over. See [`HandOver::wait`].
    pub fn hand_over(&self) -> HandOver {
        let transport = self.running.as_ref().and_then(|running| running.transport.as_deref());
        HandOver::begin(&self.ports, transport)
    }

    /// Ends all owners, each after those that feed it. Blocking: call it off the arbiters.
    pub fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop(&self.ports, &self.exit);
        }
    }
}
