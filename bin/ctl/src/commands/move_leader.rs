//! `move-leader`.

use super::session::Session;
use crate::cli::spec::{Command, Group};
use crate::cli::{Input, number_exit, value};
use crate::client::connect;
use crate::client::method::{MOVE_LEADER, STATUS};
use crate::exit::Exit;
use crate::print::Answer;
use api::etcdserverpb as pb;

/// `move-leader`.
pub const COMMAND: Command = Command {
    name: "move-leader",
    usage: "<transferee-member-id>",
    short: "Transfer leadership to another member",
    group: Group::Cluster,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    input.exactly(1, "move-leader command needs 1 argument")?;
    let given = input.arg(0);
    let target = value::unsigned(&given, 16).map_err(|why| number_exit("{}", "ParseUint", &given, why))?;
    let session = Session::new(input).await?;
    let until = session.until();
    if session.config.endpoints.is_empty() {
        session.client().await?;
    }
    for endpoint in &session.config.endpoints {
        let client = connect(&session.config.only(endpoint)).await?;
        let status: pb::StatusResponse = client.unary(STATUS, pb::StatusRequest {}, until).await?;
        if status.header.unwrap_or_default().member_id == status.leader {
            let request = pb::MoveLeaderRequest { target_id: target };
            let _: pb::MoveLeaderResponse = client.unary(MOVE_LEADER, request, until).await?;
            return session.printer.show(&Answer::MoveLeader(status.leader, target));
        }
    }
    Err(Exit::args(format!("no leader endpoint given at [{}]", session.config.endpoints.join(" "))))
}
