//! Which tokens clients may show: from settings to what the services need. Key files are read here, once.
//!
//! Must never log a key, nor keep one longer than it takes to read it.

use net::tokens::TokenKind;
use net::tokens::jwt::{Jwt, JwtSettings};
use net::tokens::keys::KeyError;
pub use net::tokens::method::SignMethod;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a signed token is valid, unless somebody says otherwise.
pub const DEFAULT_JWT_TTL: Duration = Duration::from_secs(300);

/// Which tokens clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSettings {
    /// Random ones, that members remember.
    Simple {
        /// How long one lives without being used.
        ttl: Duration,
    },
    /// Signed ones.
    Jwt(JwtFiles),
    /// None at all: nobody can log in.
    None,
}

/// What signed tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtFiles {
    /// The method.
    pub method: SignMethod,
    /// File of the public key.
    pub public_key: Option<PathBuf>,
    /// File of the private key; for HMAC the secret.
    pub private_key: Option<PathBuf>,
    /// How long one is valid.
    pub ttl: Duration,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self::Simple { ttl: Self::DEFAULT_TTL }
    }
}

/// Why there can be no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file cannot be read.
    #[error("cannot read the key file {path} of --auth-token: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The keys are of no use.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl TokenSettings {
    /// How long a simple token lives, unless somebody says otherwise.
    pub const DEFAULT_TTL: Duration = actors::simple_tokens::DEFAULT_TTL;

    /// How long a simple token lives.
    pub(crate) fn simple_ttl(&self) -> Duration {
        match self {
            Self::Simple { ttl } => *ttl,
            Self::Jwt(_) | Self::None => Self::DEFAULT_TTL,
        }
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(crate) fn open(&self) -> Result<TokenKind, TokenError> {
        let JwtFiles { method, public_key, private_key, ttl } = match self {
            Self::Simple { .. } => return Ok(TokenKind::Simple),
            Self::None => return Ok(TokenKind::None),
            Self::Jwt(files) => files,
        };
        let (public_key, private_key) = (read(public_key.as_deref())?, read(private_key.as_deref())?);
        let jwt = Jwt::new(&JwtSettings { method: *method, public_key, private_key, ttl: *ttl })?;
        Ok(TokenKind::Jwt(Arc::new(jwt)))
    }
}

fn read(path: Option<&Path>) -> Result<Option<Vec<u8>>, TokenError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| TokenError::File { path: path.display().to_string(), source })
    };
    path.map(read).transpose()
}
