//! Client ↔ published rules about users; client ↔ password pool.
//!
//! Passwords and tokens pass through here: nothing in this file may have a `Debug` text that shows one.

use crate::ids::{SinkId, Token};
use bytes::Bytes;
use model::request::TxnRequest;
use model::{AuthRefusal, Caller, KeyRange};

/// What users may do, as of one view. Only asked while authentication is on.
pub trait AuthRules: Send + Sync {
    /// Moves with every change of users and roles.
    fn revision(&self) -> u64;

    /// Whether a caller may administrate.
    ///
    /// # Errors
    /// Why not.
    fn check_admin(&self, caller: &Caller) -> Result<(), AuthRefusal>;

    /// Whether a caller has said who he is.
    ///
    /// # Errors
    /// He has not.
    fn check_known(&self, caller: &Caller) -> Result<(), AuthRefusal>;

    /// Whether a caller may see every key of a range.
    ///
    /// # Errors
    /// Why not.
    fn check_read(&self, caller: &Caller, range: &KeyRange) -> Result<(), AuthRefusal>;

    /// Whether a caller may run a transaction of ranges alone.
    ///
    /// # Errors
    /// Why not.
    fn check_read_txn(&self, caller: &Caller, txn: &TxnRequest) -> Result<(), AuthRefusal>;

    /// The hash that the password of a user must match.
    ///
    /// # Errors
    /// There is no such user, or it has no password.
    fn password_hash(&self, name: &str) -> Result<Bytes, AuthRefusal>;
}

/// Whose keys are to be looked at for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLeases {
    /// On whose behalf.
    pub caller: Caller,
    /// One lease; `None` for all.
    pub lease: Option<i64>,
    /// Whether he must be allowed to write them, or to read them.
    pub write: bool,
}

/// Signs a token; the error is the text for the client.
pub type SignToken = Box<dyn FnOnce() -> Result<String, String> + Send>;

/// A computation that is long on purpose.
pub enum PasswordJob {
    /// Hash a password.
    Hash {
        /// The password.
        password: String,
        /// The cost factor.
        cost: u32,
    },
    /// Compare a password with a hash.
    Verify {
        /// The password.
        password: String,
        /// The hash.
        hash: Bytes,
    },
    /// Sign a token.
    Sign(SignToken),
}

/// Client → password pool. A full queue refuses.
pub struct RunPassword {
    /// Where the answer goes.
    pub sink: SinkId,
    /// The call.
    pub token: Token,
    /// What to do.
    pub job: PasswordJob,
}

/// Answer of the password pool.
pub enum PasswordAnswer {
    /// The hash, or the text for the client.
    Hashed(Result<String, String>),
    /// Whether the password is the right one.
    Verified(bool),
    /// The token, or the text for the client.
    Signed(Result<String, String>),
}
