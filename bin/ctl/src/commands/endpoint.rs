//! `endpoint …`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::client::method::{ALARM, HASH_KV, RANGE, STATUS};
use crate::client::{Client, Config, Failure, Until, connect};
use crate::exit::{ERROR, Exit};
use crate::print::Answer;
use crate::print::answer::Health;
use api::etcdserverpb as pb;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// `--cluster`.
pub const CLUSTER: Flag = Flag::switch("cluster", "use all endpoints from the member list of the cluster");

/// `endpoint`.
pub const COMMAND: Command = Command {
    name: "endpoint",
    short: "Inspect endpoints. See `{} endpoint --help`",
    long: "Inspect endpoints",
    shared: &[CLUSTER],
    below: &[
        Command {
            name: "health",
            short: "Check the health of each endpoint in `--endpoints`",
            run: crate::run!(health),
            ..Command::EMPTY
        },
        Command {
            name: "status",
            short: "Print the status of each endpoint in `--endpoints`",
            long: "Print the status of each endpoint in `--endpoints`. In the simple format: endpoint, ID, version, storage version, size, size in use,
share not in use, quota, is leader, is learner, raft term, index, applied index, errors, downgrade target, downgrade.",
            run: crate::run!(status),
            ..Command::EMPTY
        },
        Command {
            name: "hashkv",
            short: "Print the hash of the key-value store of each endpoint in `--endpoints`",
            flags: &[Flag::int("rev", "hash the history up to this revision (0: the newest)")],
            run: crate::run!(hash),
            ..Command::EMPTY
        },
    ],
    group: Group::Cluster,
    ..Command::EMPTY
};

async fn health(input: Input) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let timeout = session.input.duration("command-timeout");
    let mut checks = JoinSet::new();
    for endpoint in session.each_endpoint().await? {
        checks.spawn(check(session.config.only(&endpoint), endpoint, timeout));
    }
    let mut all = Vec::new();
    while let Some(checked) = checks.join_next().await {
        all.push(checked.map_err(|why| Exit::new(ERROR, why.to_string()))?);
    }
    session.printer.show(&Answer::Health(&all))?;
    if all.iter().any(|health| !health.error.is_empty()) {
        return Err(Exit::new(ERROR, "unhealthy cluster"));
    }
    Ok(())
}

/// An endpoint is well when a linearizable read comes back, even a refused one, and there is no alarm.
async fn check(config: Config, endpoint: String, timeout: Duration) -> Health {
    let mut health = Health { endpoint, healthy: false, took: String::new(), error: String::new() };
    let client = match connect(&config).await {
        Ok(client) => client,
        Err(why) => {
            health.error = why.text.unwrap_or_default();
            return health;
        }
    };
    let (start, until) = (Instant::now(), Until::after(timeout));
    let request = pb::RangeRequest { key: "health".into(), ..Default::default() };
    let read: Result<pb::RangeResponse, Failure> = client.unary(RANGE, request, until).await;
    health.took = units::show_duration(start.elapsed());
    match read {
        Err(why) if !why.is("permission denied") => health.error = why.to_string(),
        _ => health.error = alarms(&client, until).await,
    }
    health.healthy = health.error.is_empty();
    health
}

async fn alarms(client: &Client, until: Until) -> String {
    let listed: Result<pb::AlarmResponse, _> = client.unary(ALARM, pb::AlarmRequest::default(), until).await;
    match listed {
        Ok(listed) if listed.alarms.is_empty() => String::new(),
        Ok(listed) => {
            let names = listed.alarms.iter().map(|alarm| match alarm.alarm {
                1 => "NOSPACE ",
                2 => "CORRUPT ",
                _ => "UNKNOWN ",
            });
            format!("Active Alarm(s): {}", names.collect::<String>())
        }
        Err(_) => "Unable to fetch the alarm list".into(),
    }
}

async fn status(input: Input) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let (mut all, mut failed) = (Vec::new(), false);
    for endpoint in session.each_endpoint().await? {
        let client = connect(&session.config.only(&endpoint)).await?;
        match client.unary::<_, pb::StatusResponse>(STATUS, pb::StatusRequest {}, session.until()).await {
            Ok(answer) => all.push((endpoint, answer)),
            Err(why) => {
                eprintln!("Failed to get the status of endpoint {endpoint} ({why})");
                failed = true;
            }
        }
    }
    session.printer.show(&Answer::Status(&all))?;
    if failed { Err(Exit::silent(ERROR)) } else { Ok(()) }
}

async fn hash(input: Input) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let revision = session.input.int("rev");
    let (mut all, mut failed) = (Vec::new(), None);
    for endpoint in session.each_endpoint().await? {
        let client = connect(&session.config.only(&endpoint)).await?;
        let request = pb::HashKvRequest { revision };
        match client.unary::<_, pb::HashKvResponse>(HASH_KV, request, session.until()).await {
            Ok(answer) => all.push((endpoint, answer)),
            Err(why) => {
                eprintln!("Failed to get the hash of endpoint {endpoint} ({why})");
                failed = Some(why);
            }
        }
    }
    session.printer.show(&Answer::HashKv(&all))?;
    failed.map_or(Ok(()), |why| Err(why.into()))
}
