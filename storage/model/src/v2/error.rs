//! Errors of the v2 API: etcd's numbers, texts and HTTP statuses.

use bytes::Bytes;

/// Numbers of errors.
pub mod code {
    /// There is no such key.
    pub const KEY_NOT_FOUND: u16 = 100;
    /// A comparison failed.
    pub const TEST_FAILED: u16 = 101;
    /// The node is a directory.
    pub const NOT_FILE: u16 = 102;
    /// A node on the way is a file.
    pub const NOT_DIR: u16 = 104;
    /// The key exists.
    pub const NODE_EXIST: u16 = 105;
    /// The root cannot be changed.
    pub const ROOT_READ_ONLY: u16 = 107;
    /// The directory is not empty.
    pub const DIR_NOT_EMPTY: u16 = 108;
    /// The user may not do that.
    pub const UNAUTHORIZED: u16 = 110;
    /// `prevValue` is there and empty.
    pub const PREV_VALUE_REQUIRED: u16 = 201;
    /// `ttl` is no number.
    pub const TTL_NAN: u16 = 202;
    /// An index is no number.
    pub const INDEX_NAN: u16 = 203;
    /// A field has a value that it cannot have.
    pub const INVALID_FIELD: u16 = 209;
    /// The form cannot be read.
    pub const INVALID_FORM: u16 = 210;
    /// A refresh with a value.
    pub const REFRESH_VALUE: u16 = 211;
    /// A refresh without a TTL.
    pub const REFRESH_TTL_REQUIRED: u16 = 212;
    /// Anything that the server could not do.
    pub const RAFT_INTERNAL: u16 = 300;
    /// The events that a watcher wants are no longer kept.
    pub const EVENT_INDEX_CLEARED: u16 = 401;
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// One of [`code`].
    pub code: u16,
    /// What it was about: mostly a path.
    pub cause: Bytes,
    /// Index of the tree; zero when it was not looked at.
    pub index: u64,
}

impl Error {
    /// Of this number and cause, at this index of the tree.
    pub fn new(code: u16, cause: impl Into<Bytes>, index: u64) -> Self {
        Self { code, cause: cause.into(), index }
    }

    /// The text that belongs to the number.
    pub fn message(&self) -> &'static str {
        match self.code {
            code::KEY_NOT_FOUND => "Key not found",
            code::TEST_FAILED => "Compare failed",
            code::NOT_FILE => "Not a file",
            code::NOT_DIR => "Not a directory",
            code::NODE_EXIST => "Key already exists",
            code::ROOT_READ_ONLY => "Root is read only",
            code::DIR_NOT_EMPTY => "Directory not empty",
            code::UNAUTHORIZED => "The request requires user authentication",
            code::PREV_VALUE_REQUIRED => "PrevValue is Required in POST form",
            code::TTL_NAN => "The given TTL in POST form is not a number",
            code::INDEX_NAN => "The given index in POST form is not a number",
            code::INVALID_FIELD => "Invalid field",
            code::INVALID_FORM => "Invalid POST form",
            code::REFRESH_VALUE => "Value provided on refresh",
            code::REFRESH_TTL_REQUIRED => "A TTL must be provided on refresh",
            code::EVENT_INDEX_CLEARED => "The event in requested index is outdated and cleared",
            _ => "Raft Internal Error",
        }
    }

    /// The HTTP status that it is answered with.
    pub fn status(&self) -> u16 {
        match self.code {
            code::KEY_NOT_FOUND => 404,
            code::NOT_FILE | code::DIR_NOT_EMPTY => 403,
            code::UNAUTHORIZED => 401,
            code::TEST_FAILED | code::NODE_EXIST => 412,
            code::RAFT_INTERNAL => 500,
            _ => 400,
        }
    }
}
