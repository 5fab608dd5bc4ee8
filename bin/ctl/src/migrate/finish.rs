//! The cut-over: leases, users, a comparison of everything, and the line that says that writers may be switched.
//!
//! Must never say so unless the source was asked last and had not moved.

use super::cluster::Cluster;
use super::compare::Comparison;
use super::error::MigrateError;
use super::job::Job;
use super::options::Options;
use super::pages::Pages;
use super::state::Phase;
use super::users;
use crate::client::method::AUTH_ENABLE;
use crate::client::{Client, Config, Login};
use crate::exit::{ERROR, Exit};
use crate::print::say_line;
use api::etcdserverpb as pb;

/// Keys that differ which are named.
const NAMED: usize = 10;

/// Does it, with everything up to `position` written. False when the source moved meanwhile: nothing is finished then.
///
/// # Errors
/// When both sides are not equal; what waiting does not mend.
pub async fn finish(job: &mut Job, options: &Options, position: i64) -> Result<bool, MigrateError> {
    let leases = job.leases.settle().await?;
    say_line(&format!("leases: {leases}"));
    let copied = users::copy(&job.source, &job.destination.cluster, &options.passwords).await?;
    say_line(&format!("users: {}, roles: {}", copied.users, copied.roles));
    if !copied.without_password.is_empty() {
        let names = copied.without_password.join(", ");
        say_line(&format!(
            "users made without a password, because a cluster gives none away (set them with `user passwd`, or give --passwords-file): {names}"
        ));
    }
    verify(job, position).await?;
    let switch_on = must_switch_on(job, options).await?;
    if job.source.now().await?.revision != position || job.leases.take_lost() {
        return Ok(false);
    }
    let state = job.destination.state.phase;
    debug_assert_eq!(state, Phase::Follow { position, inside: 0 }, "everything is written");
    if switch_on {
        enable_users(job, options).await?;
    }
    job.destination.forget().await?;
    let offset = job.destination.revision + 1 - position;
    let cluster = options.destination.endpoints.join(",");
    say_line(&format!(
        "0 behind at revision {position}: writers may be switched to {cluster}, whose revision is {} ({offset:+})",
        position + offset
    ));
    Ok(true)
}

/// Compares every key, value and lease.
async fn verify(job: &mut Job, position: i64) -> Result<(), MigrateError> {
    let there = job.destination.revision;
    let source = Pages::new(job.source.clone(), position, false);
    let destination = Pages::new(job.destination.cluster.clone(), there, false);
    let leases = job.leases.clone();
    let mut comparison = Comparison::new(source, destination, &leases);
    let (mut named, mut count) = (Vec::new(), 0_u64);
    job.report.begin(0);
    while let Some(difference) = comparison.next(&mut job.report).await? {
        count += 1;
        if named.len() < NAMED {
            named.push(format!("{:?}", String::from_utf8_lossy(&difference.key)));
        }
    }
    let sum = comparison.sum();
    if count > 0 || sum.source != sum.destination {
        let said = format!(
            "{count} keys differ at revision {position} of the source and {there} of the destination: {}; find out who writes to \
             the destination, then run again with --overwrite to make it equal",
            named.join(", ")
        );
        return Err(Exit::new(ERROR, said).into());
    }
    say_line(&format!(
        "verified {} keys: revision {position} of the source and {there} of the destination are equal, SHA-256 {}",
        sum.keys, sum.source
    ));
    Ok(())
}

/// Whether users count at the source and not yet at the destination, where they can: somebody must be able to log in as root.
async fn must_switch_on(job: &Job, options: &Options) -> Result<bool, MigrateError> {
    let here = users::are_on(&job.source).await?.unwrap_or(options.logged_in);
    if !here || users::are_on(&job.destination.cluster).await? == Some(true) {
        return Ok(false);
    }
    if options.passwords.of("root").is_none() {
        say_line(
            "authentication stays off at the destination: the password of root is not known; set it with `user passwd root`, then run `auth enable`",
        );
        return Ok(false);
    }
    Ok(true)
}

/// Switches authentication on, and goes on as root.
async fn enable_users(job: &mut Job, options: &Options) -> Result<(), MigrateError> {
    let enabled: Result<pb::AuthEnableResponse, _> =
        job.destination.cluster.ask(AUTH_ENABLE, pb::AuthEnableRequest {}).await;
    enabled?;
    let login = Login::Password("root".to_owned(), options.passwords.of("root").unwrap_or_default().to_owned());
    let config = Config { login, ..options.destination.clone() };
    job.destination.cluster = Cluster::new(job.destination.cluster.name(), Client::new(config).await?);
    say_line("authentication is on at the destination");
    Ok(())
}
