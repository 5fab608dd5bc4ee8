//! The messages that cross between `actors` and those who use them: `net` and `embed`. These types are the joint; neither
//! side sees the other. Messages between owners are in `actors/src/wiring/`. Must hold no logic beyond what a message needs
//! to be sent.
//!
//! | file | arrow | etcd's channel |
//! |---|---|---|
//! | [`propose`] | client → raft core | propc |
//! | [`receive`] | peers → raft core | recvc |
//! | [`peer`] | core, WAL writer, applier ↔ peer transport | – |
//! | [`read`] | client ↔ raft core, client ↔ reader pool | readStateC |
//! | [`watch`] | client ↔ watch hub | – |
//! | [`lease`] | client ↔ lease manager | – |
//! | [`auth`] | client ↔ published rules about users, client ↔ password pool | – |
//! | [`v2`] | client ↔ published views of the v2 tree | – |
//! | [`admin`] | client → raft core, maintenance jobs | status, stop |
//! | [`reply`] | every owner → client connection thread | – |
//!
//! [`histogram`] and [`measured`] are counters that owners write and a page reads. [`ids`] names a call. [`ports`] is what a door holds: the sending ends, and the two things that are shared (published
//! views, counters).

pub mod admin;
pub mod auth;
pub mod histogram;
pub mod ids;
pub mod lease;
pub mod measured;
pub mod peer;
pub mod ports;
pub mod propose;
pub mod read;
pub mod receive;
pub mod reply;
pub mod v2;
pub mod watch;

pub use ids::{SinkId, Token};
pub use ports::{Gauges, NodeIdentity, Ports};
pub use reply::{Reply, ReplyBody, ReplySink, RequestError, Sinks};
