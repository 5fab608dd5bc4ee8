//! `elect`: stands for an election, or watches one.

use super::lock::Stop;
use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::client::method::RANGE;
use crate::client::recipes::{self, Session as Lease};
use crate::client::{Failure, Until};
use crate::exit::{ERROR, Exit};
use crate::print::Answer;
use api::etcdserverpb as pb;

/// Life of the lease in seconds.
const TTL: i64 = 60;

/// `elect`.
pub const COMMAND: Command = Command {
    name: "elect",
    usage: "<election-name> [proposal]",
    short: "Campaign in an election, or observe one",
    flags: &[Flag::switch("listen", "only observe the leader").letter('l')],
    group: Group::Concurrency,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    if !matches!(input.args.len(), 1 | 2) {
        return Err(Exit::args("elect takes one election name argument and an optional proposal argument"));
    }
    let (alone, listen) = (input.args.len() == 1, input.on("listen"));
    let session = Session::new(input).await?;
    match (alone, listen) {
        (true, false) => Err(Exit::args("no proposal argument but -l not set")),
        (false, true) => Err(Exit::args("proposal given but -l is set")),
        (true, true) => listen_to(&session).await,
        (false, false) => campaign(&session).await,
    }
}

async fn listen_to(session: &Session) -> Result<(), Exit> {
    let mut stop = Stop::new()?;
    let client = session.client().await?;
    let name = &session.input.args[0];
    let seen = |leader: pb::RangeResponse| session.printer.show(&Answer::Get(&leader));
    tokio::select! {
        () = stop.wait() => Ok(()),
        ended = recipes::observe(&client, name, seen) => {
            ended?;
            Err(Exit::new(ERROR, "elect: observer lost"))
        }
    }
}

async fn campaign(session: &Session) -> Result<(), Exit> {
    let mut stop = Stop::new()?;
    let mut lease = Lease::open(session.client().await?, TTL, session.config.dial_timeout).await?;
    let (name, proposal) = (&session.input.args[0], &session.input.args[1]);
    let mut place = None;
    let elected = tokio::select! {
        elected = recipes::wait_in_line(&lease, name, proposal, &mut place) => elected,
        () = stop.wait() => Err(Failure::Cancelled),
    };
    let Some(place) = place else { return elected.map_err(Exit::from) };
    if let Err(why) = elected {
        recipes::leave(&lease.client, &place).await?;
        lease.close().await;
        return Err(why.into());
    }
    let request = pb::RangeRequest { key: place.key.clone(), ..Default::default() };
    let own: pb::RangeResponse = lease.client.unary(RANGE, request, Until::NEVER).await?;
    session.printer.show(&Answer::Get(&own))?;
    tokio::select! {
        () = stop.wait() => {}
        () = lease.lost() => return Err(Exit::new(ERROR, "elect: session expired")),
    }
    let left = recipes::leave(&lease.client, &place).await;
    lease.close().await;
    Ok(left?)
}
