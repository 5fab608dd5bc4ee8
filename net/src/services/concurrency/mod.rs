//! Locks and elections: queues of keys with leases, whose oldest key holds the lock or leads.
//!
//! | file | |
//! |---|---|
//! | [`lock`], [`election`], [`observe`] | the methods |
//! | [`entry`] | entering a queue, and leaving it |
//! | [`queue`] | waiting in a queue for the turn |
//! | [`waiter`] | a call in a queue, its answers, and the budget of those that wait |
//! | [`leader`] | who leads an election |
//! | [`keys`] | the keys of a queue, and the commands that make and delete them |
//!
//! Errors carry the code Unknown, as those of etcd, where these services are clients of the store.

mod election;
mod entry;
mod keys;
mod leader;
mod lock;
mod observe;
mod queue;
mod short;
mod waiter;

use super::client_services::ClientServices;
use crate::door::MethodTable;
use queue::WaitQueue;
use std::rc::Rc;

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let queue = Rc::new(WaitQueue::new(services));
    lock::register(services, &queue, table);
    election::register(services, &queue, table);
    observe::register(services, table);
}
