//! Members among each other: messages of raft, vitals, calls and snapshots, over QUIC or, where UDP does not pass, over TCP.
//!
//! A pair of members uses one connection in both directions: the one that stands first, and of two dials that crossed each other that of
//! the lower member id. Over TCP each member sends on connections that it dialled itself.
//! Bytes of a peer are untrusted until [`codec::reader::Reader`] has checked them. What cannot be sent now is dropped and told; nothing is
//! ever sent twice.
//!
//! | room or file | what |
//! |---|---|
//! | [`port`] | the seam: what the transport is asked and what it tells |
//! | [`codec`] | hellos and frames, pure |
//! | [`lanes`] | bounded queues and streams of frames |
//! | [`session`] | a connection between its hello and its end, and which run of a peer counts |
//! | [`dial`] | from peer URLs to connections that are kept up |
//! | [`listen`] | the peer port, over UDP and TCP |
//! | [`bulk`] | snapshots, resumed where they broke |
//! | [`tls`] | what `http` and `https` URLs mean |
//! | [`http`] | `/members`, `/version`, `/health` |
//! | [`transport`] | all of it, behind [`port::Transport`] |
//! | [`local`] | the same trait for members of one process |
//! | [`config`], [`metrics`] | settings and bounds; counters |

pub mod bulk;
pub mod codec;
pub mod config;
pub mod dial;
pub mod http;
pub mod lanes;
pub mod listen;
pub mod local;
pub mod metrics;
pub mod port;
pub mod session;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod transport;
