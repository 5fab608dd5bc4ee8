//! Locks and elections made of keys, leases and watches, as etcd's clients make them: their keys and order of waiting are the same, so
//! that both kinds of clients wait for each other.

use super::keep_alive;
use super::method::{DELETE_RANGE, LEASE_GRANT, LEASE_REVOKE, RANGE, TXN};
use super::range::{prefix, prefix_end};
use super::watch::{Spec, Watches};
use super::{Client, Failure, Until};
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use bytes::Bytes;
use pb::response_op::Response;
use std::time::Duration;
use tokio::sync::mpsc;

/// A lease that is kept alive as long as this lives.
pub struct Session {
    /// The client.
    pub client: Client,
    /// The lease.
    pub lease: i64,
    renewals: mpsc::Receiver<pb::LeaseKeepAliveResponse>,
}

impl Session {
    /// Takes a lease and keeps it alive.
    ///
    /// # Errors
    /// When no lease is granted.
    pub async fn open(client: Client, ttl: i64, dial_timeout: Duration) -> Result<Self, Failure> {
        let request = pb::LeaseGrantRequest { ttl, id: 0 };
        let granted: pb::LeaseGrantResponse = client.unary(LEASE_GRANT, request, Until::NEVER).await?;
        let renewals = keep_alive::forever(client.clone(), granted.id, dial_timeout + Duration::from_secs(1));
        Ok(Self { client, lease: granted.id, renewals })
    }

    /// Comes back when the lease is gone.
    pub async fn lost(&mut self) {
        while self.renewals.recv().await.is_some() {}
    }

    /// Gives the lease back. A failure is no harm: it ends by itself.
    pub async fn close(self) {
        let request = pb::LeaseRevokeRequest { id: self.lease };
        let until = Until::after(Duration::from_secs(2));
        let _: Result<pb::LeaseRevokeResponse, _> = self.client.unary(LEASE_REVOKE, request, until).await;
    }

    fn own_key(&self, name: &[u8]) -> Bytes {
        [name, b"/", format!("{:x}", self.lease).as_bytes()].concat().into()
    }
}

/// A place in the queue of a lock or an election.
pub struct Place {
    /// Its key.
    pub key: Bytes,
    /// Revision at which it was taken.
    pub revision: i64,
    /// Header of the answer that gave it the lead.
    pub header: pb::ResponseHeader,
}

/// Takes a place under `name` with this value and waits until it is the first.
///
/// # Errors
/// When the place is lost, or the server refuses.
pub async fn wait_in_line(session: &Session, name: &[u8], value: &[u8], at: &mut Option<Place>) -> Result<(), Failure> {
    let key = session.own_key(name);
    let queue: Bytes = [name, b"/"].concat().into();
    let put = pb::PutRequest {
        key: key.clone(),
        value: Bytes::copy_from_slice(value),
        lease: session.lease,
        ..Default::default()
    };
    let get = pb::RangeRequest { key: key.clone(), ..Default::default() };
    let compare = created_at(key.clone(), 0);
    let txn = pb::TxnRequest {
        compare: vec![compare],
        success: vec![op(pb::RequestUnion::Put(put)), op(pb::RequestUnion::Range(first(&queue)))],
        failure: vec![op(pb::RequestUnion::Range(get)), op(pb::RequestUnion::Range(first(&queue)))],
    };
    let answer: pb::TxnResponse = session.client.unary(TXN, txn, Until::NEVER).await?;
    let header = answer.header.unwrap_or_default();
    let mut ranges = answer.responses.into_iter().map(|op| match op.response {
        Some(Response::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    });
    let own = ranges.next().flatten();
    let revision = if answer.succeeded { header.revision } else { own.map_or(0, |kv| kv.create_revision) };
    let place = at.insert(Place { key: key.clone(), revision, header });
    let owner = ranges.next().flatten();
    if owner.is_none_or(|kv| kv.create_revision == revision) {
        return Ok(());
    }
    wait_for_those_before(&session.client, &queue, revision - 1).await?;
    let get = pb::RangeRequest { key, ..Default::default() };
    let held: pb::RangeResponse = session.client.unary(RANGE, get, Until::NEVER).await?;
    if held.kvs.is_empty() {
        return Err(Failure::Text("mutex: session is expired".into()));
    }
    place.header = held.header.unwrap_or_default();
    Ok(())
}

/// Gives a place up, unless somebody else has it by now.
///
/// # Errors
/// The server's.
pub async fn leave(client: &Client, place: &Place) -> Result<(), Failure> {
    let delete = pb::DeleteRangeRequest { key: place.key.clone(), ..Default::default() };
    let txn = pb::TxnRequest {
        compare: vec![created_at(place.key.clone(), place.revision)],
        success: vec![op(pb::RequestUnion::DeleteRange(delete))],
        failure: Vec::new(),
    };
    let _: pb::TxnResponse = client.unary(TXN, txn, Until::NEVER).await?;
    Ok(())
}

/// Deletes the key of a lock, whoever has it: unlocking is etcd's.
///
/// # Errors
/// The server's.
pub async fn unlock(client: &Client, place: &Place) -> Result<(), Failure> {
    let delete = pb::DeleteRangeRequest { key: place.key.clone(), ..Default::default() };
    let _: pb::DeleteRangeResponse = client.unary(DELETE_RANGE, delete, Until::NEVER).await?;
    Ok(())
}

async fn wait_for_those_before(client: &Client, queue: &Bytes, newest: i64) -> Result<(), Failure> {
    loop {
        let (key, range_end) = prefix(queue);
        let request = pb::RangeRequest {
            key,
            range_end,
            limit: 1,
            sort_target: pb::SortTarget::Create.into(),
            sort_order: pb::SortOrder::Descend.into(),
            max_create_revision: newest,
            ..Default::default()
        };
        let before: pb::RangeResponse = client.unary(RANGE, request, Until::NEVER).await?;
        let revision = before.header.unwrap_or_default().revision;
        let Some(last) = before.kvs.into_iter().next() else { return Ok(()) };
        wait_for_delete(client, last.key, revision).await?;
    }
}

async fn wait_for_delete(client: &Client, key: Bytes, revision: i64) -> Result<(), Failure> {
    let mut answers = Watches::start(client.clone(), false).watch(Spec { key, revision, ..Spec::default() });
    while let Some(answer) = answers.recv().await {
        if answer.canceled || answer.compact_revision != 0 {
            return Err(Failure::Text(answer.reason()));
        }
        if answer.events.iter().flatten().any(|event| event.r#type != 0) {
            return Ok(());
        }
    }
    Err(Failure::Text("lost watcher waiting for delete".into()))
}

/// The first in line under a prefix.
fn first(queue: &Bytes) -> pb::RangeRequest {
    pb::RangeRequest {
        key: queue.clone(),
        range_end: prefix_end(queue),
        limit: 1,
        sort_target: pb::SortTarget::Create.into(),
        sort_order: pb::SortOrder::Ascend.into(),
        ..Default::default()
    }
}

fn created_at(key: Bytes, revision: i64) -> pb::Compare {
    pb::Compare {
        result: pb::CompareResult::Equal.into(),
        target: pb::CompareTarget::Create.into(),
        key,
        target_union: Some(pb::TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

fn op(request: pb::RequestUnion) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// Hands every leader of an election to `seen`, until `seen` or a watch ends it.
///
/// # Errors
/// What `seen` says. An end of the watch is `Ok`.
pub async fn observe<E>(
    client: &Client,
    name: &[u8],
    mut seen: impl FnMut(pb::RangeResponse) -> Result<(), E>,
) -> Result<(), E> {
    let queue: Bytes = [name, b"/"].concat().into();
    loop {
        let found: Result<pb::RangeResponse, _> = client.unary(RANGE, first(&queue), Until::NEVER).await;
        let Ok(found) = found else { return Ok(()) };
        let mut header = found.header.unwrap_or_default();
        let leader = match found.kvs.into_iter().next() {
            Some(kv) => kv,
            None => match first_put(client, &queue, header.revision).await {
                Some((at, kv)) => {
                    header = pb::ResponseHeader { revision: kv.mod_revision, ..at };
                    kv
                }
                None => return Ok(()),
            },
        };
        let (key, revision) = (leader.key.clone(), header.revision + 1);
        seen(one(header, leader))?;
        let mut answers = Watches::start(client.clone(), false).watch(Spec { key, revision, ..Spec::default() });
        'leader: loop {
            let Some(answer) = answers.recv().await else { return Ok(()) };
            for event in answer.events.into_iter().flatten() {
                if event.r#type != 0 {
                    break 'leader;
                }
                seen(one(answer.header, event.kv.unwrap_or_default()))?;
            }
        }
    }
}

async fn first_put(client: &Client, queue: &Bytes, revision: i64) -> Option<(pb::ResponseHeader, KeyValue)> {
    let (key, range_end) = prefix(queue);
    let spec = Spec { key, range_end, revision, ..Spec::default() };
    let mut answers = Watches::start(client.clone(), false).watch(spec);
    loop {
        let answer = answers.recv().await?;
        if answer.canceled || answer.compact_revision != 0 {
            return None;
        }
        let put = answer.events.into_iter().flatten().find(|event| event.r#type == 0);
        if let Some(kv) = put.and_then(|event| event.kv) {
            return Some((answer.header, kv));
        }
    }
}

fn one(header: pb::ResponseHeader, kv: KeyValue) -> pb::RangeResponse {
    pb::RangeResponse { header: Some(header), kvs: vec![kv], more: false, count: 0 }
}
