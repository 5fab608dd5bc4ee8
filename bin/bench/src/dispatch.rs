//! From the name of a command to the file that carries it out. Must never hold what a command does.

use crate::cmd::{Failed, lease, mix, put, range, stm, txn, watch, watch_get, watch_latency};
use crate::flags::Given;
use crate::soak;

/// Runs a command to its end.
///
/// # Errors
/// What kept it from finishing; failed requests are no error but part of the report.
pub async fn run(given: &Given) -> Result<(), Failed> {
    match given.command.name {
        "put" => put::run(given).await,
        "range" => range::run(given).await,
        "txn-put" => txn::put(given).await,
        "txn-mixed" => txn::mixed(given).await,
        "watch" => watch::run(given).await,
        "watch-get" => watch_get::run(given).await,
        "watch-latency" => watch_latency::run(given).await,
        "lease-keepalive" => lease::run(given).await,
        "stm" => stm::run(given).await,
        "mix" => mix::run(given).await,
        "soak" => soak::run(given).await,
        other => Err(Failed::Usage(format!("{other} is not a command"))),
    }
}
