//! Makes the destination equal to the source where it is not: after a lease ended there, or a part of the history was lost.

use super::batch::{Batch, Change};
use super::compare::Comparison;
use super::error::MigrateError;
use super::job::Job;
use super::pages::Pages;
use super::state::Phase;
use crate::print::say_line;

/// Writes what differs at a revision of the source; the destination follows from there on.
///
/// # Errors
/// [`MigrateError::Compacted`]; what waiting does not mend.
pub async fn repair(job: &mut Job, position: i64) -> Result<(), MigrateError> {
    let phase = Phase::Follow { position, inside: 0 };
    say_line(&format!("comparing the destination with revision {position} of the source"));
    // what is changed from now on is told by its revision
    job.destination.doubtful = false;
    let source = Pages::new(job.source.clone(), position, false);
    let destination = Pages::new(job.destination.cluster.clone(), 0, false);
    let leases = job.leases.clone();
    let mut comparison = Comparison::new(source, destination, &leases);
    let (mut batch, mut count) = (Batch::new(job.limits), 0_u64);
    let mut late = Vec::new();
    job.report.begin(0);
    while let Some(difference) = comparison.next(&mut job.report).await? {
        count += 1;
        let change = match difference.source {
            Some(kv) => Change::put(kv.create_revision, kv.key, kv.value, kv.lease),
            None => Change::delete(position, difference.key),
        };
        if change.is_of_session() {
            late.push(change);
        } else {
            batch = add(job, batch, change, phase).await?;
        }
    }
    // those who wait for a lock keep their order
    late.sort_unstable_by_key(|change| change.revision);
    for change in late {
        batch = add(job, batch, change, phase).await?;
    }
    job.write(&batch, phase).await?;
    say_line(&format!("{count} keys differed and were written again"));
    Ok(())
}

async fn add(job: &mut Job, mut batch: Batch, change: Change, phase: Phase) -> Result<Batch, MigrateError> {
    if !batch.is_empty() && !batch.fits(std::slice::from_ref(&change)) {
        job.write(&batch, phase).await?;
        batch = Batch::new(job.limits);
    }
    batch.add([change]);
    Ok(batch)
}
