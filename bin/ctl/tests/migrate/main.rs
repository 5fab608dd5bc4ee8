//! Live migration with real processes: under load, with kill -9 of every party in turn, counted.
//!
//! `MIGRATE_SOURCE` and `MIGRATE_DESTINATION` name the binary of either side, such as etcd's; ours otherwise (docs/ctl.md).

mod kills;
mod mirror;
mod moves;
mod refusals;
mod sides;
