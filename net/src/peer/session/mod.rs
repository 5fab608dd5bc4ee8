//! Sessions: what runs on a connection between its hello and its end, whatever carries it.
//!
//! | file | what |
//! |---|---|
//! | [`context`] | what all connections of a member share |
//! | [`registry`] | which run of each peer counts, and which connections it has |
//! | [`hello`] | the exchange of hellos on a fresh stream |
//! | [`sending`] | the side that dialled: messages and calls out, echoes and answers back |
//! | [`receiving`] | the side that was dialled |
//! | [`pending`] | calls that left and are not answered yet |
//! | [`throttle`] | a line of the log once in a while |

pub mod context;
pub mod hello;
pub mod pending;
pub mod receiving;
pub mod registry;
pub mod sending;
pub mod throttle;
