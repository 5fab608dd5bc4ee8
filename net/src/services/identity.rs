//! Who makes a call, and whether he may: what etcd asks before it hands a request on, and once more behind a read.
//!
//! While authentication is off nobody is looked at. Otherwise a caller is recognized anew at every step of a call, by what came with
//! the call: a token that is shown and not valid refuses it, whatever certificate comes with it. Must never log a token.

use super::client_services::ClientServices;
use super::status;
use crate::door::{Call, CallMeta, Status};
use crate::tokens::TokenKind;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use messages::auth::AuthRules;
use model::{AuthRefusal, Caller, Command};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often it is looked whether the entry that gave a token is applied: at first, and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// Calls of one connection thread that may wait for that.
const MOST_WAITING: usize = 1024;

/// What a call says about who makes it.
#[derive(Clone)]
pub(super) struct Credentials(Shown);

#[derive(Clone)]
enum Shown {
    Nothing,
    Token(Rc<str>),
    /// The common name of a certificate.
    CommonName(Rc<str>),
}

impl Credentials {
    /// What came with a call.
    pub(super) fn of(meta: &CallMeta, client_cert_auth: bool) -> Self {
        Self(match (token_of(meta), common_name_of(meta, client_cert_auth)) {
            (Some(token), _) => Shown::Token(token.into()),
            (None, Some(name)) => Shown::CommonName(name.into()),
            (None, None) => Shown::Nothing,
        })
    }
}

/// The token of a call. What is no text is no valid one.
fn token_of(meta: &CallMeta) -> Option<&str> {
    let value = meta.get("token").or_else(|| meta.get("authorization"))?;
    let text = std::str::from_utf8(value).unwrap_or_default();
    Some(text.strip_prefix("Bearer ").unwrap_or(text))
}

/// Never that of the gateway's own connection: its callers are others.
fn common_name_of(meta: &CallMeta, client_cert_auth: bool) -> Option<&str> {
    if !client_cert_auth || meta.is_local() || meta.get("grpcgateway-accept").is_some() {
        return None;
    }
    meta.peer().tls.as_ref()?.common_name()
}

/// What members keep of the secret part of a simple token, and what enters the log: its hash, by which nobody can pose as the user.
pub(super) fn kept_of_secret(secret: &str) -> String {
    let hash = digest::digest(&digest::SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(hash)
}

/// The name under which members know a simple token; `None` for what does not look like one.
fn kept_of(token: &str) -> Option<String> {
    let (secret, index) = token.split_once('.')?;
    Some(format!("{}.{index}", kept_of_secret(secret)))
}

/// Index of the entry that gave a simple token; `None` for what does not look like one.
fn index_of(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.parse().ok()
}

/// That a caller may do something, by the rules of this revision; nothing when nobody was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit(Option<u64>);

impl Permit {
    /// Of a call that nobody was looked at for.
    pub(super) const NONE: Self = Self(None);
}

impl ClientServices {
    /// What came with a call, kept for its later steps.
    pub(super) fn credentials(&self, meta: &CallMeta) -> Credentials {
        Credentials::of(meta, self.config().client_cert_auth)
    }

    /// Who makes a call.
    ///
    /// # Errors
    /// The token that came with it is not valid.
    pub(super) fn caller(&self, meta: &CallMeta) -> Result<Caller, Status> {
        match self.ports().reads.auth() {
            Some(rules) => self.recognize(&self.credentials(meta), &*rules),
            None => Ok(Caller::Nobody),
        }
    }

    /// Who makes a call that goes on.
    ///
    /// # Errors
    /// As [`Self::caller`].
    pub(super) fn caller_by(&self, credentials: &Credentials) -> Result<Caller, Status> {
        match self.ports().reads.auth() {
            Some(rules) => self.recognize(credentials, &*rules),
            None => Ok(Caller::Nobody),
        }
    }

    fn recognize(&self, credentials: &Credentials, rules: &dyn AuthRules) -> Result<Caller, Status> {
        match &credentials.0 {
            Shown::Nothing => Ok(Caller::Nobody),
            Shown::CommonName(name) => Ok(Caller::User { name: name.to_string(), revision: rules.revision() }),
            Shown::Token(token) => self.user_of(token, rules).ok_or_else(|| {
                let fingerprint = fingerprint(token);
                tracing::warn!("token-fingerprint" = fingerprint, "invalid auth token");
                status::INVALID_TOKEN
            }),
        }
    }

    fn user_of(&self, token: &str, rules: &dyn AuthRules) -> Option<Caller> {
        match &self.config().tokens {
            TokenKind::None => None,
            TokenKind::Simple => {
                let name = self.ports().reads.user_of_token(&kept_of(token)?)?.to_string();
                Some(Caller::User { name, revision: rules.revision() })
            }
            TokenKind::Jwt(jwt) => {
                let claims = self.verified_tokens().verify(jwt, token)?;
                let valid = claims.are_valid_at(unix_seconds());
                valid.then(|| Caller::User { name: claims.username.clone(), revision: claims.revision })
            }
        }
    }

    /// Whether the caller may do something.
    ///
    /// # Errors
    /// His token is not valid, or what `check` says.
    pub(super) fn permit(
        &self,
        credentials: impl FnOnce() -> Credentials,
        check: impl FnOnce(&dyn AuthRules, &Caller) -> Result<(), AuthRefusal>,
    ) -> Result<Permit, Status> {
        let Some(rules) = self.ports().reads.auth() else { return Ok(Permit(None)) };
        let caller = self.recognize(&credentials(), &*rules)?;
        check(&*rules, &caller).map_err(status::of_auth)?;
        let revision = if let Caller::User { revision, .. } = caller { revision } else { 0 };
        Ok(Permit(Some(revision).filter(|revision| *revision != 0)))
    }

    /// Whether the rules are still those that a caller was permitted something by.
    ///
    /// # Errors
    /// They are not: what was read meanwhile is not for him.
    pub(super) fn still_permitted(&self, permit: Permit) -> Result<(), Status> {
        match permit.0 {
            Some(revision) if revision != self.ports().reads.auth_revision().1 => Err(status::AUTH_OLD_REVISION),
            _ => Ok(()),
        }
    }

    /// Lets administrators alone pass.
    ///
    /// # Errors
    /// etcd's answer.
    pub(super) fn require_admin(&self, meta: &CallMeta) -> Result<(), Status> {
        self.permit(|| self.credentials(meta), |rules, caller| rules.check_admin(caller)).map(drop)
    }

    /// Lets everybody pass who says who he is.
    ///
    /// # Errors
    /// etcd's answer.
    pub(super) fn require_known(&self, meta: &CallMeta) -> Result<(), Status> {
        self.permit(|| self.credentials(meta), |rules, caller| rules.check_known(caller)).map(drop)
    }

    /// Proposes a checked command on behalf of whoever makes a call, which is answered with the outcome.
    pub(super) fn propose(&self, call: Call, command: Command) {
        match self.caller(&call) {
            Ok(caller) => self.propose_as(caller, call, command),
            Err(why) => call.reply(why),
        }
    }

    /// Goes on with a call at once, or a little later when its token was given by an entry that this member has not applied yet.
    /// What is no token never costs more than that time.
    pub(super) fn when_token_is_known(&self, meta: &CallMeta, go_on: impl FnOnce() + 'static) {
        let Some(index) = self.awaited_index(meta) else { return go_on() };
        let waiting = self.waiting_for_tokens().clone();
        if waiting.get() >= MOST_WAITING {
            return go_on();
        }
        waiting.set(waiting.get() + 1);
        let services = self.clone();
        actix_rt::spawn(async move {
            let until = Instant::now() + 2 * services.config().election;
            let mut pause = LOOKS[0];
            while services.ports().reads.applied_index() < index && Instant::now() < until {
                actix_rt::time::sleep(pause).await;
                pause = (2 * pause).min(LOOKS[1]);
            }
            waiting.set(waiting.get() - 1);
            go_on();
            services.end_of_round();
        });
    }

    /// The entry that gave the token of a call, when this member has not applied it.
    pub(super) fn awaited_index(&self, meta: &CallMeta) -> Option<u64> {
        if !matches!(self.config().tokens, TokenKind::Simple) || !self.ports().reads.auth_revision().0 {
            return None;
        }
        let index = index_of(token_of(meta)?)?;
        (index > self.ports().reads.applied_index()).then_some(index)
    }
}

/// Enough to tell tokens apart in a log, and too little to use one: etcd's.
pub(super) fn fingerprint(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn a_fingerprint_is_etcds() {
        // printf 'abc.1' | sha256sum
        assert_eq!(fingerprint("abc.1"), "0eaeb6c374b6");
    }

    fn shown(meta: &CallMeta, client_cert_auth: bool) -> String {
        match Credentials::of(meta, client_cert_auth).0 {
            Shown::Nothing => "nothing".into(),
            Shown::Token(token) => format!("token {token}"),
            Shown::CommonName(name) => format!("name {name}"),
        }
    }

    #[test]
    fn a_certificate_names_a_user_only_where_nothing_else_does() {
        let headers = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            let name = http::HeaderName::from_static;
            list.iter().map(|(key, value)| (name(key), http::HeaderValue::from_static(value))).collect()
        };
        let meta =
            |list: &[(&'static str, &'static str)], is_local| CallMeta::of_certificate("root", headers(list), is_local);
        assert_eq!(shown(&meta(&[], false), true), "name root");
        assert_eq!(shown(&meta(&[], false), false), "nothing", "without --client-cert-auth");
        // a token that may turn out to be none still comes first
        assert_eq!(shown(&meta(&[("token", "t")], false), true), "token t");
        assert_eq!(shown(&meta(&[("authorization", "Bearer t")], false), true), "token t");
        assert_eq!(shown(&meta(&[("authorization", "b"), ("token", "a")], false), true), "token a");
        // CVE-2018-16886: the gateway's own certificate is nobody's
        assert_eq!(shown(&meta(&[], true), true), "nothing");
        assert_eq!(shown(&meta(&[("grpcgateway-accept", "*/*")], false), true), "nothing");
        assert_eq!(shown(&meta(&[("token", "t")], true), true), "token t");
    }

    #[test]
    fn simple_tokens_name_their_entry() {
        assert_eq!(index_of("abcdefghijklmnop.17"), Some(17));
        for none in ["", "abc", "abc.", ".", "a.b", "a.1.2", "a.-1", "a.99999999999999999999"] {
            assert_eq!(index_of(none), None, "{none}");
        }
    }
}
