//! Lanes of one peer: bounded queues on the way out, and streams of frames in both directions.
//!
//! | file | what |
//! |---|---|
//! | [`queue`] | a queue bounded in bytes that is closed with its connection |
//! | [`outbox`] | what threads hold of a peer: they offer, and are told at once when nothing can be sent |
//! | `write` | frames into a stream, many per write |
//! | [`read`] | frames out of a stream |

pub mod outbox;
pub mod queue;
pub mod read;
pub mod write;
