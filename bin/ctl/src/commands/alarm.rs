//! `alarm …`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Group};
use crate::client::method::ALARM;
use crate::exit::Exit;
use crate::print::Answer;
use api::etcdserverpb as pb;

/// `alarm`.
pub const COMMAND: Command = Command {
    name: "alarm",
    short: "Manage alarms. See `{} alarm --help`",
    long: "Manage alarms",
    below: &[
        Command { name: "disarm", short: "Disarm all alarms", run: crate::run!(disarm), ..Command::EMPTY },
        Command { name: "list", short: "List the alarms that are raised", run: crate::run!(list), ..Command::EMPTY },
    ],
    group: Group::Cluster,
    ..Command::EMPTY
};

async fn list(input: Input) -> Result<(), Exit> {
    input.exactly(0, "alarm list command accepts no arguments")?;
    let session = Session::new(input).await?;
    let request = pb::AlarmRequest::default();
    let answer: pb::AlarmResponse = session.client().await?.unary(ALARM, request, session.until()).await?;
    session.printer.show(&Answer::Alarm(&answer))
}

/// Each alarm is ended by itself; the answer shows those that were, without a header.
async fn disarm(input: Input) -> Result<(), Exit> {
    input.exactly(0, "alarm disarm command accepts no arguments")?;
    let session = Session::new(input).await?;
    let (client, until) = (session.client().await?, session.until());
    let raised: pb::AlarmResponse = client.unary(ALARM, pb::AlarmRequest::default(), until).await?;
    let mut ended = pb::AlarmResponse::default();
    for alarm in raised.alarms {
        let request = pb::AlarmRequest {
            action: pb::AlarmAction::Deactivate.into(),
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        let answer: pb::AlarmResponse = client.unary(ALARM, request, until).await?;
        ended.alarms.extend(answer.alarms);
    }
    session.printer.show(&Answer::Alarm(&ended))
}
