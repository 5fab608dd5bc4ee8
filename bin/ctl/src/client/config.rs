//! What a client is made of, read from the flags.

use super::srv;
use super::tls::{self, Secure, Tls};
use crate::cli::Input;
use crate::exit::{BAD_ARGS, ERROR, Exit};
use crate::term::password;
use std::time::Duration;

/// Who logs in.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Nobody.
    #[default]
    None,
    /// Name and password.
    Password(String, String),
    /// A token made elsewhere.
    Token(String),
}

/// What a client is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where servers are.
    pub endpoints: Vec<String>,
    /// `--dial-timeout`.
    pub dial_timeout: Duration,
    /// `--keepalive-time`.
    pub keepalive_time: Duration,
    /// `--keepalive-timeout`.
    pub keepalive_timeout: Duration,
    /// `--max-request-bytes`.
    pub max_send: usize,
    /// `--max-recv-bytes`.
    pub max_receive: usize,
    /// Whether both limits were given: only then they are compared, as in etcd's client.
    pub limits_given: bool,
    /// TLS as asked for.
    pub secure: Secure,
    /// TLS as it is spoken.
    pub tls: Option<Tls>,
    /// Who logs in.
    pub login: Login,
}

/// Largest request when none is given.
const MAX_SEND: usize = 2 * 1024 * 1024;

impl Config {
    /// From the global flags.
    ///
    /// # Errors
    /// Flags that do not fit together, files that cannot be read.
    pub async fn read(input: &Input) -> Result<Self, Exit> {
        let secure = secure(input)?;
        let endpoints = endpoints(input).await?;
        let login = login(&input.text("user"), &input.text("password"), &input.text("auth-jwt-token"), "Password: ")?;
        Self { secure, ..Self::plain(input, endpoints, login) }.ready()
    }

    /// Other endpoints with the same manners, without TLS.
    pub fn plain(input: &Input, endpoints: Vec<String>, login: Login) -> Self {
        let size = |name: &str, default: usize| match usize::try_from(input.int(name)) {
            Ok(0) | Err(_) => default,
            Ok(size) => size,
        };
        Self {
            endpoints,
            dial_timeout: input.duration("dial-timeout"),
            keepalive_time: input.duration("keepalive-time"),
            keepalive_timeout: input.duration("keepalive-timeout"),
            max_send: size("max-request-bytes", MAX_SEND),
            max_receive: size("max-recv-bytes", i32::MAX as usize),
            limits_given: input.int("max-request-bytes") > 0 && input.int("max-recv-bytes") > 0,
            secure: Secure::default(),
            tls: None,
            login,
        }
    }

    /// Reads the files of TLS.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn ready(mut self) -> Result<Self, Exit> {
        if self.max_send > self.max_receive && self.limits_given {
            let (receive, send) = (self.max_receive, self.max_send);
            let said =
                format!("gRPC message recv limit ({receive} bytes) must be greater than send limit ({send} bytes)");
            return Err(Exit::new(crate::exit::BAD_CONNECTION, said));
        }
        self.tls = tls::read(&self.secure).map_err(|why| Exit::new(BAD_ARGS, why))?;
        Ok(self)
    }

    /// The same for one endpoint.
    pub fn only(&self, endpoint: &str) -> Self {
        Self { endpoints: vec![endpoint.to_owned()], ..self.clone() }
    }
}

/// Endpoints of the flag or of DNS.
///
/// # Errors
/// When DNS knows nothing.
pub async fn endpoints(input: &Input) -> Result<Vec<String>, Exit> {
    let domain = input.text("discovery-srv");
    let mut found = Vec::new();
    if !domain.is_empty() {
        let all = srv::endpoints(&domain, &input.text("discovery-srv-name")).await;
        found = all.map_err(|why| Exit::new(ERROR, why))?;
        if !input.on("insecure-discovery") {
            found.retain(|endpoint| {
                let plain = endpoint.starts_with("http://");
                if plain {
                    eprintln!("ignoring discovered insecure endpoint {endpoint:?}");
                }
                !plain
            });
        }
    }
    if found.is_empty() {
        found = input.values.list("endpoints").iter().map(|endpoint| endpoint.trim().to_owned()).collect();
    }
    Ok(found)
}

fn secure(input: &Input) -> Result<Secure, Exit> {
    for name in ["cert", "key", "cacert"] {
        if input.changed(name) && input.bytes(name).is_empty() {
            return Err(Exit::args(format!("empty string is passed to --{name} option")));
        }
    }
    let server_name = if input.on("insecure-discovery") { String::new() } else { input.text("discovery-srv") };
    Ok(Secure {
        cert: input.text("cert"),
        key: input.text("key"),
        cacert: input.text("cacert"),
        server_name,
        insecure_transport: input.on("insecure-transport"),
        skip_verify: input.on("insecure-skip-tls-verify"),
    })
}

/// Who logs in: a token goes before a user. Without a password it is asked for.
///
/// # Errors
/// When nobody can be asked.
pub fn login(user: &str, password: &str, token: &str, prompt: &str) -> Result<Login, Exit> {
    if !token.is_empty() {
        return Ok(Login::Token(token.to_owned()));
    }
    if user.is_empty() {
        return Ok(Login::None);
    }
    if !password.is_empty() {
        return Ok(Login::Password(user.to_owned(), password.to_owned()));
    }
    if let Some((user, password)) = user.split_once(':') {
        return Ok(Login::Password(user.to_owned(), password.to_owned()));
    }
    let asked = password::ask(prompt).map_err(|why| Exit::new(ERROR, why.to_string()))?;
    Ok(Login::Password(user.to_owned(), asked))
}
