//! Every message between actors, one file per arrow of the diagram. `net` and `actors` never see each other: these types
//! are the joint. Must hold no logic beyond what a message needs to be sent.
//!
//! | file | arrow | etcd's channel |
//! |---|---|---|
//! | [`propose`] | client → raft core | propc |
//! | [`receive`] | peers, ticker → raft core | recvc, tickc |
//! | [`peer`] | core, WAL writer, applier ↔ peer transport | – |
//! | [`ready`] | raft core → WAL writer, peer transport | readyc |
//! | [`apply`] | raft core → applier | applyc |
//! | [`advance`] | WAL writer, applier, snapshotter → raft core | advancec |
//! | [`read`] | client ↔ raft core, client ↔ reader pool | readStateC |
//! | [`watch`] | applier, client ↔ watch hub | – |
//! | [`lease`] | applier, client, raft core → lease manager | – |
//! | [`admin`] | admin → owner | status, stop |
//! | [`reply`] | every owner → client connection thread | – |
//!
//! [`ports`] is what a door holds: the sending ends, and the two things that are shared (published views, counters).

pub mod admin;
pub mod advance;
pub mod apply;
pub mod lease;
pub mod peer;
pub mod ports;
pub mod propose;
pub mod read;
pub mod ready;
pub mod receive;
pub mod reply;
pub mod watch;

pub use ports::{Gauges, Identity, Ports};
pub use reply::{Reply, ReplySink, RequestError, SinkId, Sinks, Token};
