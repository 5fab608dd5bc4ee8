//! What a client is made of, read from the flags.

use super::connect::warn;
use super::{Config, Login, Secure};
use crate::cli::Input;
use crate::exit::{BAD_ARGS, ERROR, Exit};
use crate::term::password;
use conclave_client::transport::config::MAX_SEND;
use conclave_client::transport::{secure, srv};

/// From the global flags.
///
/// # Errors
/// Flags that do not fit together, files that cannot be read.
pub async fn read(input: &Input) -> Result<Config, Exit> {
    let secure = secure_flags(input)?;
    let endpoints = endpoints(input).await?;
    let login = login(&input.text("user"), &input.text("password"), &input.text("auth-jwt-token"), "Password: ")?;
    with(input, &secure, endpoints, login)
}

/// Other endpoints with the same manners, over TLS as it is asked for.
///
/// # Errors
/// Limits that do not fit together; what is wrong with the files of TLS.
pub fn with(input: &Input, secure: &Secure, endpoints: Vec<String>, login: Login) -> Result<Config, Exit> {
    let size = |name: &str, default: usize| match usize::try_from(input.int(name)) {
        Ok(0) | Err(_) => default,
        Ok(size) => size,
    };
    let (send, receive) = (size("max-request-bytes", MAX_SEND), size("max-recv-bytes", i32::MAX as usize));
    // only when both are given they are compared, as in etcd's client
    if send > receive && input.int("max-request-bytes") > 0 && input.int("max-recv-bytes") > 0 {
        let said = format!("gRPC message recv limit ({receive} bytes) must be greater than send limit ({send} bytes)");
        return Err(Exit::new(crate::exit::BAD_CONNECTION, said));
    }
    Ok(Config {
        endpoints,
        dial_timeout: input.duration("dial-timeout"),
        keepalive_time: input.duration("keepalive-time"),
        keepalive_timeout: input.duration("keepalive-timeout"),
        max_send: send,
        max_receive: receive,
        tls: secure::read(secure).map_err(|why| Exit::new(BAD_ARGS, why))?,
        login,
        user_agent: concat!("conclavectl/", env!("CARGO_PKG_VERSION")),
        on_failure: warn,
    })
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

fn secure_flags(input: &Input) -> Result<Secure, Exit> {
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
