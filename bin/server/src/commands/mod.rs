//! The other programs in this binary: `gateway` and `grpc-proxy`. Their flags, logs, signals and exit codes.
//!
//! As in etcd, they read no variables and no file. Must never open a data folder.

mod endpoints;
mod gateway;
mod grpc_proxy;
mod grpc_proxy_flags;

use crate::log::layer::Lines;
use crate::log::{Format, Level, Logger, sink::Sink};
use crate::signals::{Signals, signal_name};
use crate::{LAST_LINES, leave, log, notify};
use clap::{CommandFactory, FromArgMatches};
use serde_json::json;
use std::future::Future;
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;

/// A program of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Gateway,
    GrpcProxy,
}

impl Program {
    /// The program that the first argument names.
    pub(crate) fn named(first: Option<&String>) -> Option<Self> {
        match first?.as_str() {
            "gateway" => Some(Self::Gateway),
            "grpc-proxy" => Some(Self::GrpcProxy),
            _ => None,
        }
    }

    /// Runs it with the arguments behind its name.
    pub(crate) fn run(self, args: &[String]) -> ExitCode {
        match self {
            Self::Gateway => gateway::main(args),
            Self::GrpcProxy => grpc_proxy::main(args),
        }
    }
}

/// Reads flags; the help text or what is wrong is printed, and the exit code returned.
fn read<F: CommandFactory + FromArgMatches>(args: &[String]) -> Result<F, ExitCode> {
    let command = F::command().args_override_self(true).no_binary_name(true);
    let read = command.try_get_matches_from(args).and_then(|matches| F::from_arg_matches(&matches));
    read.map_err(|why| {
        // a closed pipe must not become a failure
        let _ = why.print();
        if why.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    })
}

/// Runs until a signal ends it. `serve` gets ready; what it returns runs for as long as the process does, and `farewell` ends it.
fn run<S, F>(level: Level, serve: impl AsyncFnOnce() -> Result<S, String>, farewell: impl FnOnce(S) -> F) -> ExitCode
where
    F: Future<Output = ()>,
{
    let logger = match Sink::stderr().and_then(|sink| Logger::new(level, Format::Json, vec![sink])) {
        Ok(logger) => logger,
        Err(why) => return failed(&format!("cannot write logs to standard error: {why}")),
    };
    log::panic::install(logger.clone());
    let subscriber = tracing_subscriber::registry().with(Lines(logger.clone()));
    if let Err(why) = tracing::subscriber::set_global_default(subscriber) {
        return failed(&why.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return failed(&format!("cannot start threads: {why}")),
    };
    let ended: Result<i32, String> = runtime.block_on(async {
        let mut signals = Signals::new().map_err(|why| format!("cannot handle signals: {why}"))?;
        let running = tokio::select! {
            ready = serve() => ready?,
            signal = signals.next() => return Ok(signal),
        };
        if let Err(why) = notify::ready() {
            logger.log(Level::Warn, "cannot notify the service manager", &[("error", json!(why.to_string()))]);
        }
        let signal = signals.next().await;
        logger.log(Level::Info, "received signal; shutting down", &[("signal", json!(signal_name(signal)))]);
        farewell(running).await;
        Ok(signal)
    });
    // connections end with the process
    runtime.shutdown_background();
    match ended {
        Ok(signal) => leave(&logger, signal),
        Err(why) => {
            logger.flush(LAST_LINES);
            failed(&why)
        }
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
