//! The peer port: what dials it, over UDP and over TCP.
//!
//! | file | what |
//! |---|---|
//! | [`accepted`] | from a heard hello to lanes that are served |
//! | [`quic`] | connections over QUIC |
//! | [`tcp`] | connections over TCP: members, and everybody who speaks HTTP |

pub mod accepted;
pub mod quic;
pub mod tcp;
