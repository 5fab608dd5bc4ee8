//! The course of a migration: copy, follow, finish, and what leads from one to the other again.

use super::batch::Limits;
use super::cluster::Cluster;
use super::copy::copy;
use super::destination::Destination;
use super::error::MigrateError;
use super::finish::finish;
use super::follow::Feed;
use super::job::Job;
use super::leases::Leases;
use super::options::Options;
use super::repair::repair;
use super::report::Report;
use super::state::Phase;
use crate::exit::{ERROR, Exit};
use crate::print::say_line;
use conclave_client::WatchError;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the source is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the oldest revision of a source that says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it begins anew because the last write of a tool that was killed arrived meanwhile: once is the rule.
const ATTEMPTS: usize = 5;

/// Migrates, until it is finished or, without `finish`, for ever.
///
/// # Errors
/// What waiting does not mend.
pub async fn run(source: Cluster, destination: Cluster, options: &Options) -> Result<(), Exit> {
    for _ in 1..ATTEMPTS {
        let mut has_written = false;
        match attempt(source.clone(), destination.clone(), options, &mut has_written).await {
            Err(MigrateError::Overtaken) if !has_written => {}
            ended => return Ok(ended?),
        }
    }
    Ok(attempt(source, destination, options, &mut false).await?)
}

async fn attempt(
    source: Cluster,
    destination: Cluster,
    options: &Options,
    has_written: &mut bool,
) -> Result<(), MigrateError> {
    let now = source.now().await?;
    let leases = Leases::new(source.clone(), destination.clone());
    let destination = Destination::open(destination, now.cluster_id, options.overwrite).await?;
    let limits =
        Limits { ops: options.max_ops.saturating_sub(1).max(1), bytes: options.max_bytes, exact: options.exact };
    let report = Report::new(options.report_every);
    let mut job = Job { source, destination, leases: leases.clone(), limits, report };
    let _renewing = Renewing(tokio::spawn(leases.keep()));
    let ended = course(&mut job, options, now.revision).await;
    *has_written = job.destination.has_written;
    ended
}

async fn course(job: &mut Job, options: &Options, now: i64) -> Result<(), MigrateError> {
    if job.destination.is_new() {
        begin(job, options, now).await?;
    }
    if let Phase::Copy { base, done } = job.destination.state.phase {
        match copy(job, base, done).await {
            Err(MigrateError::Compacted) => start_over(job).await?,
            other => other?,
        }
    }
    follow(job, options).await
}

/// Renews leases until it is dropped.
struct Renewing(JoinHandle<()>);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Chooses the revision to copy, and writes down that the migration has begun.
async fn begin(job: &mut Job, options: &Options, now: i64) -> Result<(), MigrateError> {
    let oldest = oldest(&job.source, now).await?;
    let base = match options.history {
        None => now,
        Some(0) => oldest,
        Some(first) if first > oldest && first <= now + 1 => first - 1,
        Some(first) => {
            let said = format!(
                "the source has the changes from revision {} to {now}, not from {first} on; 0 begins with the oldest",
                oldest + 1
            );
            return Err(Exit::new(ERROR, said).into());
        }
    };
    say_line(&format!("copying revision {base}, then every change behind it; the source is at revision {now}"));
    if base == 0 && !job.destination.doubtful {
        // the state comes with the first change, so that revisions may stay what they are
        job.destination.state.phase = Phase::Follow { position: 1, inside: 0 };
        return Ok(());
    }
    job.destination.commit(Vec::new(), Phase::Copy { base, done: 0 }).await?;
    if job.destination.is_in(&job.source).await? {
        job.destination.forget().await?;
        return Err(Exit::args("source and destination are the same cluster").into());
    }
    Ok(())
}

/// The revision of the newest compaction, 0 before the first one.
async fn oldest(source: &Cluster, now: i64) -> Result<i64, Exit> {
    if now <= 1 {
        return Ok(0);
    }
    let fail = |why: WatchError| Exit::new(ERROR, why.to_string());
    let mut watcher = source.client().watch("").prefix().since(1).await.map_err(fail)?;
    match tokio::time::timeout(PATIENCE, watcher.next()).await {
        Ok(Some(Err(WatchError::Compacted { oldest }))) => Ok(oldest),
        Ok(Some(Err(why))) => Err(fail(why)),
        Ok(Some(Ok(_))) => Ok(0),
        Ok(None) | Err(_) => Ok(now),
    }
}

/// The source has compacted what was to be copied next: goes on with what it has now.
async fn start_over(job: &mut Job) -> Result<(), MigrateError> {
    let now = job.source.now().await?.revision;
    say_line(&format!(
        "the source has compacted what was to be copied next: the changes up to its revision {now} are not copied one by one"
    ));
    job.destination.commit(Vec::new(), Phase::Follow { position: now, inside: 0 }).await?;
    job.destination.doubtful = true;
    Ok(())
}

async fn follow(job: &mut Job, options: &Options) -> Result<(), MigrateError> {
    loop {
        match follow_from_here(job, options).await {
            Err(MigrateError::Compacted) => start_over(job).await?,
            other => return other,
        }
    }
}

/// Follows until it is finished, or has to begin anew.
async fn follow_from_here(job: &mut Job, options: &Options) -> Result<(), MigrateError> {
    let mut told = None;
    loop {
        let (mut position, inside) = job.place();
        while job.is_doubtful() {
            repair(job, position).await?;
        }
        let inside = if job.place() == (position, inside) { inside } else { 0 };
        let mut feed = Feed::start(&job.source, position, inside).await?;
        let mut ask = interval(ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        job.report.begin(u64::try_from(position).unwrap_or(0));
        while !job.is_doubtful() {
            tokio::select! {
                next = feed.next(job.limits) => {
                    let (batch, phase) = next?;
                    job.write(&batch, phase).await?;
                    continue;
                }
                _ = ask.tick() => {}
            }
            position = job.place().0;
            let source = job.source.now().await?.revision;
            if position < source {
                job.report.behind(position, source);
                feed.request_progress();
                continue;
            }
            if told != Some(position) {
                say_line(&format!("0 behind at revision {position}"));
                told = Some(position);
            }
            if options.finish && cut_over(job, options, position).await? {
                return Ok(());
            }
        }
    }
}

/// Finishes when the source is at rest. False when it is not.
async fn cut_over(job: &mut Job, options: &Options, position: i64) -> Result<bool, MigrateError> {
    sleep(options.quiet).await;
    let now = job.source.now().await?.revision;
    if now == position && finish(job, options, position).await? {
        return Ok(true);
    }
    say_line(&format!("the source is still written to: its revision was {position}; stop its writers"));
    Ok(false)
}
