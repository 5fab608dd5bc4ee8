//! What members say to each other on the wire: the codec, pure; no socket, no clock, no transport yet.
//!
//! Bytes of a peer are untrusted. [`frame::Reader`] is the one checked door from bytes to a [`raft::Message`]: what passes is
//! well formed, was said by the member at the other end (or only passed on by it), and is meant for this one.
//!
//! | file | what |
//! |---|---|
//! | [`hello`] | first words of a connection: who, whom, which run, which versions |
//! | [`frame`] | length-prefixed, versioned frames; lanes and their limits |
//! | `wire` | the rkyv form of a message, version 1 |

pub mod frame;
pub mod hello;
#[cfg(test)]
mod tests;
mod wire;
