//! The peer port: what dials it, over UDP and over TCP.
//!
//! | file | what |
//! |---|---|
//! | [`accepted`] | from a heard hello to lanes that are served |
//! | [`origin`] | whether a certificate is for the address it comes from |
//! | [`quic`] | connections over QUIC |
//! | [`tcp`] | connections over TCP: members, and everybody who speaks HTTP |

pub mod accepted;
mod origin;
pub mod quic;
pub mod tcp;
