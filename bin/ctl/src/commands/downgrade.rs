//! `downgrade …`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Group};
use crate::client::method::DOWNGRADE;
use crate::exit::Exit;
use crate::print::Answer;
use api::etcdserverpb as pb;
use pb::downgrade_request::DowngradeAction;

/// `downgrade`.
pub const COMMAND: Command = Command {
    name: "downgrade",
    short: "Downgrade the cluster to an earlier version. See `{} downgrade --help`",
    long: "Downgrade the cluster to an earlier version",
    below: &[
        Command {
            name: "validate",
            usage: "<TARGET_VERSION>",
            short: "Check whether the cluster can be downgraded",
            run: crate::run!(validate),
            ..Command::EMPTY
        },
        Command {
            name: "enable",
            usage: "<TARGET_VERSION>",
            short: "Start a downgrade",
            run: crate::run!(enable),
            ..Command::EMPTY
        },
        Command {
            name: "cancel",
            short: "Cancel the downgrade that is under way",
            run: crate::run!(cancel),
            ..Command::EMPTY
        },
    ],
    group: Group::Cluster,
    ..Command::EMPTY
};

async fn validate(input: Input) -> Result<(), Exit> {
    let version = version(&input)?;
    ask(input, DowngradeAction::Validate, version, "validate").await
}

async fn enable(input: Input) -> Result<(), Exit> {
    let version = version(&input)?;
    ask(input, DowngradeAction::Enable, version, "enable").await
}

async fn cancel(input: Input) -> Result<(), Exit> {
    ask(input, DowngradeAction::Cancel, String::new(), "cancel").await
}

fn version(input: &Input) -> Result<String, Exit> {
    match &input.args[..] {
        [] => Err(Exit::args("TARGET_VERSION not provided")),
        [version] if version.is_empty() => Err(Exit::args("target version not provided")),
        [_] => Ok(input.arg(0)),
        _ => Err(Exit::args("too many arguments")),
    }
}

async fn ask(input: Input, action: DowngradeAction, version: String, done: &'static str) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let request = pb::DowngradeRequest { action: action.into(), version };
    let answer: pb::DowngradeResponse = session.client().await?.unary(DOWNGRADE, request, session.until()).await?;
    session.printer.show(&Answer::Downgrade(done, &answer))
}
