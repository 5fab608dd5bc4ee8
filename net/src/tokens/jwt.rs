//! Signed tokens: what etcd puts into one, and what it takes.
//!
//! A token is valid by its signature and its times alone. That users and roles may have changed since shows in its revision, which is
//! compared where a key is touched. Must never take a method from the token.

use super::keys::{Key, KeyError};
use super::method::SignMethod;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What tokens are signed with, and for how long.
#[derive(Clone)]
pub struct JwtSettings {
    /// The method.
    pub method: SignMethod,
    /// Contents of the file of the public key.
    pub public_key: Option<Vec<u8>>,
    /// Contents of the file of the private key; for HMAC the secret.
    pub private_key: Option<Vec<u8>>,
    /// How long a token is valid.
    pub ttl: Duration,
}

/// Signs and verifies tokens.
pub struct Jwt {
    method: SignMethod,
    key: Key,
    ttl: Duration,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwt({}, {:?})", self.method.name(), self.ttl)
    }
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub username: String,
    /// Revision of users and roles when it was signed.
    pub revision: u64,
    /// Second since 1970 from which on it is not valid any more; `None` for never.
    expires: Option<i64>,
    /// Second from which on it is valid.
    not_before: Option<i64>,
}

impl Claims {
    /// Whether it is valid at a time: seconds since 1970.
    pub fn are_valid_at(&self, now: i64) -> bool {
        self.expires.is_none_or(|end| now < end) && self.not_before.is_none_or(|start| now >= start)
    }
}

/// What etcd says of a member that can only verify.
const VERIFY_ONLY: &str = "auth: token signing attempted with verify-only key";

impl Jwt {
    /// By these settings.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(settings: &JwtSettings) -> Result<Self, KeyError> {
        let JwtSettings { method, public_key, private_key, ttl } = settings;
        let key = Key::new(*method, public_key.as_deref(), private_key.as_deref())?;
        Ok(Self { method: *method, key, ttl: *ttl })
    }

    /// A token for a user, at `now` seconds since 1970.
    ///
    /// # Errors
    /// The text for the client: this member has no private key.
    pub fn sign(&self, username: &str, revision: u64, now: i64) -> Result<String, String> {
        let head = json!({ "alg": self.method.name(), "typ": "JWT" });
        let expires = now.saturating_add(self.ttl.as_secs() as i64);
        let claims = json!({ "username": username, "revision": revision, "exp": expires });
        let mut token = URL_SAFE_NO_PAD.encode(head.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = self.key.sign(self.method, token.as_bytes()).ok_or(VERIFY_ONLY)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// What a token says, if it is signed as it must be. Its times are for the caller to look at.
    pub fn verify(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head = object(head)?;
        if head.get("alg")?.as_str()? != self.method.name() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.key.verify(self.method, signed.as_bytes(), &signature) {
            return None;
        }
        let claims = object(claims)?;
        Some(Claims {
            username: claims.get("username")?.as_str()?.to_owned(),
            revision: claims.get("revision")?.as_f64()? as u64,
            expires: seconds(&claims, "exp")?,
            not_before: seconds(&claims, "nbf")?,
        })
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A time among claims: a zero counts as none, anything but a number makes the token invalid.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<Option<i64>> {
    let Some(value) = claims.get(name) else { return Some(None) };
    let seconds = value.as_f64()?;
    Some((seconds != 0.0).then_some(seconds as i64))
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod jwt_tests;
