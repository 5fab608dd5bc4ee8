//! Who asks, and whether he may: Basic authentication and certificates, by etcd's rules.
//!
//! Must never log a password, and never take one that was right before for right now: what is remembered is bound to the hash that
//! the tree holds.

use super::users::{GUEST, ROOT, Refused, User, Users};
use super::whole::WholeRequest;
use crate::door::Status;
use crate::services::ClientServices;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, header};
use messages::auth::{PasswordAnswer, PasswordJob};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Passwords of a connection thread that were found right a while ago.
const REMEMBERED: usize = 128;

thread_local! {
    /// Hashes of a stored hash and the password that fits it: computing it anew takes a tenth of a second each time.
    static VERIFIED: RefCell<VecDeque<[u8; 32]>> = const { RefCell::new(VecDeque::new()) };
}

/// Whether a request may use the node at `key`, and with `recursive` all below it.
///
/// # Errors
/// The tree cannot be read.
pub(super) async fn may_use_key(
    services: &ClientServices,
    request: &WholeRequest,
    key: &[u8],
    recursive: bool,
) -> Result<bool, Status> {
    let users = Users(services);
    if !known(users.enabled().await)?.unwrap_or(false) {
        return Ok(true);
    }
    let roles = match who(services, request).await? {
        Requester::Nobody => vec![GUEST.to_owned()],
        Requester::Unknown => return Ok(false),
        Requester::User(user) => user.roles.unwrap_or_default(),
    };
    let write = !matches!(request.method, Method::GET | Method::HEAD);
    for name in roles {
        if name == ROOT {
            return Ok(true);
        }
        let role = known(users.role(&name).await)?;
        if role.is_some_and(|role| role.permissions.allow(key, write, recursive)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a request may do everything.
///
/// # Errors
/// The tree cannot be read.
pub(super) async fn is_root(services: &ClientServices, request: &WholeRequest) -> Result<bool, Status> {
    if !known(Users(services).enabled().await)?.unwrap_or(false) {
        return Ok(true);
    }
    Ok(match who(services, request).await? {
        Requester::User(user) => user.roles.iter().flatten().any(|role| role == ROOT),
        Requester::Nobody | Requester::Unknown => false,
    })
}

/// Who asks.
enum Requester {
    /// Nobody is named.
    Nobody,
    /// Somebody who is not known, or has another password.
    Unknown,
    User(User),
}

/// What is not there is `None`; what cannot be read is an error.
fn known<T>(done: Result<T, Refused>) -> Result<Option<T>, Status> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(Refused::Failed(why)) => Err(why),
        Err(Refused::Text(..) | Refused::Tree(_)) => Ok(None),
    }
}

async fn who(services: &ClientServices, request: &WholeRequest) -> Result<Requester, Status> {
    let users = Users(services);
    if let Some(value) = request.headers.get(header::AUTHORIZATION).filter(|value| !value.is_empty()) {
        let Some((name, password)) = basic(value.as_bytes()) else { return Ok(Requester::Unknown) };
        let Some(user) = known(users.user(&name).await)? else { return Ok(Requester::Unknown) };
        let fits = password_fits(services, &user.password, password).await?;
        return Ok(if fits { Requester::User(user) } else { Requester::Unknown });
    }
    let is_asked = services.config().client_cert_auth;
    let name = request.peer.tls.as_ref().filter(|_| is_asked).and_then(|tls| tls.common_name());
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Requester::Nobody) };
    let user = known(users.user(name).await)?;
    Ok(user.map_or(Requester::Nobody, Requester::User))
}

/// Name and password of a header.
fn basic(value: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

async fn password_fits(services: &ClientServices, hash: &str, password: String) -> Result<bool, Status> {
    let fingerprint = fingerprint(hash, &password);
    if VERIFIED.with_borrow(|verified| verified.contains(&fingerprint)) {
        return Ok(true);
    }
    let job = PasswordJob::Verify { password, hash: hash.to_owned().into() };
    let fits = matches!(services.v2_password(job).await?, PasswordAnswer::Verified(true));
    if fits {
        VERIFIED.with_borrow_mut(|verified| {
            verified.truncate(REMEMBERED - 1);
            verified.push_front(fingerprint);
        });
    }
    Ok(fits)
}

fn fingerprint(hash: &str, password: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(hash.len() as u64).to_be_bytes());
    context.update(hash.as_bytes());
    context.update(password.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_basic_authentication_is_read_or_is_none() {
        let encoded = format!("Basic {}", STANDARD.encode("alice:a:b"));
        assert_eq!(basic(encoded.as_bytes()), Some(("alice".into(), "a:b".into())));
        for bad in ["Basic", "Basic !", "Bearer YTpi", "Basic YQ=="] {
            assert_eq!(basic(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_password_is_remembered_with_the_hash_it_fits() {
        assert_ne!(fingerprint("ab", "c"), fingerprint("a", "bc"));
        assert_eq!(fingerprint("ab", "c"), fingerprint("ab", "c"));
    }
}
