//! Membership: conf changes, members' addresses and attributes, the cluster version.
//!
//! What the judge accepts has its effect here, in the batch of its entry; what it refuses has none. The role of a member stands in
//! the conf state alone. Must never look at anything but the entry and the replicated membership.

use super::judge::Membership;
use super::member_context::MemberContext;
use super::meta_rows::{MemberRow, damaged, encode_conf_state};
use super::report::ConfVerdict;
use super::{ApplyFatal, Committed, StateMachine};
use crate::engine::{Direction, Engine, Family, Scan, Snapshot};
use crate::schema::meta;
use bytes::{BufMut, Bytes};
use model::request::{ClusterVersionSetRequest, DowngradeInfoSetRequest, MemberAttrSetRequest};
use model::{Applied, ApplyError, Outcome};
use prost::Message;
use raft::{ConfChangeV2, Entry};
use std::sync::Arc;

fn row_key(prefix: u8, id: u64) -> Bytes {
    let mut key = Vec::with_capacity(9);
    key.put_u8(prefix);
    key.put_u64(id);
    key.into()
}

/// Row key of a member.
pub(super) fn member_key(id: u64) -> Bytes {
    row_key(meta::MEMBER, id)
}

/// Rows of `meta` under a prefix: the eight bytes behind it, and the value.
fn by_id<S: Snapshot>(snapshot: &S, prefix: u8) -> Result<Vec<(u64, Bytes)>, ApplyFatal> {
    let mut out = Vec::new();
    let mut scan = snapshot.scan(Family::Meta, &[prefix], Some(&[prefix + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        let id = key[1..].try_into().map_err(|_| damaged("bad member key"))?;
        out.push((u64::from_be_bytes(id), Bytes::copy_from_slice(value)));
    }
    Ok(out)
}

/// What becomes of a committed conf change, and the membership behind it. `revision` stands in its answer.
///
/// # Errors
/// [`ApplyFatal::ConfChange`] when the entry is none.
pub fn verdict(before: Membership, entry: &Entry, revision: i64) -> Result<ConfVerdict, ApplyFatal> {
    let (index, term) = (entry.index, entry.term);
    let fatal = |why: String| ApplyFatal::ConfChange { index, term, why };
    let change = ConfChangeV2::from_entry(entry).map_err(|e| fatal(e.to_string()))?;
    let change = change.ok_or_else(|| fatal("its kind says it is none".into()))?;
    let context = match change.context.is_empty() {
        true => None,
        false => Some(MemberContext::decode(&change.context).map_err(|e| fatal(e.to_string()))?),
    };
    let result = before.judge(&change, context.as_ref());
    let membership = match &result {
        Ok(conf_state) => Arc::new(before.after(&change, context.as_ref(), conf_state.clone())),
        Err(_) => Arc::new(before),
    };
    let outcome = || Outcome::Members {
        changed: change.changes.first().map_or(0, |step| step.node_id),
        members: membership.infos(),
    };
    let answer = context.map(|context| {
        let result = result.as_ref().map(|_| outcome()).map_err(|why| ApplyError::Member(*why));
        (context.origin, Applied { revision, term, result })
    });
    let result = result.map(drop);
    Ok(ConfVerdict { index, change, result, answer, membership })
}

impl<E: Engine> StateMachine<E> {
    /// All members as of the applied index, ascending by id. Their roles are in the conf state.
    ///
    /// # Errors
    /// [`ApplyFatal`] when rows cannot be read.
    pub fn members(&self) -> Result<Vec<(u64, MemberRow)>, ApplyFatal> {
        let rows = by_id(&self.snapshot, meta::MEMBER)?;
        rows.into_iter().map(|(id, row)| Ok((id, MemberRow::decode(row).map_err(|_| damaged("bad member"))?))).collect()
    }

    /// Ids of all members ever removed, ascending: they never come back.
    ///
    /// # Errors
    /// [`ApplyFatal`] when rows cannot be read.
    pub fn removed_members(&self) -> Result<Vec<u64>, ApplyFatal> {
        Ok(by_id(&self.snapshot, meta::REMOVED)?.into_iter().map(|(id, _)| id).collect())
    }

    /// A member's row. Membership entries are rare: they write what precedes them first, so that rows are the truth.
    fn member(&mut self, id: u64) -> Result<Option<MemberRow>, ApplyFatal> {
        self.commit()?;
        let row = self.snapshot.get(Family::Meta, &member_key(id))?;
        Ok(row.map(|row| MemberRow::decode(row).map_err(|_| damaged("bad member"))).transpose()?)
    }

    fn set_member(&mut self, id: u64, row: &MemberRow) {
        self.batch.put(Family::Meta, member_key(id), row.encode_to_vec().into());
        self.effects.membership = true;
    }

    /// Who the members are, who votes and who was removed, as of the last batch.
    ///
    /// # Errors
    /// [`ApplyFatal`] when rows cannot be read.
    pub fn membership(&self) -> Result<Membership, ApplyFatal> {
        let (members, removed) = (self.members()?, self.removed_members()?);
        Ok(Membership { members, conf_state: self.conf_state.clone(), removed })
    }

    /// Judges a conf change, carries it out if it is accepted, and notes the verdict for the consensus core.
    pub(super) fn conf_change(&mut self, committed: &Committed) -> Result<(), ApplyFatal> {
        // membership entries are rare: what precedes them is written first, so that rows are the truth
        self.commit()?;
        let verdict = verdict(self.membership()?, &committed.entry, self.now.revision)?;
        if verdict.result.is_ok() {
            self.change_rows(&verdict.change, &verdict.membership);
        }
        self.effects.verdicts.push(verdict);
        Ok(())
    }

    /// The rows of an accepted change, which come into force with the entry's batch.
    fn change_rows(&mut self, change: &ConfChangeV2, after: &Membership) {
        for step in &change.changes {
            match after.member(step.node_id) {
                Some(row) => self.set_member(step.node_id, row),
                None => {
                    self.batch.delete(Family::Meta, member_key(step.node_id));
                    self.batch.put(Family::Meta, row_key(meta::REMOVED, step.node_id), Bytes::new());
                }
            }
        }
        self.batch.put(Family::Meta, Bytes::from_static(meta::CONF_STATE), encode_conf_state(&after.conf_state));
        self.conf_state = after.conf_state.clone();
        self.effects.membership = true;
    }

    /// A member publishes itself. One that is not, or no longer, a member is not listened to.
    pub(super) fn set_attributes(&mut self, request: MemberAttrSetRequest) -> Result<Outcome, ApplyFatal> {
        if let (Some(row), Some(attributes)) = (self.member(request.member_id)?, request.attributes) {
            let row = MemberRow { name: attributes.name, client_urls: attributes.client_urls, ..row };
            self.set_member(request.member_id, &row);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn set_cluster_version(&mut self, request: ClusterVersionSetRequest) -> Outcome {
        self.batch.put(Family::Meta, Bytes::from_static(meta::CLUSTER_VERSION), request.ver.clone().into());
        self.cluster_version = Some(request.ver);
        // no older build is a member any more: from here on all compute it, and alike
        self.begins_hash = true;
        self.effects.membership = true;
        Outcome::Done
    }

    /// Only notes it: the leader lowers the version of the cluster when it sees the note, and raises it when the note is gone.
    pub(super) fn set_downgrade(&mut self, request: DowngradeInfoSetRequest) -> Outcome {
        let row = Bytes::from_static(meta::DOWNGRADE);
        match request.enabled {
            true => self.batch.put(Family::Meta, row, request.ver.into()),
            false => self.batch.delete(Family::Meta, row),
        }
        Outcome::Done
    }
}
