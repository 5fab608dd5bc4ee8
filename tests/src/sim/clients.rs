//! Simulated clients: what they ask next, and what they were told.
//!
//! Each has one call out at a time. Must never ask twice for the same thing: an operation is attempted once, as a server sees it.

use super::params::Params;
use super::replay::{FIRST_OP, Replay};
use super::rng::Rng;
use bytes::Bytes;
use model::auth::*;
use model::request::*;
use model::{Command, KeyRange};

/// A call without an answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name: the token, and the id inside its entry.
    pub op: u64,
    /// What it is about.
    pub ask: Ask,
    /// When it began.
    pub since: u64,
    /// The newest index anybody had been told of then: its own must be above.
    pub after: u64,
    /// The newest revision anybody had been told of then.
    pub revision: i64,
}

/// What a call is about.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A proposal.
    Write(Command),
    /// A linearizable range.
    Read(RangeRequest),
    /// A serializable range.
    Peek(RangeRequest),
    /// A renewal.
    Renew(i64),
}

/// One client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The machine whose member it asks.
    pub at: usize,
    /// It does not wait until the member serves.
    pub eager: bool,
    /// Its call.
    pub call: Option<Call>,
    /// The term it saw last.
    pub term: u64,
}

/// All of them, and the newest position any of them was told of.
#[derive(Debug, Default)]
pub struct Clients {
    /// The clients.
    pub list: Vec<Client>,
    /// Calls begun.
    pub begun: u64,
    /// Calls answered with a result.
    pub answered: u64,
    /// Newest index told.
    pub told_index: u64,
    /// Newest revision told.
    pub told_revision: i64,
}

impl Clients {
    /// As many as the run has.
    pub fn new(rng: &mut Rng, params: &Params) -> Self {
        let members = params.members as u64;
        let client =
            |nth: u64| Client { eager: rng.chance(params.eager), at: (nth % members) as usize, ..Client::default() };
        Self { list: (0..params.clients).map(client).collect(), ..Self::default() }
    }

    /// The next call of a client.
    pub fn next_call(&mut self, rng: &mut Rng, params: &Params, replay: &Replay, now: u64) -> Call {
        self.begun += 1;
        let ask = match rng.below(100) {
            0..70 => Ask::Write(command(rng, params, replay)),
            70..80 => Ask::Read(range(rng, params, replay)),
            80..88 => Ask::Peek(range(rng, params, replay)),
            _ => Ask::Renew(held_lease(rng, params, replay)),
        };
        Call { op: FIRST_OP + self.begun, ask, since: now, after: self.told_index, revision: self.told_revision }
    }

    /// Takes the call of this name off its client, if that still waits for it.
    pub fn take(&mut self, op: u64) -> Option<(usize, Call)> {
        let at = self.list.iter().position(|c| c.call.as_ref().is_some_and(|call| call.op == op))?;
        self.list[at].call.take().map(|call| (at, call))
    }
}

fn lease_id(rng: &mut Rng, params: &Params) -> i64 {
    rng.between(1, params.leases) as i64
}

/// A lease that there is, more often than not: who holds one renews it, and knows nothing of its end.
fn held_lease(rng: &mut Rng, params: &Params, replay: &Replay) -> i64 {
    let held: Vec<i64> = replay.now().leases.keys().copied().collect();
    if held.is_empty() || rng.chance(30) { lease_id(rng, params) } else { rng.pick(&held) }
}

fn key(rng: &mut Rng, params: &Params) -> Bytes {
    // a key that contains zero bytes now and then, because rows escape them
    let n = rng.below(params.keys);
    let text = if n % 7 == 3 { format!("k\0{n:03}") } else { format!("k{n:03}") };
    text.into_bytes().into()
}

fn value(rng: &mut Rng, params: &Params) -> Bytes {
    let len = rng.between(1, params.value) as usize;
    let mut value = format!("{:x}-", rng.next()).into_bytes();
    value.resize(len.max(18), b'v');
    value.into()
}

/// A key, a few keys, or all keys.
pub fn key_range(rng: &mut Rng, params: &Params) -> KeyRange {
    let (a, b) = (key(rng, params), key(rng, params));
    match rng.below(4) {
        0 => KeyRange::new(a, Bytes::new()),
        1 if a < b => KeyRange::new(a, b),
        2 => KeyRange::new(a, Bytes::from_static(&[0])),
        _ => KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0])),
    }
}

fn range(rng: &mut Rng, params: &Params, replay: &Replay) -> RangeRequest {
    let KeyRange { key, end } = key_range(rng, params);
    let past = rng.chance(40);
    let newest = replay.now().revision as u64;
    let revision = if past { rng.between(newest.saturating_sub(15).max(1), newest + 1) as i64 } else { 0 };
    let limit = if rng.chance(20) { rng.between(1, 4) as i64 } else { 0 };
    RangeRequest { key, range_end: end, revision, limit, ..RangeRequest::default() }
}

fn put(rng: &mut Rng, params: &Params, key: Bytes) -> PutRequest {
    let lease = if rng.chance(15) { lease_id(rng, params) } else { 0 };
    PutRequest { key, value: value(rng, params), lease, prev_kv: rng.chance(20), ..PutRequest::default() }
}

fn command(rng: &mut Rng, params: &Params, replay: &Replay) -> Command {
    let newest = replay.now().revision;
    match rng.below(100) {
        0..58 => {
            let key = key(rng, params);
            Command::Put(put(rng, params, key))
        }
        58..70 => {
            let KeyRange { key, end } = key_range(rng, params);
            Command::DeleteRange(DeleteRangeRequest { key, range_end: end, prev_kv: rng.chance(20) })
        }
        70..82 => Command::Txn(txn(rng, params, newest)),
        82..89 => {
            let back = if rng.chance(30) { 0 } else { rng.below(12) as i64 };
            Command::Compaction(CompactionRequest { revision: (newest - back).max(0), physical: rng.chance(30) })
        }
        89..92 => Command::Auth(users(rng, params)),
        92..97 => {
            Command::LeaseGrant(LeaseGrantRequest { id: lease_id(rng, params), ttl: rng.pick(&[1, 1, 2, 5, 12]) })
        }
        _ => Command::LeaseRevoke(LeaseRevokeRequest { id: lease_id(rng, params) }),
    }
}

/// Of few users and roles, so that most commands have an effect. Nobody switches authentication on: clients have no tokens.
fn users(rng: &mut Rng, params: &Params) -> AuthCommand {
    let name = |kind: &str, number: u64| format!("{kind}{number}");
    let (user, role) = (name("user", rng.below(3)), name("role", rng.below(3)));
    let key = key(rng, params);
    match rng.below(12) {
        0..2 => {
            let options = Some(UserAddOptions { no_password: true });
            AuthCommand::UserAdd(AuthUserAddRequest { name: user, options, ..AuthUserAddRequest::default() })
        }
        2 => AuthCommand::UserDelete(AuthUserDeleteRequest { name: user }),
        3..5 => AuthCommand::UserGrantRole(AuthUserGrantRoleRequest { user, role }),
        5 => AuthCommand::UserRevokeRole(AuthUserRevokeRoleRequest { name: user, role }),
        6 => AuthCommand::UserList(AuthUserListRequest {}),
        7..9 => AuthCommand::RoleAdd(AuthRoleAddRequest { name: role }),
        9 if rng.chance(30) => AuthCommand::RoleDelete(AuthRoleDeleteRequest { role }),
        9..11 => {
            let perm = Some(Permission { perm_type: rng.below(3) as i32, key, range_end: Bytes::new() });
            AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: role, perm })
        }
        _ => AuthCommand::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key, range_end: Bytes::new() }),
    }
}

/// Compares on one key, and up to four operations on keys of their own.
fn txn(rng: &mut Rng, params: &Params, newest: i64) -> TxnRequest {
    let (target, union) = match rng.below(3) {
        0 => (CompareTarget::Version, TargetUnion::Version(rng.below(3) as i64)),
        1 => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
        _ => (CompareTarget::Mod, TargetUnion::ModRevision(newest - rng.below(6) as i64)),
    };
    let result =
        rng.pick(&[CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual]);
    let compare = Compare {
        result: result as i32,
        target: target as i32,
        key: key(rng, params),
        target_union: Some(union),
        range_end: Bytes::new(),
    };
    let mut branch = || {
        let mut used = Vec::new();
        let mut ops = Vec::new();
        for _ in 0..rng.below(5) {
            let key = key(rng, params);
            let request = match rng.below(10) {
                0..2 => RequestUnion::Range(RangeRequest { key, ..RangeRequest::default() }),
                _ if used.contains(&key) => continue,
                2..8 => {
                    used.push(key.clone());
                    RequestUnion::Put(put(rng, params, key))
                }
                _ => {
                    used.push(key.clone());
                    RequestUnion::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() })
                }
            };
            ops.push(RequestOp { request: Some(request) });
        }
        ops
    };
    TxnRequest { compare: vec![compare], success: branch(), failure: branch() }
}
