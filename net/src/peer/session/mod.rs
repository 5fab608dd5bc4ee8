//! Sessions: what runs on a connection between its hello and its end, whatever carries it.
//!
//! | file | what |
//! |---|---|
//! | [`context`] | what all connections of a member share |
//! | [`registry`] | which run of each peer counts, and which connections it has |
//! | [`hello`] | the exchange of hellos on a fresh stream |
//! | [`dials`] | which of two connections is kept when both members dial |
//! | [`offer`] | connections that a peer has dialled and that may be sent on |
//! | [`shared`] | a connection that is used in both directions |
//! | [`quic`] | lanes as streams of QUIC |
//! | [`sending`] | messages and calls out, echoes and answers back |
//! | [`receiving`] | the other end of it |
//! | [`pending`] | calls that left and are not answered yet |
//! | [`throttle`] | a line of the log once in a while |

pub mod context;
pub mod dials;
pub mod hello;
pub mod offer;
pub mod pending;
pub mod quic;
pub mod receiving;
pub mod registry;
pub mod sending;
pub mod shared;
pub mod throttle;
