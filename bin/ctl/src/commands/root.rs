//! The tree of commands. Must never hold what a command does.

use super::global::GLOBAL;
use super::{
    alarm, auth, check, compaction, completion, defrag, del, downgrade, elect, endpoint, get, lease, lock, make_mirror,
    member, migrate, move_leader, options, put, rebuild, role, snapshot, txn, user, version, watch,
};
use crate::cli::spec::{Command, Group};

/// The root.
pub static ROOT: Command = Command {
    name: "conclavectl",
    short: "Client for Conclave and etcd.",
    shared: GLOBAL,
    below: &[
        get::COMMAND,
        put::COMMAND,
        del::COMMAND,
        txn::COMMAND,
        compaction::COMMAND,
        alarm::COMMAND,
        defrag::COMMAND,
        endpoint::COMMAND,
        move_leader::COMMAND,
        rebuild::COMMAND,
        watch::COMMAND,
        version::COMMAND,
        lease::COMMAND,
        member::COMMAND,
        snapshot::COMMAND,
        make_mirror::COMMAND,
        migrate::COMMAND,
        lock::COMMAND,
        elect::COMMAND,
        auth::COMMAND,
        user::COMMAND,
        role::COMMAND,
        check::COMMAND,
        completion::COMMAND,
        downgrade::COMMAND,
        options::COMMAND,
        HELP,
    ],
    ..Command::EMPTY
};

/// Run by `main`, which knows the tree.
const HELP: Command = Command {
    name: "help",
    usage: "[command]",
    short: "Show help for a command",
    group: Group::Utility,
    run: crate::run!(super::options::help),
    ..Command::EMPTY
};
