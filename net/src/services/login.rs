//! Auth.Authenticate: a password for a token.
//!
//! The password is compared at this member, with the hash of one view; the token is given by an entry of the log that counts at the
//! revision of that view alone. If users have changed in between, the password is compared again, so that an old one never logs
//! in and no token is left behind that nobody was told. What the entry carries of a token is the hash of its secret part. Must never
//! log a password or a token, nor let one enter the log.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::identity::{kept_of_secret, unix_seconds};
use super::status;
use super::unary::method;
use crate::door::{Answer, MethodTable, Status};
use crate::tokens::TokenKind;
use api::etcdserverpb as pb;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use messages::Token;
use messages::auth::{PasswordAnswer, PasswordJob};
use model::auth::{AuthCommand, InternalAuthenticateRequest};
use model::{AuthOutcome, AuthRefusal, Caller, Command, Outcome};
use prost::Message as _;

/// How often a password is compared for one call, when users keep changing.
const TRIES: u32 = 10;
/// Letters of the secret part of a simple token.
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// How many of them it has.
const SECRET: usize = 16;

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    method(services, table, "/etcdserverpb.Auth/Authenticate", |services, call, request: pb::AuthenticateRequest| {
        let token = call.take().defer().as_u64();
        let login =
            Login { name: request.name, password: request.password, secret: String::new(), checked: 0, tries: 0 };
        if services.reads_are_free() {
            login.compare(services, token);
        } else {
            services.request_read_index(token, login);
        }
        Ok(())
    });
}

/// A call for a token, whatever it waits for.
struct Login {
    name: String,
    password: String,
    /// The secret part of the token that is asked for; empty for a signed one.
    secret: String,
    /// Revision of users and roles at which the password was compared.
    checked: u64,
    tries: u32,
}

impl Login {
    /// Has the password compared with the hash that the newest view has.
    fn compare(mut self, services: &ClientServices, token: Token) {
        let hash = match services.ports().reads.auth() {
            Some(rules) => {
                self.checked = rules.revision();
                rules.password_hash(&self.name)
            }
            None => Err(AuthRefusal::NotEnabled),
        };
        match hash {
            Ok(hash) => {
                let password = self.password.clone();
                services.run_password(token, PasswordJob::Verify { password, hash }, self);
            }
            Err(why) => self.refuse(services, token, why),
        }
    }

    fn refuse(self, services: &ClientServices, token: Token, why: AuthRefusal) {
        if why != AuthRefusal::NotEnabled {
            tracing::warn!(user = self.name, error = %why, "invalid authentication was requested");
        }
        services.complete(token, status::of_auth(why));
    }

    /// The password is the right one: an entry gives the token.
    fn ask_for_token(mut self, services: &ClientServices, token: Token) {
        let simple_token = match services.config().tokens {
            TokenKind::Simple => {
                let Some(secret) = secret() else { return services.complete(token, status::STOPPED) };
                self.secret = secret;
                kept_of_secret(&self.secret)
            }
            TokenKind::Jwt(_) => String::new(),
            TokenKind::None => return self.refuse(services, token, AuthRefusal::Failed),
        };
        let caller = Caller::User { name: self.name.clone(), revision: self.checked };
        let request = InternalAuthenticateRequest { name: self.name.clone(), password: String::new(), simple_token };
        services.propose_for(caller, token, Command::Auth(AuthCommand::Authenticate(request)), self);
    }

    /// The entry is applied: answers with its token, or has one signed.
    fn token_given(self, services: &ClientServices, call: Token, at: i64, given: &str, revision: u64) {
        match &services.config().tokens {
            TokenKind::Jwt(jwt) => {
                let (jwt, name, now) = (jwt.clone(), self.name.clone(), unix_seconds());
                let sign = Box::new(move || jwt.sign(&name, revision, now));
                services.run_password(call, PasswordJob::Sign(sign), Signing { at });
            }
            TokenKind::Simple | TokenKind::None => {
                let index = given.rsplit_once('.').map_or("", |(_, index)| index);
                answer(services, call, at, format!("{}.{index}", self.secret));
            }
        }
    }
}

fn answer(services: &ClientServices, call: Token, at: i64, token: String) {
    let response = pb::AuthenticateResponse { header: services.pb_header(at), token };
    services.complete(call, Answer::message(response.encode_to_vec()));
}

impl DeferredCall<ClientServices> for Login {
    fn read_granted(self: Box<Self>, services: &ClientServices, token: Token) {
        self.compare(services, token);
    }

    fn password_done(self: Box<Self>, services: &ClientServices, token: Token, answer: PasswordAnswer) {
        match answer {
            PasswordAnswer::Verified(true) => self.ask_for_token(services, token),
            PasswordAnswer::Verified(false) => self.refuse(services, token, AuthRefusal::Failed),
            PasswordAnswer::Hashed(_) | PasswordAnswer::Signed(_) => {
                self.failed(services, token, status::UNEXPECTED_REPLY);
            }
        }
    }

    fn applied(self: Box<Self>, services: &ClientServices, token: Token, revision: i64, outcome: Outcome) {
        match outcome {
            Outcome::Auth(AuthOutcome::Token { token: given, revision: of_users }) => {
                self.token_given(services, token, revision, &given, of_users);
            }
            _ => self.failed(services, token, status::UNEXPECTED_REPLY),
        }
    }

    fn failed(mut self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        self.tries += 1;
        if why == status::AUTH_OLD_REVISION && self.tries < TRIES {
            tracing::info!("revision when password checked became stale; retrying");
            return self.compare(services, token);
        }
        services.complete(token, why);
    }
}

/// A call whose token is being signed.
struct Signing {
    /// Revision of the store, for the header.
    at: i64,
}

impl DeferredCall<ClientServices> for Signing {
    fn password_done(self: Box<Self>, services: &ClientServices, token: Token, reply: PasswordAnswer) {
        match reply {
            PasswordAnswer::Signed(Ok(signed)) => answer(services, token, self.at, signed),
            PasswordAnswer::Signed(Err(why)) => services.complete(token, status::of_password(why)),
            PasswordAnswer::Hashed(_) | PasswordAnswer::Verified(_) => {
                self.failed(services, token, status::UNEXPECTED_REPLY);
            }
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// The secret part of a simple token; `None` when there is no randomness.
fn secret() -> Option<String> {
    let rng = SystemRandom::new();
    let mut out = String::with_capacity(SECRET);
    while out.len() < SECRET {
        let mut bytes = [0; 2 * SECRET];
        rng.fill(&mut bytes).ok()?;
        // what is beyond the last whole multiple would make some letters likelier
        let fair = bytes.iter().map(|byte| usize::from(byte & 63)).filter(|at| *at < LETTERS.len());
        out.extend(fair.take(SECRET - out.len()).map(|at| char::from(LETTERS[at])));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sixteen_letters_and_never_the_same() {
        let (one, other) = (secret().expect("random"), secret().expect("random"));
        assert!(one.len() == SECRET && one.bytes().all(|letter| LETTERS.contains(&letter)), "{one}");
        assert_ne!(one, other);
    }
}
