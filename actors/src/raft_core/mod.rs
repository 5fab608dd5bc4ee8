//! The raft core's shell: owns the consensus state and who waits for it; its own thread.
//!
//! | file | idea |
//! |---|---|
//! | [`core`] | the round: which queue is looked at when |
//! | [`inbox`] | the queues |
//! | `intake` | what other members say, what is proposed |
//! | `forwarded` | the checked door for proposals of other members |
//! | `changes` | changes of the membership: proposed, judged, answered |
//! | `pending_changes` | changes between their client and its answer |
//! | `reads` | read-index rounds, the start of service |
//! | `dispatch` | what raft wants done goes to the other owners |
//! | [`pending`] | who waits for which proposal |
//! | `pending_reads` | who waits for which read-index round |
//! | [`log_tail`] | the log as raft reads it |
//! | `log_windows` | what was read back for followers that lag |
//! | `snapshots` | snapshots for followers, and the one that replaces the store |
//! | `incoming` | the latter |
//! | `outgoing` | who is sent what, and which part of the log is kept meanwhile |
//! | `peers` | what the transport reports |
//! | `in_flight` | work that was handed out and is not acknowledged |
//! | `held` | proposals that wait for a leader |
//! | `health` | how the other members are |
//! | `describe` | the state of consensus for people |
//! | `stalls` | a disk or an applier that hangs |
//! | `agreement` | whether the members' running hashes agree |
//! | `divergence` | a member whose data went its own way |
//! | `pending_rebuild` | how far that has come |
//! | `rebuild` | the store is rebuilt from the leader's |
//! | `release` | how far the log may go |
//! | `transfers` | leadership that is handed over |
//! | `pending_transfers` | who waits for another leader |
//!
//! Must never wait for the disk, the store or a socket.

mod agreement;
#[cfg(test)]
mod agreement_tests;
mod changes;
#[cfg(test)]
mod changes_tests;
pub mod core;
#[cfg(test)]
mod core_tests;
mod describe;
mod dispatch;
mod divergence;
mod first_election;
mod forwarded;
mod health;
mod held;
mod in_flight;
pub mod inbox;
mod incoming;
mod intake;
pub mod log_tail;
mod log_windows;
mod outgoing;
mod peers;
pub mod pending;
mod pending_changes;
mod pending_reads;
mod pending_rebuild;
mod pending_transfers;
mod reads;
mod rebuild;
mod release;
pub(crate) mod runner;
#[cfg(test)]
mod snapshot_tests;
mod snapshots;
#[cfg(test)]
mod stall_tests;
mod stalls;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod transfer_tests;
mod transfers;

pub use core::{CoreConfig, CoreParts, RaftCore};
