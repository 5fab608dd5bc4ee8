//! Entries of etcd's log that its database does not have yet, applied to the store that the database became.
//!
//! etcd writes its database every hundred milliseconds, and the log before it answers: without these entries, what was acknowledged
//! last would be lost. They are etcd's `InternalRaftRequest`, which is what entries of ours hold as well. Changes of the membership
//! have no effect here: whoever takes the store over gives it a new one. Must never leave out an entry that changed keys.

use super::error::EtcdError;
use super::log::{EtcdLog, LogEntry};
use crate::apply::{Committed, StateMachine};
use crate::engine::Engine;
use bytes::Bytes;
use model::auth::AuthCommand;
use model::{Command, Envelope, Origin};
use prost::Message;
use raft::{Entry, EntryKind};
use std::sync::Arc;

/// Entries that are applied together.
const ENTRIES: usize = 256;
/// Bytes of them after which they are.
const BYTES: usize = 4 << 20;
/// Methods of requests of the old API, with which members of 3.4 publish themselves.
const OLD_METHODS: [&str; 6] = ["POST", "PUT", "DELETE", "QGET", "SYNC", "GET"];

/// What came of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Entries that were applied.
    pub entries: u64,
    /// Of these, entries without effect here: changes of the membership, requests of the old API, downgrades.
    pub without_effect: u64,
    /// Entries behind them that are not known to be committed, and were left out.
    pub uncommitted: u64,
}

/// `etcdserverpb.Request`, of the old API.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct OldRequest {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(string, tag = "3")]
    path: String,
}

/// The parts of `etcdserverpb.InternalRaftRequest` that have no effect in a store of ours.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct WithoutEffect {
    #[prost(message, optional, tag = "2")]
    old: Option<OldRequest>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    range: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "1302")]
    downgrade: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "9900")]
    downgrade_test: Option<Bytes>,
}

/// Applies the entries behind `applied` up to `until`.
///
/// # Errors
/// [`EtcdError::Entry`] for one that no store of ours understands; [`EtcdError`].
pub(super) fn replay<E: Engine>(
    log: &EtcdLog,
    engine: &Arc<E>,
    applied: u64,
    until: u64,
) -> Result<Replayed, EtcdError> {
    let mut replayed = Replayed { uncommitted: log.last() - until.max(applied), ..Replayed::default() };
    if until <= applied {
        return Ok(replayed);
    }
    let mut store = StateMachine::open(engine.clone())?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for index in applied + 1..=until {
        let entry = ours(log.entry(index)?)?;
        replayed.entries += 1;
        replayed.without_effect += u64::from(entry.data.is_empty());
        bytes += entry.data.len();
        batch.push(Committed { entry });
        if batch.len() == ENTRIES || bytes >= BYTES || index == until {
            store.apply(&std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    engine.flush()?;
    Ok(replayed)
}

/// An entry of etcd's as one of ours: empty when it has no effect.
fn ours(entry: LogEntry) -> Result<Entry, EtcdError> {
    let LogEntry { kind, term, index, data } = entry;
    let command = if kind == 0 && !data.is_empty() { command(index, data)? } else { None };
    let envelope = |command| Envelope { origin: Origin::default(), only_in_term: 0, command }.encode();
    Ok(Entry { term, index, kind: EntryKind::Normal, data: command.map(envelope).unwrap_or_default() })
}

/// The bytes of a command that a store of ours carries out; `None` for one that changes no key, lease, user or alarm.
fn command(index: u64, data: Bytes) -> Result<Option<Bytes>, EtcdError> {
    match Command::decode(data.clone()) {
        Ok(command) if is_unhashed(&command) => {
            let why = "it sets a password as etcd 3.4 and older write it, which only etcd can hash; start etcd once more on its folder, \
                       stop it, and try again: the password is in its database then";
            Err(EtcdError::Entry { index, why })
        }
        Ok(_) => Ok(Some(data)),
        Err(_) if is_old(OldRequest::decode(data.clone()).ok().as_ref()) => Ok(None),
        Err(_) => match WithoutEffect::decode(data) {
            Ok(known) if is_old(known.old.as_ref()) => Ok(None),
            Ok(known) if known.range.is_some() || known.downgrade.is_some() || known.downgrade_test.is_some() => {
                Ok(None)
            }
            _ => Err(EtcdError::Entry { index, why: "it holds no command that etcd up to 3.7 knows" }),
        },
    }
}

fn is_old(request: Option<&OldRequest>) -> bool {
    request.is_some_and(|request| OLD_METHODS.contains(&&request.method[..]) && request.path.starts_with('/'))
}

/// True for a password without its hash.
fn is_unhashed(command: &Command) -> bool {
    let bare = |password: &str, hashed: &str| !password.is_empty() && hashed.is_empty();
    match command {
        Command::Auth(AuthCommand::UserAdd(request)) => bare(&request.password, &request.hashed_password),
        Command::Auth(AuthCommand::UserChangePassword(request)) => bare(&request.password, &request.hashed_password),
        _ => false,
    }
}
