//! Watches: watchers of one range share a watch at the cluster, and each is told what it would be told there.
//!
//! [`coalescer`] decides who shares what, [`hub`] owns it, [`upstream`] holds the streams to the cluster, [`client`] those of clients,
//! whose bounded queues are in [`queue`].

mod client;
mod coalescer;
#[cfg(test)]
mod coalescer_tests;
mod hub;
mod queue;
mod upstream;

pub(crate) use client::{Subscription, serve};
pub(crate) use hub::Watches;
