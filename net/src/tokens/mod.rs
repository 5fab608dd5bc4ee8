//! The tokens that clients show: which kind there is, and signed ones (JWT). Plain functions of bytes and the time of day.
//!
//! | file | |
//! |---|---|
//! | [`method`] | how tokens may be signed |
//! | [`pem`] | key files |
//! | [`keys`] | keys that sign, and keys that verify |
//! | [`jwt`] | tokens and their claims |
//! | [`verified`] | those that were verified a moment ago |
//!
//! Simple tokens are known to the members alone (`actors/src/simple_tokens.rs`). Must never log a token, and never take one that is
//! signed in another way than the configured one.

pub mod jwt;
pub mod keys;
pub mod method;
mod pem;
pub mod verified;

use jwt::Jwt;
use std::sync::Arc;

/// Which tokens there are.
#[derive(Clone, Debug, Default)]
pub enum TokenKind {
    /// Random ones, that members remember while they run.
    #[default]
    Simple,
    /// Signed ones, that nobody has to remember.
    Jwt(Arc<Jwt>),
    /// None: nobody can log in, and no token is valid.
    None,
}
