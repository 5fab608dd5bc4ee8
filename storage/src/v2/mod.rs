//! The tree of the v2 API: nodes with TTLs, and the history of what happened to them. A pure state machine over rows.
//!
//! | file | |
//! |---|---|
//! | [`path`] | paths, their parts, and how they are cleaned |
//! | [`rows`] | the rows in `meta` that keep nodes, TTLs, events and the head |
//! | [`source`] | rows of a snapshot with what was written since |
//! | [`tree`] | looking nodes up, putting and removing them, the history |
//! | [`state`] | what each request does |
//! | [`read`] | listings, events and TTLs of a view |
//! | [`check`] | whether the rows fit together |
//!
//! Nothing of the tree is held in memory but its [`Head`]: a node is a row, and so is an event. Must never look at a clock: the
//! time of an entry is the one its proposer wrote into it.

pub mod check;
pub mod path;
pub mod read;
pub mod rows;
mod source;
mod state;
mod tree;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod rule_tests;

pub use rows::Head;
pub use state::V2State;
