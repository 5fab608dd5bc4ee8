//! The door against real clients: tonic for calls and streams, raw h2 and raw TCP for what a polite client never does.

#[path = "door/authority.rs"]
mod authority;
#[path = "door/client.rs"]
mod client;
#[path = "door/compress.rs"]
mod compress;
#[path = "door/echo.rs"]
mod echo;
#[path = "door/limits.rs"]
mod limits;
#[path = "door/stop.rs"]
mod stop;
#[path = "door/streams.rs"]
mod streams;
#[path = "door/unary.rs"]
mod unary;
#[path = "door/wire.rs"]
mod wire;
