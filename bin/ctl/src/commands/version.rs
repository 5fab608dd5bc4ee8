//! `version`.

use crate::cli::spec::{Command, Group};
use crate::cli::{Input, program};
use crate::exit::Exit;
use crate::print::say_line;

/// Version of etcd whose tools this one is equal to; scripts ask a link named `etcdctl` for it.
const ETCD: &str = "3.7.1";
const API: &str = "3.7";

/// `version`.
pub const COMMAND: Command = Command {
    name: "version",
    short: "Print the version of {}",
    group: Group::Utility,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(_input: Input) -> Result<(), Exit> {
    let version = if program() == "etcdctl" { ETCD } else { env!("CARGO_PKG_VERSION") };
    say_line(&format!("{} version: {version}", program()));
    say_line(&format!("API version: {API}"));
    Ok(())
}
