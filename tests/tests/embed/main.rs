//! The embedded node as a host sees it: in-process client, several nodes in one system, stops, restarts, failures.
//!
//! Must never reach into a node's inside: what a host cannot see is not tested here.

mod auth;
mod corruption;
mod defragment;
mod divergence;
mod failure;
mod host;
mod leaders;
mod members;
mod membership;
mod scrub;
mod several;
mod snapshots;
