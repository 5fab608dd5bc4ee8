//! The daemon `conclave`: flags, logs, signals and exit codes around an embedded node, and the two proxies around [`proxy`].
//!
//! The only place that may touch what is global: subscriber, panic hook, allocator, exit code.

mod cluster;
mod commands;
mod default_host;
mod discovery;
mod limits;
mod log;
mod logging;
mod monitoring;
mod notify;
mod profile;
mod run;
mod settings;
#[cfg(test)]
mod settings_tests;
mod signals;
mod tls;
mod tokens;

use daemon::flags::{self, Command, FlagError, Given};
use daemon::memory;
use log::layer::Lines;
use log::{Level, Logger};
use run::Ended;
use serde_json::json;
use settings::Settings;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Not understood: Go's exit code for flags.
const USAGE: u8 = 2;
/// Time in which the last lines must reach their outputs when the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if let Some(program) = commands::Program::named(args.first()) {
        return program.run(&args[1..]);
    }
    let given = match flags::parse::parse(&args).and_then(complete) {
        Ok(Command::Run(given)) => given,
        Ok(Command::Help) => {
            print!("{}", flags::help::help());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            print!("{}", flags::help::version());
            return ExitCode::SUCCESS;
        }
        Err(why) => return misused(&why),
    };
    let (logger, settings) = match prepare(given) {
        Ok(ready) => ready,
        Err(why) => return failed(&Logger::early(), "failed to verify flags", &why),
    };
    log::panic::install(logger.clone());
    let subscriber = tracing_subscriber::registry().with(Lines(logger.clone()));
    if let Err(why) = tracing::subscriber::set_global_default(subscriber) {
        return failed(&logger, "cannot set up logs", &why.to_string());
    }
    for warning in &settings.warnings {
        logger.log(Level::Warn, warning, &[]);
    }
    raise_limits(&logger);
    run::announce(&logger, &settings);
    let system = actix_rt::System::new();
    let ended = system.block_on(run::run(&logger, settings));
    // dropping it would wait for blocking work, for ever if the disk hangs; the process ends anyway
    std::mem::forget(system);
    match ended {
        Ended::BySignal(signal) => leave(&logger, signal),
        Ended::Failed(msg, why) => failed(&logger, msg, &why),
        Ended::Stopped => {
            logger.flush(LAST_LINES);
            ExitCode::SUCCESS
        }
    }
}

/// The configuration file instead of everything else, or the environment besides the flags.
fn complete(command: Command) -> Result<Command, FlagError> {
    let Command::Run(mut given) = command else { return Ok(command) };
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let vars: Vec<(String, String)> = std::env::vars_os().map(|(key, value)| (text(key), text(value))).collect();
    let variable = || std::env::var(flags::env::variable("config-file")).ok().filter(|path| !path.is_empty());
    let Some(path) = given.path("config-file").or_else(|| variable().map(Into::into)) else {
        flags::env::apply(&mut given, vars.into_iter())?;
        return Ok(Command::Run(given));
    };
    let mut from_file = flags::file::read(&path).map_err(FlagError::Wrong)?;
    from_file.warnings.extend(flags::file::ignored(&path, &given, &vars));
    Ok(Command::Run(from_file))
}

fn prepare(mut given: Given) -> Result<(Logger, Settings), String> {
    let logger = logging::logger(&given)?;
    if let Some(host) = default_host::apply(&mut given) {
        logger.log(Level::Info, "detected default host for advertise", &[("host", json!(host.to_string()))]);
    }
    let mut settings = settings::resolve(given)?;
    settings.node.command_line = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    settings.node.dropped_log_lines = logger.dropped().clone();
    let memory = memory::memory_budget(settings.given.size("memory-budget"), limits::memory())?;
    settings.node.memory_budget = memory.bytes;
    settings.warnings.extend(memory.warning);
    Ok((logger, settings))
}

fn raise_limits(logger: &Logger) {
    match limits::raise_open_files() {
        Ok(None) => {}
        Ok(Some((from, to))) => {
            let fields = [("from", json!(from)), ("to", json!(to))];
            logger.log(Level::Info, "raised the limit of open files", &fields);
        }
        Err(why) => logger.log(Level::Warn, &why, &[]),
    }
}

fn misused(why: &FlagError) -> ExitCode {
    match why {
        FlagError::Usage(text) => {
            eprintln!("{text}\n{}", flags::help::short());
            ExitCode::from(USAGE)
        }
        FlagError::Wrong(text) => failed(&Logger::early(), "failed to verify flags", text),
        FlagError::Conflict(variable) => {
            let fields = [("environment-variable", json!(variable))];
            let logger = Logger::early();
            logger.log(Level::Fatal, &why.to_string(), &fields);
            logger.flush(LAST_LINES);
            ExitCode::FAILURE
        }
    }
}

#[track_caller]
fn failed(logger: &Logger, msg: &str, why: &str) -> ExitCode {
    logger.log(Level::Fatal, msg, &[("error", json!(why))]);
    logger.flush(LAST_LINES);
    ExitCode::FAILURE
}

/// Ends by the signal itself, so that the parent sees why. The first process of a container has no default handlers.
fn leave(logger: &Logger, signal: i32) -> ExitCode {
    logger.flush(LAST_LINES);
    if std::process::id() == 1 {
        return ExitCode::SUCCESS;
    }
    if let Err(why) = signal_hook::low_level::emulate_default_handler(signal) {
        logger.log(Level::Warn, "cannot end by the signal", &[("error", json!(why.to_string()))]);
        logger.flush(LAST_LINES);
    }
    ExitCode::SUCCESS
}
