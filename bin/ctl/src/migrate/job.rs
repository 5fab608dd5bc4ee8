//! What the phases of a migration share, and how a batch becomes a transaction of the destination.

use super::batch::{Batch, Change, Kind, Limits};
use super::cluster::Cluster;
use super::destination::{Destination, put};
use super::error::MigrateError;
use super::leases::Leases;
use super::report::Report;
use super::state::Phase;
use api::etcdserverpb as pb;
use std::sync::Arc;

/// A migration at work.
pub struct Job {
    /// Where from.
    pub source: Cluster,
    /// Where to, and how far.
    pub destination: Destination,
    /// Leases of both.
    pub leases: Arc<Leases>,
    /// What a transaction may hold.
    pub limits: Limits,
    /// What is said of it.
    pub report: Report,
}

impl Job {
    /// Everything up to this revision of the source is written, and so many changes of the next.
    pub fn place(&self) -> (i64, usize) {
        match self.destination.state.phase {
            Phase::Follow { position, inside } => (position, inside),
            Phase::Copy { .. } => (0, 0),
        }
    }

    /// Whether the destination has to be compared with the source.
    pub fn is_doubtful(&mut self) -> bool {
        self.destination.doubtful |= self.leases.take_lost();
        self.destination.doubtful
    }

    /// Writes a batch; the destination is in this phase then.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn write(&mut self, batch: &Batch, phase: Phase) -> Result<(), MigrateError> {
        loop {
            let ops = self.operations(batch).await?;
            match self.destination.commit(ops.clone(), phase).await {
                Err(MigrateError::LeaseGone) => self.leases.doubt(batch.changes.iter().filter_map(lease_of)),
                Err(MigrateError::TooLarge) => match &ops[..] {
                    [pb::RequestOp { request: Some(pb::RequestUnion::Put(alone)) }] => {
                        self.destination.put_alone(alone.clone()).await?;
                        self.destination.commit(Vec::new(), phase).await?;
                        break;
                    }
                    _ => return Err(MigrateError::TooLarge),
                },
                done => {
                    done?;
                    break;
                }
            }
        }
        if let Phase::Follow { position, .. } = phase {
            self.leases.written_to(position);
        }
        Ok(())
    }

    async fn operations(&self, batch: &Batch) -> Result<Vec<pb::RequestOp>, MigrateError> {
        let mut ops = Vec::with_capacity(batch.changes.len() + 1);
        for change in &batch.changes {
            match &change.kind {
                Kind::Put { value, lease } => {
                    let lease = self.leases.adopt(*lease, change.revision).await?;
                    ops.push(put(change.key.clone(), value.clone(), lease));
                }
                Kind::Delete => {
                    let delete = pb::DeleteRangeRequest { key: change.key.clone(), ..Default::default() };
                    ops.push(pb::RequestOp { request: Some(pb::RequestUnion::DeleteRange(delete)) });
                }
                Kind::Nothing => {}
            }
        }
        Ok(ops)
    }
}

fn lease_of(change: &Change) -> Option<i64> {
    match change.kind {
        Kind::Put { lease, .. } if lease != 0 => Some(lease),
        _ => None,
    }
}
