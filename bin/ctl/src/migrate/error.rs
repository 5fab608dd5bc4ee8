//! Why a step of a migration did not get through. Must never hold what can be waited for: that is done where it happens.

use crate::client::Failure;
use crate::exit::Exit;

/// See the file header.
#[derive(Debug)]
pub enum MigrateError {
    /// The source has compacted a revision that was to be read.
    Compacted,
    /// A lease that the destination had is gone.
    LeaseGone,
    /// The destination takes no request of this size.
    TooLarge,
    /// The state of the destination is not the one that was read: before the first write, what a tool that was killed had sent last may
    /// still have arrived.
    Overtaken,
    /// The migration cannot go on.
    Ended(Exit),
}

impl From<Exit> for MigrateError {
    fn from(why: Exit) -> Self {
        Self::Ended(why)
    }
}

impl From<Failure> for MigrateError {
    fn from(why: Failure) -> Self {
        match () {
            () if why.is("mvcc: required revision has been compacted") => Self::Compacted,
            () if why.is("requested lease not found") => Self::LeaseGone,
            () if why.is("request is too large") => Self::TooLarge,
            () => Self::Ended(why.into()),
        }
    }
}

impl From<MigrateError> for Exit {
    fn from(why: MigrateError) -> Self {
        let text = match why {
            MigrateError::Ended(exit) => return exit,
            MigrateError::Overtaken => {
                "another migration writes to the destination, or somebody removed its state; run only one, and look at the destination before you go on"
            }
            MigrateError::Compacted => "the source has compacted what was being read; run the command again",
            MigrateError::LeaseGone => {
                "a lease of the destination ended while its keys were written; run the command again"
            }
            MigrateError::TooLarge => {
                "the destination takes no request as large as one that the source took; raise its --max-request-bytes"
            }
        };
        Self::new(crate::exit::ERROR, text)
    }
}
