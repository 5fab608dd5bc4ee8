//! All commands of the v2 API's tool, and the flags that every one of them takes.

use super::{health, keys, members, roles, users, watch};
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::cli::{Input, help};
use crate::exit::Exit;
use crate::print::say;

const GLOBAL: &[Flag] = &[
    Flag::switch("debug", "say what is asked of whom, as commands for curl"),
    Flag::switch("no-sync", "ask the endpoints as given, not those that the cluster names"),
    Flag::new("output", Kind::Text, "simple", "how answers are printed: simple, extended or json").letter('o'),
    Flag::text("discovery-srv", "domain whose SRV records name the endpoints").letter('D'),
    Flag::switch("insecure-discovery", "take endpoints without TLS from SRV records too"),
    Flag::text("peers", "old name of --endpoints").letter('C'),
    Flag::text("endpoint", "old name of --endpoints"),
    Flag::text("endpoints", "URLs of members, separated by commas (http://127.0.0.1:2379,http://127.0.0.1:4001)"),
    Flag::text("cert-file", "certificate that is shown to servers"),
    Flag::text("key-file", "its key"),
    Flag::text("ca-file", "certificates that servers are verified by"),
    Flag::text("username", "name[:password]; a password that is not given is asked for").letter('u'),
    Flag::new("timeout", Kind::Duration, "2s", "longest that a member may take to answer"),
    Flag::new("total-timeout", Kind::Duration, "5s", "longest that a command may take, but for watches"),
];

/// All commands.
pub static ROOT: Command = Command {
    name: "conclavectl",
    short: "Client for the v2 API of Conclave and etcd (ETCDCTL_API=2).",
    shared: GLOBAL,
    below: &[
        keys::GET,
        keys::LS,
        keys::MK,
        keys::MKDIR,
        keys::SET,
        keys::SETDIR,
        keys::UPDATE,
        keys::UPDATEDIR,
        keys::RM,
        keys::RMDIR,
        watch::WATCH,
        watch::EXEC_WATCH,
        health::COMMAND,
        members::COMMAND,
        users::USER,
        roles::COMMAND,
        users::AUTH,
        OPTIONS,
    ],
    ..Command::EMPTY
};

const OPTIONS: Command = Command {
    name: "options",
    short: "List the flags that every command takes",
    group: Group::Utility,
    run: crate::run!(options),
    ..Command::EMPTY
};

async fn options(_: Input) -> Result<(), Exit> {
    let flags: Vec<&Flag> = GLOBAL.iter().collect();
    say(format!("The following options can be passed to any command:\n\n{}", help::flags(&flags, "")).as_bytes());
    Ok(())
}
