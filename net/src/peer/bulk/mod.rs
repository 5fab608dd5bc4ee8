//! Snapshots between members: one stream of bytes per transfer, on a connection of its own so that neither the bytes nor their lost
//! packets delay a heartbeat. A transfer that breaks goes on where the receiver says it is.
//!
//! | file | what |
//! |---|---|
//! | [`words`] | what is said before, between and after the bytes |
//! | [`rate`] | bytes per second |
//! | [`send`] | the sending side, over as many connections as it takes |
//! | [`receive`] | the receiving side |

pub mod rate;
pub mod receive;
pub mod send;
pub mod words;

pub use words::MAX_ABOUT;
