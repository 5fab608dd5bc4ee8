//! Why a lock, an election, a barrier or a queue gave up. Must never hold what only one of them knows.

use crate::error::Error;
use crate::watch::WatchError;

/// See the file header.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] Error),
    /// The lease of the session has ended, or may have: nothing is held any more.
    #[error("the session's lease has ended, and what it held is lost")]
    SessionLost,
    /// The place in the line was deleted by somebody else.
    #[error("somebody else has deleted the key of this place")]
    PlaceLost,
    /// More take part than there is room for.
    #[error("too many take part: there is room for {0}")]
    TooMany(usize),
    /// A key that another program wrote and that does not fit.
    #[error("{0:?} is no key of this recipe; another program uses the same prefix")]
    ForeignKey(String),
}

impl From<WatchError> for RecipeError {
    fn from(why: WatchError) -> Self {
        match why {
            WatchError::Refused(why) => Self::Call(why),
            // who waits reads again, so this reaches nobody but who was overtaken between reading and watching
            WatchError::Compacted { .. } => Self::Call(Error::Invalid(why.to_string())),
        }
    }
}
