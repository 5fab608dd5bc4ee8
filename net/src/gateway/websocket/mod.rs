//! WebSocket as a way to stream JSON both ways: what the client sends is the body of a POST, each line of the answer is a message. It is
//! for browsers, which cannot stream a request otherwise.
//!
//! Frames are taken apart here rather than by a library, because libraries collect a message before they hand it out: here nothing of a
//! client is held that is not counted, whatever length it announces.

mod connection;
mod frame;
mod handshake;

pub(super) use handshake::{is_upgrade, upgrade};
