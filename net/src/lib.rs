//! Sockets in, messages out: the doors clients come through, the services behind them, the transport between members.
//!
//! Must never touch the store or the actors: it speaks to them by messages alone.

pub mod door;
pub mod gateway;
pub mod http;
mod origin;
pub mod peer;
pub mod server;
pub mod services;
pub mod spans;
pub mod throttle;
pub mod tokens;
pub mod unix_socket;

pub use server::{Doors, Listen, LoopGuard, Loops};
