//! Connections that a peer has dialled and on which this member may send as well: handed from the task that accepted one to the task that
//! keeps the peer reachable.
//!
//! Must never hand out a connection whose dialler has proved less than this member asks of whom it dials.

use super::shared::Shared;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::{Notify, watch};

/// How an accepted connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    #[default]
    Counts,
    /// A newer connection, or a newer run of the peer, has replaced it.
    Replaced,
    /// The peer was removed, or this member stops: nothing is received on it any more.
    Left,
}

/// A connection to send on.
#[derive(Debug)]
pub struct Offered {
    /// A share of it.
    pub connection: Shared,
    /// The run of the peer that dialled it.
    pub epoch: u64,
    /// How it stands among the peer's connections.
    pub standing: watch::Receiver<Standing>,
    /// Its dialler has shown a certificate that was checked.
    pub proved: bool,
}

/// The newest connection of one peer that may be sent on.
#[derive(Debug, Default)]
pub struct Offers {
    /// Whoever dials must have proved who it is.
    demands_proof: Cell<bool>,
    /// Hellos that were taken and whose connections are still to come.
    coming: Cell<u32>,
    slot: RefCell<Option<Offered>>,
    rung: Notify,
}

impl Offers {
    /// From now on only connections are taken whose diallers have shown a certificate that was checked.
    pub fn demand_proof(&self, demands: bool) {
        self.demands_proof.set(demands);
    }

    /// A hello was taken whose connection may be sent on; `None` when its dialler has `proved` too little for that. No dial from here
    /// goes on to its hello meanwhile.
    pub fn announce(self: &Rc<Self>, proved: bool) -> Option<Announced> {
        if !self.suffices(proved) {
            return None;
        }
        self.coming.set(self.coming.get() + 1);
        Some(Announced(self.clone()))
    }

    /// Whether there is a connection, or will be in a moment.
    pub fn is_coming(&self) -> bool {
        self.coming.get() > 0 || self.is_there()
    }

    fn suffices(&self, proved: bool) -> bool {
        proved || !self.demands_proof.get()
    }

    fn is_there(&self) -> bool {
        let usable = |offered: &Offered| {
            *offered.standing.borrow() == Standing::Counts
                && self.suffices(offered.proved)
                && offered.connection.connection().close_reason().is_none()
        };
        self.slot.borrow().as_ref().is_some_and(usable)
    }

    /// Resolves when there is a connection.
    pub async fn arrived(&self) {
        loop {
            let rung = self.rung.notified();
            if self.is_there() {
                return;
            }
            rung.await;
        }
    }

    /// Takes it.
    pub fn take(&self) -> Option<Offered> {
        let is_there = self.is_there();
        self.slot.take().filter(|_| is_there)
    }
}

/// A connection whose hello was taken. Dropped, it does not come after all.
#[derive(Debug)]
pub struct Announced(Rc<Offers>);

impl Announced {
    /// Here it is.
    pub fn offer(self, offered: Offered) {
        self.0.slot.replace(Some(offered));
        self.0.rung.notify_waiters();
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.0.coming.set(self.0.coming.get() - 1);
    }
}
