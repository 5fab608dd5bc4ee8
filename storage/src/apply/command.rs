//! One entry: which commands may act now, and who carries them out.
//!
//! Must never look at anything but the entry and replicated state.

use super::decoded::Decoded;
use super::entry_cursor::EntryCursor;
use super::failure::{Run, answer};
use super::overlay::Written;
use super::{ApplyFatal, Committed, StateMachine};
use crate::engine::Engine;
use crate::schema::Damaged;
use model::mutant::{self, Mutant};
use model::request::{AlarmType, RequestOp, RequestUnion, TxnRequest};
use model::v2::Operation;
use model::{Applied, ApplyError, Caller, Command, OpOutcome, Origin, Outcome};
use raft::{EntryKind, LogId};

/// True when the transaction could write a value: what a full store refuses.
fn writes_values(txn: &TxnRequest) -> bool {
    let writes = |op: &RequestOp| match &op.request {
        Some(RequestUnion::Put(_)) => true,
        Some(RequestUnion::Txn(txn)) => writes_values(txn),
        _ => false,
    };
    txn.success.iter().any(writes) || txn.failure.iter().any(writes)
}

impl<E: Engine> StateMachine<E> {
    /// What one entry does, up to the applied index (which the caller moves).
    pub(super) fn apply_one(&mut self, committed: &Committed) -> Result<Option<(Origin, Applied)>, ApplyFatal> {
        let entry = &committed.entry;
        let id = LogId { term: entry.term, index: entry.index };
        if entry.kind != EntryKind::Normal {
            self.conf_change(committed)?;
            return Ok(None);
        }
        if entry.data.is_empty() {
            return Ok(None);
        }
        let Decoded { envelope, caller, command, .. } = self.take_decoded(entry)?;
        let stale = envelope.only_in_term != 0 && envelope.only_in_term != entry.term;
        let result = if stale && !mutant::on(Mutant::RevokeLaterTerm) {
            Err(ApplyError::StaleTerm)
        } else if let Some(refusal) = self.alarm_refuses(&command) {
            Err(refusal)
        } else {
            let mut cursor = EntryCursor::new(id, envelope.command, self.effects.events.len());
            answer(self.start(&mut cursor, &caller, command))?
        };
        self.close_revision();
        Ok(Some((envelope.origin, Applied { revision: self.now.revision, term: entry.term, result })))
    }

    /// All writes of an entry share one main revision; without writes there is none.
    pub(super) fn close_revision(&mut self) {
        if self.sub > 0 {
            self.now.revision += 1;
            self.sub = 0;
        }
    }

    fn alarm_refuses(&self, command: &Command) -> Option<ApplyError> {
        if self.alarms.is_empty() {
            return None;
        }
        let stands = |alarm| self.alarms.iter().any(|a| a.alarm == alarm);
        let corrupt = match command {
            Command::Put(_) | Command::DeleteRange(_) | Command::Txn(_) | Command::Compaction(_) => true,
            Command::LeaseGrant(_) | Command::LeaseRevoke(_) => true,
            Command::LeaseCheckpoint(_) | Command::Alarm(_) => false,
            Command::ClusterVersionSet(_) | Command::MemberAttrSet(_) => false,
            Command::DowngradeInfoSet(_) | Command::Auth(_) => false,
            Command::V2(request) => request.operation() != Some(Operation::Sync),
        };
        if corrupt && stands(AlarmType::Corrupt) {
            return Some(ApplyError::Corrupt);
        }
        let costs = match command {
            Command::Put(_) | Command::LeaseGrant(_) => true,
            Command::Txn(txn) => writes_values(txn),
            Command::V2(request) => request.cost() != 0,
            _ => false,
        };
        (costs && stands(AlarmType::Nospace)).then_some(ApplyError::NoSpace)
    }

    fn start(&mut self, cursor: &mut EntryCursor, caller: &Caller, command: Command) -> Run<Outcome> {
        self.authorize(caller, &command)?;
        match command {
            Command::Put(put) => {
                self.check_put(&put)?;
                Ok(Outcome::Op(self.put(put)?))
            }
            Command::DeleteRange(delete) => {
                if !delete.range_end.is_empty() {
                    self.commit()?;
                    self.check_prevs(&delete, &mut 0)?;
                }
                Ok(Outcome::Op(self.delete_range(cursor, &delete)?))
            }
            Command::Txn(txn) => Ok(Outcome::Op(self.txn(cursor, &txn)?)),
            Command::Compaction(request) => self.compact(request),
            Command::LeaseGrant(request) => self.lease_grant(request),
            Command::LeaseRevoke(request) => self.lease_revoke(cursor, request),
            Command::LeaseCheckpoint(request) => self.lease_checkpoint(&request),
            Command::Alarm(request) => Ok(self.alarm(request)),
            Command::ClusterVersionSet(request) => Ok(self.set_cluster_version(request)),
            Command::MemberAttrSet(request) => Ok(self.set_attributes(request)?),
            Command::DowngradeInfoSet(request) => Ok(self.set_downgrade(request)),
            Command::Auth(command) => self.auth_command(cursor.id.index, caller, &command),
            Command::V2(request) => self.v2_request(&request),
        }
    }

    /// Goes on with a command whose effects were written in part. Only what deletes ranges can be in that state.
    pub(super) fn finish(
        &mut self,
        cursor: &mut EntryCursor,
        command: &Command,
    ) -> Result<Result<(), ApplyError>, ApplyFatal> {
        let done = match command {
            Command::DeleteRange(delete) => self.delete_range(cursor, delete).map(drop),
            Command::Txn(txn) => {
                self.written = Some(Written::default());
                self.execute(cursor, txn).map(|_: OpOutcome| ())
            }
            Command::LeaseRevoke(request) => self.revoke_keys(cursor, *request).map(drop),
            _ => Err(Damaged { family: "meta", why: "a chunk cursor of a command that has no chunks" }.into()),
        };
        answer(done)
    }
}
