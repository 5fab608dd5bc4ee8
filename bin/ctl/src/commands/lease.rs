//! `lease …`.

use super::session::Session;
use crate::cli::spec::{Command, Flag, Group};
use crate::cli::{Input, number_exit, value};
use crate::client::method::{LEASE_GRANT, LEASE_LEASES, LEASE_REVOKE, LEASE_TIME_TO_LIVE};
use crate::client::{Until, keep_alive};
use crate::exit::{BAD_CONNECTION, ERROR, Exit};
use crate::print::{Answer, Format, say_line};
use api::etcdserverpb as pb;
use std::time::Duration;

/// `lease`.
pub const COMMAND: Command = Command {
    name: "lease",
    short: "Manage leases. See `{} lease --help`",
    long: "Manage leases",
    below: &[
        Command { name: "grant", usage: "<ttl>", short: "Grant a lease", run: crate::run!(grant), ..Command::EMPTY },
        Command {
            name: "revoke",
            usage: "<leaseID>",
            short: "Revoke a lease and delete its keys",
            run: crate::run!(revoke),
            ..Command::EMPTY
        },
        Command {
            name: "timetolive",
            usage: "<leaseID> [options]",
            short: "Show the time to live of a lease",
            flags: &[Flag::switch("keys", "also print the keys attached to the lease")],
            run: crate::run!(time_to_live),
            ..Command::EMPTY
        },
        Command { name: "list", short: "List all leases", run: crate::run!(list), ..Command::EMPTY },
        Command {
            name: "keep-alive",
            usage: "[options] <leaseID>",
            short: "Keep a lease alive until the command is interrupted",
            flags: &[Flag::switch("once", "renew the lease once and exit")],
            run: crate::run!(keep),
            ..Command::EMPTY
        },
    ],
    group: Group::Keys,
    ..Command::EMPTY
};

fn lease(input: &Input) -> Result<i64, Exit> {
    let given = input.arg(0);
    value::integer(&given, 16)
        .map_err(|why| number_exit("bad lease ID arg ({}), expecting ID in Hex", "ParseInt", &given, why))
}

async fn grant(input: Input) -> Result<(), Exit> {
    input.exactly(1, "lease grant command needs TTL argument")?;
    let given = input.arg(0);
    let ttl = value::integer(&given, 10).map_err(|why| number_exit("bad TTL ({})", "ParseInt", &given, why))?;
    let session = Session::new(input).await?;
    let request = pb::LeaseGrantRequest { ttl, id: 0 };
    let answer: pb::LeaseGrantResponse = session
        .client()
        .await?
        .unary(LEASE_GRANT, request, session.until())
        .await
        .map_err(|why| Exit::wrapped(ERROR, "failed to grant lease ({})", &why))?;
    session.printer.show(&Answer::Grant(&answer))
}

async fn revoke(input: Input) -> Result<(), Exit> {
    input.exactly(1, "lease revoke command needs 1 argument")?;
    let id = lease(&input)?;
    let session = Session::new(input).await?;
    let answer: pb::LeaseRevokeResponse = session
        .client()
        .await?
        .unary(LEASE_REVOKE, pb::LeaseRevokeRequest { id }, session.until())
        .await
        .map_err(|why| Exit::wrapped(ERROR, "failed to revoke lease ({})", &why))?;
    session.printer.show(&Answer::Revoke(id, &answer))
}

async fn time_to_live(input: Input) -> Result<(), Exit> {
    input.exactly(1, "lease timetolive command needs lease ID as argument")?;
    let keys = input.on("keys");
    let session = Session::new(input).await?;
    let client = session.client().await?;
    let request = pb::LeaseTimeToLiveRequest { id: lease(&session.input)?, keys };
    let answer: pb::LeaseTimeToLiveResponse = client
        .unary(LEASE_TIME_TO_LIVE, request, Until::NEVER)
        .await
        .map_err(|why| Exit::failed(BAD_CONNECTION, &why))?;
    session.printer.show(&Answer::TimeToLive(&answer, keys))
}

async fn list(input: Input) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let answer: pb::LeaseLeasesResponse = session
        .client()
        .await?
        .unary(LEASE_LEASES, pb::LeaseLeasesRequest {}, Until::NEVER)
        .await
        .map_err(|why| Exit::failed(BAD_CONNECTION, &why))?;
    session.printer.show(&Answer::Leases(&answer))
}

async fn keep(input: Input) -> Result<(), Exit> {
    input.exactly(1, "lease keep-alive command needs lease ID as argument")?;
    let id = lease(&input)?;
    let session = Session::new(input).await?;
    let client = session.client().await?;
    if session.input.on("once") {
        let answer = keep_alive::once(&client, id).await.map_err(|why| Exit::failed(BAD_CONNECTION, &why))?;
        return session.printer.show(&Answer::KeepAlive(&answer));
    }
    let mut answers = keep_alive::forever(client, id, session.config.dial_timeout + Duration::from_secs(1));
    while let Some(answer) = answers.recv().await {
        session.printer.show(&Answer::KeepAlive(&answer))?;
    }
    if session.printer.format == Format::Simple {
        say_line(&format!("lease {id:016x} expired or revoked."));
    }
    Ok(())
}
