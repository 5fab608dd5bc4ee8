//! `conclaveutl`: looks at and repairs what a member that is not running has left on the disk. The commands, flags, output and
//! exit codes of etcdutl, and a few more commands.
//!
//! Must never open a data folder that a process has open, nor change a file unless its command is there to do so.

mod check;
mod cli;
mod convert;
mod defrag;
mod dump;
mod dump_db;
mod dump_logs;
mod dump_metrics;
mod failure;
mod file;
mod hashkv;
mod migrate;
mod print;
mod progress;
mod proto_text;
mod restore;
mod status;
mod target;
mod unpack;

use clap::CommandFactory;
use clap_complete::Shell;
use cli::{Cli, Command, Dump, Snapshot};
use failure::Failure;
use std::process::ExitCode;

/// Version of the API whose tools this one stands in for.
const API_VERSION: &str = "3.7";

fn main() -> ExitCode {
    let done = cli::parse(std::env::args_os()).and_then(|cli| cli.map_or(Ok(()), run));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { timeout, write_out, command } = cli;
    match command {
        None => print::out(&Cli::command().render_help().to_string()),
        Some(Command::Snapshot { command: None }) => print::out(&cli::help_of("snapshot")),
        Some(Command::Snapshot { command: Some(Snapshot::Status { files }) }) => status::run(&files, &write_out),
        Some(Command::Snapshot { command: Some(Snapshot::Restore(options)) }) => restore::run(&options),
        Some(Command::Snapshot {
            command: Some(Snapshot::Convert { paths, format, from_wal_dir, skip_hash_check }),
        }) => convert::run(&paths, format, from_wal_dir.as_deref(), skip_hash_check),
        Some(Command::Hashkv { paths, rev }) => hashkv::run(&paths, rev, timeout, &write_out),
        Some(Command::Defrag { data_dir, wal_dir }) => defrag::run(&data_dir, wal_dir.as_deref(), timeout),
        Some(Command::Check { path, wal_dir }) => check::run(&path, wal_dir.as_deref(), timeout, &write_out),
        Some(Command::Dump { command: None }) => print::out(&cli::help_of("dump")),
        Some(Command::Dump { command: Some(Dump::Store { path, filter }) }) => {
            dump::store(&path, &filter, timeout, &write_out)
        }
        Some(Command::Dump { command: Some(Dump::Snapshot { file, skip_hash_check, filter }) }) => {
            dump::snapshot(&file, skip_hash_check, &filter, &write_out)
        }
        Some(Command::Dump { command: Some(Dump::Wal(options)) }) => dump::wal(&options, timeout, &write_out),
        Some(Command::DumpDb { command: None }) => print::out(&cli::help_of("dump-db")),
        Some(Command::DumpDb { command: Some(command) }) => dump_db::run(&command, timeout),
        Some(Command::DumpLogs(options)) => dump_logs::run(&options),
        Some(Command::DumpMetrics { addr, file }) => dump_metrics::run(addr.as_deref(), file.as_deref()),
        Some(Command::Migrate { data_dir, target_version, force }) => {
            migrate::run(&data_dir, &target_version, force, timeout)
        }
        Some(Command::Completion { shell }) => completion(shell),
        Some(Command::Version { .. }) => {
            print::out(&format!("conclaveutl version: {}\nAPI version: {API_VERSION}\n", env!("CARGO_PKG_VERSION")))
        }
    }
}

fn completion(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "conclaveutl", &mut script);
    print::out(&String::from_utf8_lossy(&script))
}
