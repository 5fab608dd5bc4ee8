//! The real process, killed and stopped: what it acknowledged is there, what it did not is whole or absent.
//!
//! Must never kill a process that it did not start.

mod auth;
mod chaos;
mod checks;
mod judge;
mod kill;
mod large_delete;
mod lifecycle;
mod locks;
mod log;
mod machines;
mod members;
mod sim;
mod slow_reader;
mod twin;
mod upgrade;
mod v2;
mod writers;
