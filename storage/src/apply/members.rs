//! Membership: conf changes, members' addresses and attributes, the cluster version.
//!
//! The role of a member stands in the conf state alone, which the consensus core computes. Must never judge a change.

use super::meta_rows::{MemberRow, damaged, encode_conf_state};
use super::{ApplyFatal, Committed, StateMachine};
use crate::engine::{Direction, Engine, Family, Scan, Snapshot};
use crate::schema::meta;
use bytes::{BufMut, Bytes};
use model::request::{ClusterVersionSetRequest, MemberAttrSetRequest};
use model::{Applied, Envelope, EnvelopeError, Origin, Outcome};
use prost::Message;
use raft::{ConfChangeKind, ConfChangeV2, LogId};

/// The context of a conf change: who proposed it, and how its member is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberContext {
    /// Who waits for the outcome.
    pub origin: Origin,
    /// Peer URLs of the member that is added or updated; empty keeps what is known (promotion).
    pub peer_urls: Vec<String>,
}

impl MemberContext {
    /// Bytes for the context of a conf change.
    pub fn encode(&self) -> Bytes {
        let row = MemberRow { peer_urls: self.peer_urls.clone(), ..Default::default() };
        Envelope { origin: self.origin, only_in_term: 0, command: row.encode_to_vec().into() }.encode()
    }

    /// Reverse of [`Self::encode`].
    ///
    /// # Errors
    /// [`EnvelopeError`] when the bytes are damaged or of a newer version.
    pub fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::decode(bytes)?;
        let row = MemberRow::decode(envelope.command).map_err(|_| EnvelopeError::Malformed("bad member"))?;
        Ok(Self { origin: envelope.origin, peer_urls: row.peer_urls })
    }
}

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

    pub(super) fn conf_change(
        &mut self,
        id: LogId,
        committed: &Committed,
    ) -> Result<Option<(Origin, Applied)>, ApplyFatal> {
        let fatal = |why: String| ApplyFatal::ConfChange { index: id.index, term: id.term, why };
        let Some(conf_state) = &committed.conf_state else { return Ok(None) };
        let change = ConfChangeV2::from_entry(&committed.entry).map_err(|e| fatal(e.to_string()))?;
        let change = change.ok_or_else(|| fatal("its kind says it is none".into()))?;
        let context = match change.context.is_empty() {
            true => None,
            false => Some(MemberContext::decode(&change.context).map_err(|e| fatal(e.to_string()))?),
        };
        let peer_urls = context.as_ref().map_or(&[][..], |c| &c.peer_urls);
        for step in change.changes.iter().filter(|step| step.node_id != 0) {
            let known = self.member(step.node_id)?;
            match step.kind {
                ConfChangeKind::RemoveNode => {
                    self.batch.delete(Family::Meta, member_key(step.node_id));
                    self.batch.put(Family::Meta, row_key(meta::REMOVED, step.node_id), Bytes::new());
                }
                ConfChangeKind::UpdateNode if known.is_none() => {}
                ConfChangeKind::AddNode | ConfChangeKind::AddLearnerNode | ConfChangeKind::UpdateNode => {
                    let mut row = known.unwrap_or_default();
                    if !peer_urls.is_empty() {
                        row.peer_urls = peer_urls.to_vec();
                    }
                    self.set_member(step.node_id, &row);
                }
            }
        }
        self.batch.put(Family::Meta, Bytes::from_static(meta::CONF_STATE), encode_conf_state(conf_state));
        self.conf_state = conf_state.clone();
        self.effects.membership = true;
        let applied = Applied { revision: self.now.revision, term: id.term, result: Ok(Outcome::Done) };
        Ok(context.map(|context| (context.origin, applied)))
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
        self.effects.membership = true;
        Outcome::Done
    }
}
