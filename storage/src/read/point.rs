//! One key: the hot path. A read of the present is one look-up in `cur`, and one in `log` when the value is not small.
//!
//! Must never set up a scan for a read of the present.

use super::at::At;
use super::plan::{Plan, Shape};
use super::values::{fetch_one, len_of, shaped};
use super::walk::{Found, Kv, newest_in_hist, past_head};
use crate::engine::{Family, Snapshot};
use crate::schema::Head;
use bytes::{Buf, Bytes};
use model::request::RangeRequest;
use model::{RangeOutcome, ReadError};

/// Answers a request for one key in the present, outside of any transaction; `None` when its key-value is larger than `most`.
pub(super) fn present<S: Snapshot>(
    snapshot: &S,
    request: &RangeRequest,
    most: usize,
) -> Result<Option<RangeOutcome>, ReadError> {
    let Some(mut row) = snapshot.get(Family::Cur, &request.key)? else { return Ok(Some(RangeOutcome::default())) };
    if request.count_only {
        return Ok(Some(RangeOutcome { count: 1, ..RangeOutcome::default() }));
    }
    let head = Head::decode(&row)?;
    if head.len as usize > most && !request.keys_only {
        return Ok(None);
    }
    let plain = !request.keys_only && !filtered(request);
    let kv = if plain && row.len() > Head::LEN {
        row.advance(Head::LEN);
        Some(row)
    } else {
        projected(snapshot, &request.key, row, &head, request)?
    };
    Ok(Some(RangeOutcome { kvs: kv.into_iter().collect(), more: false, count: 1 }))
}

fn filtered(request: &RangeRequest) -> bool {
    let bounds =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    bounds != [0; 4]
}

fn projected<S: Snapshot>(
    snapshot: &S,
    key: &[u8],
    mut row: Bytes,
    head: &Head,
    request: &RangeRequest,
) -> Result<Option<Bytes>, ReadError> {
    let plan = Plan::of(request);
    if !plan.passes(&Found { key, head: *head, kv: Kv::Log }) {
        return Ok(None);
    }
    if let Shape::KeysOnly { lease } = plan.shape {
        let mut out = Vec::new();
        super::kv_bytes::put_keys_only(&mut out, key, head, lease);
        return Ok(Some(out.into()));
    }
    if row.len() > Head::LEN {
        row.advance(Head::LEN);
        return Ok(Some(row));
    }
    fetch_one(snapshot, head.modified).map(Some)
}

/// The key's head as of main revision `at`, with its key-value where that needed no further look-up.
pub(super) fn head_at<S: Snapshot>(
    snapshot: &S,
    key: &[u8],
    at: i64,
) -> Result<Option<(Head, Option<Bytes>)>, ReadError> {
    if let Some(mut row) = snapshot.get(Family::Cur, key)? {
        let head = Head::decode(&row)?;
        if head.modified.main <= at {
            row.advance(Head::LEN);
            return Ok(Some((head, (!row.is_empty()).then_some(row))));
        }
    }
    let newest = newest_in_hist(snapshot, key, at)?;
    Ok(newest.and_then(|(revision, row)| past_head(revision, row)).map(|head| (head, None)))
}

/// One key as of main revision `at`: its head (`len` is zero for versions of the past) and its encoded key-value.
///
/// The caller has checked the revision.
///
/// # Errors
/// [`ReadError::Store`].
pub fn get_at<S: Snapshot>(snapshot: &S, key: &[u8], at: i64) -> Result<Option<(Head, Bytes)>, ReadError> {
    let Some((head, kv)) = head_at(snapshot, key, at)? else { return Ok(None) };
    let kv = kv.map_or_else(|| fetch_one(snapshot, head.modified), Ok)?;
    Ok(Some((head, kv)))
}

/// Answers a request for one key in the past.
pub(super) fn past<S: Snapshot>(snapshot: &S, request: &RangeRequest, at: i64) -> Result<RangeOutcome, ReadError> {
    let Some((head, kv)) = head_at(snapshot, &request.key, at)? else { return Ok(RangeOutcome::default()) };
    let plan = Plan::of(request);
    let mut kvs = Vec::new();
    if !plan.count_only && plan.passes(&Found { key: &request.key, head, kv: Kv::Log }) {
        let kv = kv.map_or_else(|| fetch_one(snapshot, head.modified), Ok)?;
        kvs.push(shaped(kv, &head, plan.shape)?);
    }
    Ok(RangeOutcome { kvs, more: false, count: 1 })
}

/// What a request shows of one living key whose key-value and head are at hand; `None` when a filter drops it.
///
/// `count_only` is the caller's business.
///
/// # Errors
/// [`ReadError::Store`] when the key-value is damaged.
pub fn project(kv: &Bytes, head: &Head, request: &RangeRequest) -> Result<Option<Bytes>, ReadError> {
    if !request.keys_only && !filtered(request) {
        return Ok(Some(kv.clone()));
    }
    let plan = Plan::of(request);
    if !plan.passes(&Found { key: &request.key, head: *head, kv: Kv::Log }) {
        return Ok(None);
    }
    shaped(kv.clone(), head, plan.shape).map(Some)
}

/// Length of what [`project`] would show, from the head alone; `None` when a filter drops it.
pub(crate) fn projected_len(key: &[u8], head: &Head, request: &RangeRequest) -> Option<usize> {
    let plan = Plan::of(request);
    let found = Found { key, head: *head, kv: Kv::Log };
    plan.passes(&found).then(|| len_of(&found, plan.shape))
}

/// Answers any request for one key outside of a transaction.
pub(super) fn single<S: Snapshot>(
    snapshot: &S,
    at: At,
    request: &RangeRequest,
    revision: i64,
) -> Result<RangeOutcome, ReadError> {
    if revision == at.revision {
        return Ok(present(snapshot, request, usize::MAX)?.unwrap_or_default());
    }
    past(snapshot, request, revision)
}
