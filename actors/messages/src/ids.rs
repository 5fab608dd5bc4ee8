//! How an answer finds its way: which receiver, and which of its calls. Must use nothing else of this crate.

/// Which sink an answer goes to; index into [`Sinks`](crate::Sinks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub u32);

/// Names a waiting call within its sink.
pub type Token = u64;
