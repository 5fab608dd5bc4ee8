//! Makes a client, and tells of its attempts as etcd's client does. Must never print an answer.

use super::{Client, Config, Failure, Method};
use crate::exit::{BAD_CONNECTION, Exit};
use crate::{log, term};

/// Makes a client and logs in.
///
/// # Errors
/// When there is no endpoint, or the login fails.
pub async fn connect(config: &Config) -> Result<Client, Exit> {
    Client::new(config.clone()).await.map_err(|why| Exit::failed(BAD_CONNECTION, &why))
}

/// As etcd's client logs an attempt that failed; a person gets a hint instead.
pub fn warn(method: Method, attempt: usize, why: &Failure) {
    if term::stderr_is_terminal() {
        return;
    }
    let said = "retrying of unary invoker failed";
    let (attempt, why) = (attempt.to_string(), why.detail());
    log::line("warn", said, &[("method", method.path), ("attempt", &attempt), ("error", &why)]);
}
