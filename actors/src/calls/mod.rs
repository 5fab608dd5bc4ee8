//! Calls between members: questions that have an answer, beside the messages of consensus.
//!
//! | file | idea |
//! |---|---|
//! | [`kinds`] | the kinds of calls, their numbers, what is asked and answered |
//! | [`asking`] | the side that asks |
//! | [`answering`] | the side that answers: checked, bounded, answered exactly once |
//!
//! A new kind is a new number in [`kinds`], an arm in [`peer_inbox`](crate::peer_inbox) that hands it to the owner concerned, and
//! nothing else. A member that does not know a number says that it is not capable. Must never wait: an answer comes as a message.

pub mod answering;
pub mod asking;
pub mod kinds;

pub use answering::{Asked, CallsInHand};
pub use asking::PeerCalls;
pub use kinds::CallKind;
