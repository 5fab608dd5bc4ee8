//! Why a command ends without success: what is said, and the exit code.
//!
//! Codes are etcdutl's. Must never be built without saying what was wrong and, where there is one, the next step.

use std::fmt;
use std::io;
use std::path::Path;
use storage::apply::OpenError;
use storage::engine::EngineError;
use storage::etcd::EtcdError;
use storage::member::{ClusterError, LockError};
use storage::snapshot::StreamError;
use storage::wal::WalError;

/// General failure.
const ERROR: u8 = 1;
/// A known flag with a value that is not supported.
const BAD_FEATURE: u8 = 4;
/// Arguments that do not go together.
const BAD_ARGS: u8 = 128;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// A running process has the member open: nothing is known of it.
    pub in_use: bool,
    text: String,
}

impl Failure {
    /// Exit code 1.
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: ERROR, in_use: false, text: text.into() }
    }

    /// A format or version that exists and is not offered here.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self { code: BAD_FEATURE, ..Self::new(text) }
    }

    /// Arguments that do not go together.
    pub fn bad_args(text: impl Into<String>) -> Self {
        Self { code: BAD_ARGS, ..Self::new(text) }
    }

    /// What the system said when `op` was tried on `path`, in the form Go's tools print it.
    pub fn io(op: &str, path: &Path, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".into(),
            io::ErrorKind::PermissionDenied => "permission denied".into(),
            io::ErrorKind::StorageFull => "no space left on device; free space and try again".into(),
            _ => error.to_string(),
        };
        Self::new(format!("{op} {}: {why}", path.display()))
    }

    /// The same with something before it.
    pub fn within(self, what: impl fmt::Display) -> Self {
        Self { text: format!("{what}: {}", self.text), ..self }
    }

    /// The words alone.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error: {}", self.text)
    }
}

/// The engine's own texts speak to somebody who runs a member.
impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(match error {
            EngineError::Io { op, why } => format!("the store cannot be used, {op} failed: {why}"),
            EngineError::NoSpace { op, why } => {
                format!("the disk is full, {op} failed: {why}; free space and try again")
            }
            EngineError::Corrupt(why) => {
                format!(
                    "the store is corrupt: {why}; restore this member from a snapshot, or remove it and add it again"
                )
            }
            EngineError::Locked(why) => {
                format!("the store is open in a running process: {why}; stop that member first")
            }
        })
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Engine(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<EtcdError> for Failure {
    fn from(error: EtcdError) -> Self {
        match error {
            EtcdError::Engine(error) => error.into(),
            error => Self { in_use: matches!(error, EtcdError::InUse(_)), ..Self::new(error.to_string()) },
        }
    }
}

impl From<WalError> for Failure {
    fn from(error: WalError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self { in_use: matches!(error, LockError::InUse { .. }), ..Self::new(error.to_string()) }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::new(error.to_string())
    }
}
