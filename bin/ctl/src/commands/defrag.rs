//! `defrag`.

use super::endpoint::CLUSTER;
use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Group};
use crate::client::connect;
use crate::client::method::DEFRAGMENT;
use crate::exit::{ERROR, Exit};
use crate::print::say_line;
use api::etcdserverpb as pb;
use std::time::Instant;

/// `defrag`.
pub const COMMAND: Command = Command {
    name: "defrag",
    short: "Defragment the storage of each member in `--endpoints`",
    shared: &[CLUSTER],
    group: Group::Cluster,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let mut failed = false;
    for endpoint in session.each_endpoint().await? {
        let client = connect(&session.config.only(&endpoint)).await?;
        let start = Instant::now();
        let done: Result<pb::DefragmentResponse, _> =
            client.unary(DEFRAGMENT, pb::DefragmentRequest {}, session.until()).await;
        let took = units::show_duration(start.elapsed());
        match done {
            Ok(_) => say_line(&format!("Finished defragmenting etcd member[{endpoint}]. took {took}")),
            Err(why) => {
                eprintln!("Failed to defragment etcd member[{endpoint}]. took {took}. ({why})");
                failed = true;
            }
        }
    }
    if failed { Err(Exit::silent(ERROR)) } else { Ok(()) }
}
