//! `compaction`.

use super::session::Session;
use crate::cli::spec::{Command, Flag, Group};
use crate::cli::{Input, bad_number, plain_error, value};
use crate::client::method::COMPACT;
use crate::exit::Exit;
use crate::print::say_line;
use api::etcdserverpb as pb;

/// `compaction`.
pub const COMMAND: Command = Command {
    name: "compaction",
    usage: "[options] <revision>",
    short: "Compact the history of keys up to a revision",
    flags: &[Flag::switch("physical", "wait until the compacted versions are also deleted from the store")],
    group: Group::Keys,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    input.exactly(1, "compaction command needs 1 argument")?;
    let given = input.arg(0);
    let revision = value::integer(&given, 10).map_err(|why| plain_error(bad_number("ParseInt", &given, why)))?;
    let session = Session::new(input).await?;
    let request = pb::CompactionRequest { revision, physical: session.input.on("physical") };
    let _: pb::CompactionResponse = session.client().await?.unary(COMPACT, request, session.until()).await?;
    say_line(&format!("compacted revision {revision}"));
    Ok(())
}
