//! `rebuild`: Conclave's own, etcd has nothing like it.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Group};
use crate::client::connect;
use crate::client::method::REBUILD;
use crate::exit::Exit;
use crate::print::say_line;
use api::conclave as pb;
use std::time::Instant;

/// `rebuild`.
pub const COMMAND: Command = Command {
    name: "rebuild",
    short: "Rebuild the store of the member in `--endpoints` from the leader's",
    group: Group::Cluster,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    input.exactly(0, "rebuild command takes no arguments")?;
    let session = Session::new(input).await?;
    let [endpoint] = &session.config.endpoints[..] else {
        return Err(Exit::args(
            "rebuild command needs exactly one endpoint: that of the member to be rebuilt".to_owned(),
        ));
    };
    let client = connect(&session.config.only(endpoint)).await?;
    let start = Instant::now();
    let _: pb::RebuildResponse = client.unary(REBUILD, pb::RebuildRequest {}, session.until()).await?;
    say_line(&format!("Finished rebuilding member[{endpoint}]. took {}", units::show_duration(start.elapsed())));
    Ok(())
}
