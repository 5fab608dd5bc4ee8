//! Every refusal of the data API: gRPC code and text, to the letter.
//!
//! Must never hold a text that no request can provoke.

use std::borrow::Cow;
use std::fmt;
use tonic::{Code, Status};

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// gRPC code.
    pub code: Code,
    /// Message.
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// No key.
    pub const EMPTY_KEY: Self = Self::new(Code::InvalidArgument, "etcdserver: key is not provided");
    /// Nothing there whose value or lease could be kept; also an operation that is none.
    pub const KEY_NOT_FOUND: Self = Self::new(Code::InvalidArgument, "etcdserver: key not found");
    /// A value where the old one is to be kept.
    pub const VALUE_PROVIDED: Self = Self::new(Code::InvalidArgument, "etcdserver: value is provided");
    /// A lease where the old one is to be kept.
    pub const LEASE_PROVIDED: Self = Self::new(Code::InvalidArgument, "etcdserver: lease is provided");
    /// Too many comparisons or operations.
    pub const TOO_MANY_OPS: Self = Self::new(Code::InvalidArgument, "etcdserver: too many operations in txn request");
    /// A key written twice.
    pub const DUPLICATE_KEY: Self = Self::new(Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
    /// An order or a target that does not exist.
    pub const BAD_SORT: Self = Self::new(Code::InvalidArgument, "etcdserver: invalid sort option");
    /// RangeStream with an order.
    pub const STREAM_SORT: Self = Self::new(Code::Unimplemented, "RangeStream does not support custom sort orders");
    /// RangeStream with bounds on revisions.
    pub const STREAM_FILTER: Self = Self::new(Code::Unimplemented, "RangeStream does not support revision filters");
    /// A revision that is gone.
    pub const COMPACTED: Self = Self::new(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");
    /// A revision that is not there yet.
    pub const FUTURE: Self = Self::new(Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision");
    /// A lease that does not exist.
    pub const LEASE_NOT_FOUND: Self = Self::new(Code::NotFound, "etcdserver: requested lease not found");
    /// A lease that exists.
    pub const LEASE_EXISTS: Self = Self::new(Code::FailedPrecondition, "etcdserver: lease already exists");
    /// More than 9,000,000,000 seconds.
    pub const TTL_TOO_LARGE: Self = Self::new(Code::OutOfRange, "etcdserver: too large lease TTL");

    const fn new(code: Code, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { code: status.code(), text: Cow::Owned(status.message().to_owned()) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} \"{}\"", self.code, self.text)
    }
}
