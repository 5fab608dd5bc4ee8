//! The v2 API beside that of a real etcd: the same random requests to both, and what differs.
//!
//! | file | |
//! |---|---|
//! | [`plan`] | random requests |
//! | [`normal`] | answers in a form in which equal ones are equal: indices from one origin, listings in order |
//! | [`run`] | both servers asked, answers compared |
//!
//! Must never call a difference known without a rule that says why: the rules are in [`normal`].

pub mod normal;
pub mod plan;
pub mod run;
