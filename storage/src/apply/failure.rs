//! How a step of a command ends: well, with a refusal that the caller hears, or with an error that stops the node.
//!
//! Must never turn one of the two failures into the other.

use super::report::ApplyFatal;
use crate::engine::EngineError;
use crate::schema::Damaged;
use model::{ApplyError, AuthRefusal};

/// Why a command does not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has no effect, and the caller hears why.
    Refused(ApplyError),
    /// The node stops.
    Fatal(ApplyFatal),
}

/// Result of a step of a command.
pub(super) type Run<T> = Result<T, Stop>;

impl From<ApplyError> for Stop {
    fn from(e: ApplyError) -> Self {
        Self::Refused(e)
    }
}

impl From<AuthRefusal> for Stop {
    fn from(e: AuthRefusal) -> Self {
        Self::Refused(e.into())
    }
}

impl From<ApplyFatal> for Stop {
    fn from(e: ApplyFatal) -> Self {
        Self::Fatal(e)
    }
}

impl From<EngineError> for Stop {
    fn from(e: EngineError) -> Self {
        Self::Fatal(e.into())
    }
}

impl From<Damaged> for Stop {
    fn from(e: Damaged) -> Self {
        Self::Fatal(e.into())
    }
}

/// Refusals are answers, the rest stops the node.
pub(super) fn answer<T>(run: Run<T>) -> Result<Result<T, ApplyError>, ApplyFatal> {
    match run {
        Ok(outcome) => Ok(Ok(outcome)),
        Err(Stop::Refused(e)) => Ok(Err(e)),
        Err(Stop::Fatal(e)) => Err(e),
    }
}
