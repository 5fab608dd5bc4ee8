//! Vocabulary of the replicated state machine: what a log entry can say, what a read can ask, what comes of it.
//!
//! Plain data and checked codecs. Must never touch a disk, a clock, a socket or a runtime.

pub mod auth;
pub mod command;
pub mod command_kind;
pub mod envelope;
pub mod error;
pub mod kv;
pub mod member;
pub mod mutant;
pub mod outcome;
pub mod request;
pub mod snapshot_format;
pub mod status;
pub mod v2;

pub use auth::{AuthCommand, AuthOutcome, AuthRefusal, Caller};
pub use command::Command;
pub use command_kind::CommandKind;
pub use envelope::{Envelope, EnvelopeError, Origin};
pub use error::{ApplyError, ReadError};
pub use kv::{Event, EventType, KeyRange, KeyValue, Revision};
pub use member::{MemberChange, MemberInfo, MemberRefusal};
pub use outcome::{AlarmMember, Applied, OpOutcome, Outcome, RangeOutcome};
pub use snapshot_format::SnapshotFormat;
pub use status::StoreStatus;
