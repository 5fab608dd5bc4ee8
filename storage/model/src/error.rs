//! What can go wrong with a command or a read that was itself well formed.
//!
//! Must never carry a gRPC code or etcd's text: `net` has the one table for that.

/// Why a committed command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ApplyError {
    /// ignore_value or ignore_lease on a key that does not exist.
    #[error("key not found")]
    KeyNotFound,
    /// The lease does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease exists already.
    #[error("lease already exists")]
    LeaseExists,
    /// The revision has been compacted.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision lies in the future.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// The NOSPACE alarm stands.
    #[error("database space exceeded")]
    NoSpace,
    /// The CORRUPT alarm stands.
    #[error("corrupt cluster")]
    Corrupt,
    /// The ranges and previous key-values asked for are more than an answer may hold.
    #[error("the key-values asked for exceed what an answer may hold")]
    TooLarge,
    /// A change of the membership is refused.
    #[error(transparent)]
    Member(#[from] crate::MemberRefusal),
    /// The caller may not do it, or it makes no sense for users and roles as they are.
    #[error(transparent)]
    Auth(#[from] crate::AuthRefusal),
    /// An internal proposal of an earlier term.
    #[error("proposed in an earlier term")]
    StaleTerm,
}

/// Why a read was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The revision has been compacted.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision lies in the future.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// The CORRUPT alarm stands.
    #[error("corrupt cluster")]
    Corrupt,
    /// The answer has to be collected, and alone exceeds the memory for such answers.
    #[error("the answer is larger than the memory for it")]
    TooLarge,
    /// The answer has to be collected, and other answers hold the memory for it.
    #[error("other answers hold the memory for this one")]
    Busy,
    /// The caller may not see what it asks for.
    #[error(transparent)]
    Auth(#[from] crate::AuthRefusal),
    /// The store could not be read; the node stops.
    #[error("store read failed: {0}")]
    Store(String),
}
