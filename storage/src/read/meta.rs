//! Leases, alarms and members as a view shows them. The codecs are the writer's, in [`apply::meta_rows`](crate::apply).
//!
//! Must never say how long a lease has left: that is the lease manager's clock.

use crate::apply::meta_rows::decode_conf_state;
use crate::apply::{LeaseRow, MemberRow};
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Damaged, meta};
use crate::view::View;
use bytes::Bytes;
use model::ReadError;
use prost::Message;

fn damaged(why: &'static str) -> ReadError {
    Damaged { family: "meta", why }.into()
}

/// Visits rows whose key starts with `prefix` and is not below `from`, until `visit` says stop.
fn rows<S: Snapshot>(
    view: &View<S>,
    prefix: &[u8],
    from: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, ReadError>,
) -> Result<(), ReadError> {
    let mut scan = view.snapshot.scan(Family::Meta, from.max(prefix), None, Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        if !key.starts_with(prefix) || !visit(key, value)? {
            break;
        }
    }
    Ok(())
}

/// All leases, ascending by id.
///
/// # Errors
/// [`ReadError::Store`].
pub fn leases<S: Snapshot>(view: &View<S>) -> Result<Vec<(i64, LeaseRow)>, ReadError> {
    let mut out = Vec::new();
    rows(view, &[meta::LEASE], &[], |key, value| {
        let id = meta::lease_id(key).ok_or_else(|| damaged("bad lease id"))?;
        out.push((id, LeaseRow::decode(value)?));
        Ok(true)
    })?;
    Ok(out)
}

/// One lease, or `None` when it does not exist.
///
/// # Errors
/// [`ReadError::Store`].
pub fn lease<S: Snapshot>(view: &View<S>, id: i64) -> Result<Option<LeaseRow>, ReadError> {
    let row = view.snapshot.get(Family::Meta, &meta::lease(id))?;
    Ok(row.map(|row| LeaseRow::decode(&row)).transpose()?)
}

/// Keys attached to a lease, ascending.
///
/// # Errors
/// [`ReadError::Store`].
pub fn attached_keys<S: Snapshot>(view: &View<S>, id: i64) -> Result<Vec<Bytes>, ReadError> {
    Ok(attached_keys_from(view, id, &[], usize::MAX)?.0)
}

/// At most `max` keys attached to a lease from `from` on, ascending, and whether there are more: for leases with so many keys
/// that they are not to be read at once.
///
/// # Errors
/// [`ReadError::Store`].
pub fn attached_keys_from<S: Snapshot>(
    view: &View<S>,
    id: i64,
    from: &[u8],
    max: usize,
) -> Result<(Vec<Bytes>, bool), ReadError> {
    let (mut keys, mut more) = (Vec::new(), false);
    let prefix = meta::attached(id, &[]);
    rows(view, &prefix, &meta::attached(id, from), |key, _| {
        more = keys.len() == max;
        if !more {
            keys.push(Bytes::copy_from_slice(&key[prefix.len()..]));
        }
        Ok(!more)
    })?;
    Ok((keys, more))
}

/// Membership as of the view.
///
/// # Errors
/// [`ReadError::Store`].
pub fn conf_state<S: Snapshot>(view: &View<S>) -> Result<raft::ConfState, ReadError> {
    let row = view.snapshot.get(Family::Meta, meta::CONF_STATE)?;
    Ok(row.map(|row| decode_conf_state(&row)).transpose()?.unwrap_or_default())
}

/// What the members have published of themselves, by member id, ascending.
///
/// # Errors
/// [`ReadError::Store`].
pub fn members<S: Snapshot>(view: &View<S>) -> Result<Vec<(u64, MemberRow)>, ReadError> {
    let mut out = Vec::new();
    rows(view, &[meta::MEMBER], &[], |key, value| {
        let row = MemberRow::decode(value).map_err(|_| damaged("bad member"))?;
        out.push((member_id(key)?, row));
        Ok(true)
    })?;
    Ok(out)
}

/// Ids of members that were removed and may never come back, ascending.
///
/// # Errors
/// [`ReadError::Store`].
pub fn removed_members<S: Snapshot>(view: &View<S>) -> Result<Vec<u64>, ReadError> {
    let mut out = Vec::new();
    rows(view, &[meta::REMOVED], &[], |key, _| {
        out.push(member_id(key)?);
        Ok(true)
    })?;
    Ok(out)
}

fn member_id(key: &[u8]) -> Result<u64, ReadError> {
    let id = key.get(1..9).and_then(|id| id.try_into().ok());
    id.map(u64::from_be_bytes).ok_or_else(|| damaged("bad member id"))
}

/// The cluster version, once it is settled.
///
/// # Errors
/// [`ReadError::Store`].
pub fn cluster_version<S: Snapshot>(view: &View<S>) -> Result<Option<String>, ReadError> {
    text(view, meta::CLUSTER_VERSION, "bad cluster version")
}

/// The version that the cluster is being downgraded to, if it is.
///
/// # Errors
/// [`ReadError::Store`].
pub fn downgrade_target<S: Snapshot>(view: &View<S>) -> Result<Option<String>, ReadError> {
    text(view, meta::DOWNGRADE, "bad target of a downgrade")
}

fn text<S: Snapshot>(view: &View<S>, row: &[u8], why: &'static str) -> Result<Option<String>, ReadError> {
    let row = view.snapshot.get(Family::Meta, row)?;
    row.map(|row| String::from_utf8(row.into()).map_err(|_| damaged(why))).transpose()
}
