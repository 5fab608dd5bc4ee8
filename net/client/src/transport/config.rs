//! What a pool of connections is made of. Must never read a flag, a variable or a file.

use super::failure::Failure;
use super::method::Method;
use super::secure::Tls;
use std::time::Duration;

/// Who logs in.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Nobody.
    #[default]
    None,
    /// Name and password: a token is asked for, and again when it is too old.
    Password(String, String),
    /// A token made elsewhere.
    Token(String),
}

/// See the file header.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where servers are.
    pub endpoints: Vec<String>,
    /// How long the login may take; zero for ever.
    pub dial_timeout: Duration,
    /// Pause after which a silent connection is asked for a sign of life; zero for never.
    pub keepalive_time: Duration,
    /// How long that may take.
    pub keepalive_timeout: Duration,
    /// Largest request in bytes.
    pub max_send: usize,
    /// Largest answer in bytes.
    pub max_receive: usize,
    /// TLS, for endpoints that want it.
    pub tls: Option<Tls>,
    /// Who logs in.
    pub login: Login,
    /// What servers see in their logs.
    pub user_agent: &'static str,
    /// Told of every attempt that failed, counted from zero.
    pub on_failure: fn(Method, usize, &Failure),
}

/// Largest request when none is given.
pub const MAX_SEND: usize = 2 * 1024 * 1024;

impl Config {
    /// The same for one endpoint.
    pub fn only(&self, endpoint: &str) -> Self {
        Self { endpoints: vec![endpoint.to_owned()], ..self.clone() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            dial_timeout: Duration::from_secs(5),
            keepalive_time: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(5),
            max_send: MAX_SEND,
            max_receive: i32::MAX as usize,
            tls: None,
            login: Login::None,
            user_agent: concat!("conclave-client/", env!("CARGO_PKG_VERSION")),
            on_failure: |_, _, _| (),
        }
    }
}
