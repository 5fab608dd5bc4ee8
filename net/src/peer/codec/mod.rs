//! What members say to each other on the wire: the codec, pure; no socket, no clock.
//!
//! Bytes of a peer are untrusted. [`reader::Reader`] is the one checked door from bytes to a [`frame::Frame`]: what passes is well
//! formed, belongs on the lane it came on, was said by the member at the other end (or only passed on by it), and is meant for this one.
//!
//! | file | what |
//! |---|---|
//! | [`hello`] | first words of a connection: who, whom, which run, which versions |
//! | [`lane`] | the lanes, what each of them carries and how much of it |
//! | [`frame`] | a frame and its encoding |
//! | [`reader`] | the checked door: bytes in, frames out |
//! | [`talk`] | vitals, calls and answers, and their rkyv forms |
//! | `raft_wire` | the rkyv form of a raft message |
//! | [`error`] | why bytes were refused; versions |

#[cfg(test)]
mod codec_tests;
pub mod error;
pub mod frame;
pub mod hello;
pub mod lane;
mod raft_wire;
pub mod reader;
pub mod talk;
