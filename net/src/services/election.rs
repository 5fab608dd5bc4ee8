//! Election: Campaign, Proclaim, Leader, Resign. Observe stands in [`observe`](super::observe).
//!
//! A campaign is a claim with a value, so that its way is [`claim`](super::claim)'s. Errors carry the code Unknown, as etcd's.
//! Must never change a key that another leader has made since: every write compares the revision that created it.

use super::claim::{self, Claim, Purpose};
use super::kv::{admit_cost, method};
use super::step::{self, Step};
use super::waiting::{self, Waiting};
use super::{Loop, check, status};
use crate::door::{Answer, MethodTable, Status};
use api::v3electionpb as pb;
use bytes::Bytes;
use messages::Token;
use messages::read::Work;
use model::request::{PutRequest, RangeRequest, RequestUnion, SortOrder, SortTarget, TxnRequest};
use model::{Command, KeyValue, OpOutcome, ReadError};
use prost::Message as _;
use std::rc::Rc;

/// What a campaign needs for its answer.
pub(super) struct Campaign {
    pub(super) name: Bytes,
    /// Empty once it has been written.
    pub(super) value: Bytes,
    /// Revision of the transaction that entered the election: the answer's header.
    pub(super) revision: i64,
}

/// The oldest key of an election, if there is one, and the revision of the view.
pub(super) type Oldest = Result<(i64, Option<KeyValue>), ReadError>;

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    let path = |name: &str| format!("/v3electionpb.Election/{name}");
    method(this, table, &path("Campaign"), |this, call, request: pb::CampaignRequest| {
        // copied: it may wait for long, and a decoded field shares the whole buffer it was read into
        let (name, value) = (Bytes::copy_from_slice(&request.name), Bytes::copy_from_slice(&request.value));
        let campaign = Campaign { name, value, revision: 0 };
        claim::begin(this, call.take(), &request.name, request.lease, Purpose::Campaign(campaign));
        Ok(())
    });
    method(this, table, &path("Proclaim"), |this, call, request: pb::ProclaimRequest| {
        let leader = request.leader.as_ref().ok_or(status::MISSING_LEADER)?;
        if leader.lease == 0 {
            step::with_session(this, call.take(), request);
            return Ok(());
        }
        let command = checked(this, request).map_err(status::through_client)?;
        step::start(this, call.take(), Step::Proclaim, command);
        Ok(())
    });
    method(this, table, &path("Resign"), |this, call, request: pb::ResignRequest| {
        let leader = request.leader.ok_or(status::MISSING_LEADER)?;
        if leader.key.is_empty() {
            return Err(status::through_client(status::EMPTY_KEY));
        }
        step::start(this, call.take(), Step::Done, claim::delete_created(leader.key, leader.rev));
        Ok(())
    });
    method(this, table, &path("Leader"), |this, call, request: pb::LeaderRequest| {
        let (prefix, _) = claim::queue(&request.name);
        this.when_readable(call.take(), Waiting::Leader(prefix));
        Ok(())
    });
}

/// A new value for the key that `created` says, under this lease.
pub(super) fn proclaim(key: Bytes, created: i64, value: Bytes, lease: i64) -> TxnRequest {
    let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
    let (compare, success) = (vec![claim::created_at(key, created)], vec![claim::op(RequestUnion::Put(put))]);
    TxnRequest { compare, success, failure: Vec::new() }
}

/// The command of a proclamation.
///
/// # Errors
/// No leader given, its key empty, no space.
pub(super) fn checked(this: &Loop, request: pb::ProclaimRequest) -> Result<Command, Status> {
    let leader = request.leader.ok_or(status::MISSING_LEADER)?;
    let txn = proclaim(leader.key, leader.rev, request.value, leader.lease);
    check::txn(&txn, this.config.max_txn_ops)?;
    admit_cost(this, check::txn_cost(&txn))?;
    Ok(Command::Txn(txn))
}

/// Answer to a campaign whose turn has come.
pub(super) fn won(this: &Loop, campaign: &Campaign, claim: &Claim) -> Answer {
    let leader =
        pb::LeaderKey { name: campaign.name.clone(), key: claim.key.clone(), rev: claim.created, lease: claim.lease };
    let response = pb::CampaignResponse { header: this.pb_header(campaign.revision), leader: Some(leader) };
    Answer::message(response.encode_to_vec())
}

/// The leader's key, when the election is short enough to be read here; otherwise [`ask_oldest`].
pub(super) fn oldest(this: &Loop, prefix: &Bytes) -> Option<Oldest> {
    let (revision, range) = match this.ports.reads.range(&claim::all_of(prefix), this.inline_bytes())? {
        Ok(found) => found,
        Err(why) => return Some(Err(why)),
    };
    // stored bytes were written by us
    let kvs = range.kvs.into_iter().filter_map(|kv| KeyValue::decode(kv).ok());
    Some(Ok((revision, kvs.min_by_key(|kv| kv.create_revision))))
}

/// Has the reader pool look for the leader's key; false when it cannot take more now.
pub(super) fn ask_oldest(this: &Loop, token: Token, prefix: &Bytes) -> bool {
    let range = RangeRequest {
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        limit: 1,
        ..claim::all_of(prefix)
    };
    let txn = TxnRequest { success: vec![claim::op(RequestUnion::Range(range))], ..TxnRequest::default() };
    this.query(token, Work::ReadTxn(txn))
}

/// What the reader pool found.
pub(super) fn oldest_found(result: Result<(i64, OpOutcome), ReadError>) -> Oldest {
    let (revision, outcome) = result?;
    let first = match outcome {
        OpOutcome::Txn { responses, .. } => responses.first().and_then(claim::first_kv),
        _ => None,
    };
    Ok((revision, first))
}

/// Answer to a question for the leader.
pub(super) fn leader(this: &Loop, oldest: Oldest) -> Answer {
    match oldest {
        Ok((revision, Some(kv))) => Answer::message(response(this, revision, kv)),
        Ok((_, None)) => status::ELECTION_NO_LEADER.into(),
        Err(why) => status::through_client(status::of_read(&why)).into(),
    }
}

/// `LeaderResponse`.
pub(super) fn response(this: &Loop, revision: i64, kv: KeyValue) -> Vec<u8> {
    pb::LeaderResponse { header: this.pb_header(revision), kv: Some(kv) }.encode_to_vec()
}

/// The election is long: the pool answers.
pub(super) fn leader_later(this: &Rc<Loop>, token: Token, prefix: Bytes) {
    if ask_oldest(this, token, &prefix) {
        this.waiting.borrow_mut().insert(token, Waiting::Leader(prefix));
    } else {
        waiting::fail(this, token, Waiting::Leader(prefix), status::TOO_MANY_REQUESTS);
    }
}
