//! Dialling: from a peer's URLs to an agreed connection, and the task that keeps one up.
//!
//! | file | what |
//! |---|---|
//! | [`address`] | peer URLs, and names resolved at every dial |
//! | [`backoff`] | pauses between dials |
//! | [`certificate`] | whether the other member does not take this one's certificate |
//! | [`udp`] | UDP sockets and what QUIC does on them |
//! | [`route`] | one way to one peer: a dial over QUIC or TCP for any purpose |
//! | [`keep`] | keeps the raft connection to a peer up |

pub mod address;
pub mod backoff;
pub mod certificate;
pub mod keep;
pub mod route;
pub mod udp;
