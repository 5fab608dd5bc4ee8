//! Records of the log as lines, and which of them are wanted. Kinds have the names of etcd's log dump.
//!
//! Must never hide an entry that does not read back.

use super::line::{Line, Value};
use super::rows::permission;
use super::v2;
use crate::cli::Wal;
use crate::failure::Failure;
use model::request::{AlarmType, Compare, RequestOp, RequestUnion, TxnRequest};
use model::{AuthCommand, Command, Envelope};
use raft::{ConfChangeV2, Entry, EntryKind, HardState, LogId};
use std::os::unix::ffi::OsStrExt;
use storage::apply::MemberContext;
use storage::wal::{Logged, LoggedRecord};

/// Kinds that can be asked for. Conclave's log has no reads and no requests outside of an
/// `InternalRaftRequest`; those kinds are taken and match nothing. Requests of the v2 API are `IRRV2`.
const KINDS: [&str; 34] = [
    "ConfigChange",
    "Normal",
    "Request",
    "InternalRaftRequest",
    "IRRRange",
    "IRRV2",
    "IRRPut",
    "IRRDeleteRange",
    "IRRTxn",
    "IRRCompaction",
    "IRRLeaseGrant",
    "IRRLeaseRevoke",
    "IRRLeaseCheckpoint",
    "IRRAlarm",
    "IRRClusterVersionSet",
    "IRRMemberAttrSet",
    "IRRDowngradeInfoSet",
    "IRRAuthEnable",
    "IRRAuthDisable",
    "IRRAuthStatus",
    "IRRAuthenticate",
    "IRRAuthUserAdd",
    "IRRAuthUserGet",
    "IRRAuthUserList",
    "IRRAuthUserDelete",
    "IRRAuthUserChangePassword",
    "IRRAuthUserGrantRole",
    "IRRAuthUserRevokeRole",
    "IRRAuthRoleAdd",
    "IRRAuthRoleGet",
    "IRRAuthRoleList",
    "IRRAuthRoleDelete",
    "IRRAuthRoleGrantPermission",
    "IRRAuthRoleRevokePermission",
];

/// Which entries, and how much of them.
pub struct Entries {
    from: u64,
    to: u64,
    kinds: Vec<String>,
    prefix: Option<Vec<u8>>,
    records: bool,
    values: bool,
}

impl Entries {
    /// From the flags.
    ///
    /// # Errors
    /// [`Failure`] for a kind that does not exist.
    pub fn new(options: &Wal) -> Result<Self, Failure> {
        if let Some(kind) = options.entry_type.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(Failure::bad_args(format!("unknown entry type {kind:?}: one of {}", KINDS.join(", "))));
        }
        Ok(Self {
            from: options.start_index,
            to: options.end_index.unwrap_or(u64::MAX),
            kinds: options.entry_type.clone(),
            prefix: options.prefix.as_ref().map(|prefix| prefix.as_bytes().to_vec()),
            records: options.records,
            values: !options.show.keys_only,
        })
    }

    /// The line of a record that is wanted.
    pub fn line(&self, logged: &Logged) -> Option<Line> {
        let place =
            |line: Line| line.int("segment", logged.segment).int("offset", logged.offset).int("batch", logged.batch);
        match &logged.record {
            LoggedRecord::Entry(entry) => self.entry(entry),
            _ if !self.records => None,
            LoggedRecord::Head { reset, recycled, hard_state, truncated, last } => {
                let line = place(Line::new("record", "head")).with("reset", Value::Bool(*reset));
                let line = line.with("recycled", Value::Bool(*recycled)).and(state(*hard_state));
                Some(line.with("truncated", at(*truncated)).with("last", at(*last)))
            }
            LoggedRecord::HardState(hard_state) => {
                Some(place(Line::new("record", "hard_state")).and(state(*hard_state)))
            }
            LoggedRecord::Truncated(id) => Some(place(Line::new("record", "truncated")).with("up_to", at(*id))),
            LoggedRecord::Install(install) => {
                let line = place(Line::new("record", "install"))
                    .int("index", install.meta.index)
                    .int("term", install.meta.term);
                Some(line.with("store", Value::Text(install.store.clone())))
            }
        }
    }

    fn entry(&self, entry: &Entry) -> Option<Line> {
        if !(self.from..self.to).contains(&entry.index) {
            return None;
        }
        let (kinds, about) = self.contents(entry);
        let kind = self.kinds.is_empty() || self.kinds.iter().any(|kind| kinds.contains(&kind.as_str()));
        let about = about.filter(|_| kind)?;
        Some(Line::new("record", "entry").int("index", entry.index).int("term", entry.term).and(about))
    }

    /// Its kinds, and what it says; nothing when it is not about the keys wanted.
    fn contents(&self, entry: &Entry) -> (Vec<&'static str>, Option<Line>) {
        let kind = |kind: &'static str| Line::new("", "").with("kind", Value::Text(kind.into()));
        let any_key = self.prefix.is_none();
        let damaged =
            |why: String| kind("damaged").with("why", Value::Text(why)).with("data", Value::Bytes(entry.data.to_vec()));
        if entry.kind != EntryKind::Normal {
            let line = match ConfChangeV2::from_entry(entry) {
                Ok(Some(change)) => kind("conf_change").and(conf_change(&change)),
                Ok(None) => kind("conf_change"),
                Err(why) => damaged(why.to_string()),
            };
            return (vec!["ConfigChange"], any_key.then_some(line));
        }
        if entry.data.is_empty() {
            return (vec!["Normal"], any_key.then(|| kind("empty")));
        }
        let decoded = Envelope::decode(&entry.data).map_err(|why| why.to_string());
        let decoded = decoded.and_then(|envelope| match Command::decode(envelope.command.clone()) {
            Ok(command) => Ok((envelope, command)),
            Err(why) => Err(why.to_string()),
        });
        let (envelope, command) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => return (vec!["Normal"], Some(damaged(why))),
        };
        let (irr, name) = names(&command);
        let about = self.command(command);
        let mut origin = Line::new("", "").with("proposer", Value::Id(envelope.origin.member));
        if envelope.only_in_term != 0 {
            origin = origin.int("only_in_term", envelope.only_in_term);
        }
        let line = about.map(|about| kind(name).and(about).and(origin));
        (vec!["Normal", "InternalRaftRequest", irr], line)
    }

    fn about(&self, key: &[u8]) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix))
    }

    fn command(&self, command: Command) -> Option<Line> {
        let line = Line::new("", "");
        let any_key = self.prefix.is_none();
        match command {
            Command::Put(put) => self.op(RequestUnion::Put(put)),
            Command::DeleteRange(delete) => self.op(RequestUnion::DeleteRange(delete)),
            Command::Txn(txn) => self.op(RequestUnion::Txn(txn)),
            _ if !any_key => None,
            Command::Compaction(c) => Some(line.int("revision", c.revision).with("physical", Value::Bool(c.physical))),
            Command::LeaseGrant(grant) => Some(line.lease(grant.id).int("ttl", grant.ttl)),
            Command::LeaseRevoke(revoke) => Some(line.lease(revoke.id)),
            Command::LeaseCheckpoint(request) => {
                let one = |c: &model::request::LeaseCheckpoint| {
                    Line::new("op", "checkpoint").lease(c.id).int("remaining", c.remaining_ttl)
                };
                Some(line.with("leases", Value::Lines(request.checkpoints.iter().map(one).collect())))
            }
            Command::Alarm(alarm) => {
                let what = AlarmType::try_from(alarm.alarm).map_or("unknown".into(), |alarm| format!("{alarm:?}"));
                let line = line.int("action", alarm.action).with("member", Value::Id(alarm.member_id));
                Some(line.with("alarm", Value::Text(what)))
            }
            Command::ClusterVersionSet(set) => Some(line.with("version", Value::Text(set.ver))),
            Command::DowngradeInfoSet(set) => {
                Some(line.with("enabled", Value::Bool(set.enabled)).with("version", Value::Text(set.ver)))
            }
            Command::MemberAttrSet(set) => {
                let attributes = set.attributes.unwrap_or_default();
                let line = line.with("member", Value::Id(set.member_id)).with("name", Value::Text(attributes.name));
                Some(line.with("client_urls", Value::Texts(attributes.client_urls)))
            }
            Command::Auth(command) => Some(auth(command)),
            Command::V2(request) => Some(line.and(v2::request(request, self.values))),
        }
    }

    /// An operation, alone or in a transaction; nothing when it is not about the keys wanted.
    fn op(&self, op: RequestUnion) -> Option<Line> {
        match op {
            RequestUnion::Put(put) => {
                let line = Line::new("op", "put").with("key", Value::Key(put.key.to_vec())).lease(put.lease);
                let line = match self.values && !put.ignore_value {
                    true => line.with("value", Value::Bytes(put.value.to_vec())),
                    false => line,
                };
                self.about(&put.key).then_some(line)
            }
            RequestUnion::DeleteRange(delete) => {
                let line = range("delete_range", &delete.key, &delete.range_end);
                self.touches(&delete.key, &delete.range_end).then_some(line)
            }
            RequestUnion::Range(read) => {
                let line = range("range", &read.key, &read.range_end);
                self.touches(&read.key, &read.range_end).then_some(line)
            }
            RequestUnion::Txn(txn) => self.txn(txn),
        }
    }

    fn txn(&self, txn: TxnRequest) -> Option<Line> {
        let compares: Vec<_> = txn.compare.iter().filter(|c| self.touches(&c.key, &c.range_end)).map(compare).collect();
        let ops = |ops: Vec<RequestOp>| -> Vec<Line> {
            ops.into_iter().filter_map(|op| op.request).filter_map(|op| self.op(op)).collect()
        };
        let (success, failure) = (ops(txn.success), ops(txn.failure));
        if self.prefix.is_some() && compares.is_empty() && success.is_empty() && failure.is_empty() {
            return None;
        }
        let line = Line::new("op", "txn").with("compare", Value::Lines(compares));
        Some(line.with("success", Value::Lines(success)).with("failure", Value::Lines(failure)))
    }

    /// Whether a range holds any key that begins as wanted.
    fn touches(&self, key: &[u8], end: &[u8]) -> bool {
        let Some(prefix) = &self.prefix else { return true };
        if end.is_empty() {
            return key.starts_with(prefix);
        }
        let below_end = end == [0] || prefix.as_slice() < end;
        // the range begins before the last key with that prefix, and ends behind the first one
        below_end && (key <= prefix.as_slice() || key.starts_with(prefix))
    }
}

/// Name as etcd's log dump has it, and ours.
fn names(command: &Command) -> (&'static str, &'static str) {
    match command {
        Command::Put(_) => ("IRRPut", "put"),
        Command::DeleteRange(_) => ("IRRDeleteRange", "delete_range"),
        Command::Txn(_) => ("IRRTxn", "txn"),
        Command::Compaction(_) => ("IRRCompaction", "compaction"),
        Command::LeaseGrant(_) => ("IRRLeaseGrant", "lease_grant"),
        Command::LeaseRevoke(_) => ("IRRLeaseRevoke", "lease_revoke"),
        Command::LeaseCheckpoint(_) => ("IRRLeaseCheckpoint", "lease_checkpoint"),
        Command::Alarm(_) => ("IRRAlarm", "alarm"),
        Command::ClusterVersionSet(_) => ("IRRClusterVersionSet", "cluster_version_set"),
        Command::MemberAttrSet(_) => ("IRRMemberAttrSet", "member_attr_set"),
        Command::DowngradeInfoSet(_) => ("IRRDowngradeInfoSet", "downgrade_info_set"),
        Command::Auth(command) => auth_names(command),
        Command::V2(_) => ("IRRV2", "v2"),
    }
}

fn auth_names(command: &AuthCommand) -> (&'static str, &'static str) {
    match command {
        AuthCommand::Enable(_) => ("IRRAuthEnable", "auth_enable"),
        AuthCommand::Disable(_) => ("IRRAuthDisable", "auth_disable"),
        AuthCommand::Status(_) => ("IRRAuthStatus", "auth_status"),
        AuthCommand::Authenticate(_) => ("IRRAuthenticate", "authenticate"),
        AuthCommand::UserAdd(_) => ("IRRAuthUserAdd", "auth_user_add"),
        AuthCommand::UserGet(_) => ("IRRAuthUserGet", "auth_user_get"),
        AuthCommand::UserList(_) => ("IRRAuthUserList", "auth_user_list"),
        AuthCommand::UserDelete(_) => ("IRRAuthUserDelete", "auth_user_delete"),
        AuthCommand::UserChangePassword(_) => ("IRRAuthUserChangePassword", "auth_user_change_password"),
        AuthCommand::UserGrantRole(_) => ("IRRAuthUserGrantRole", "auth_user_grant_role"),
        AuthCommand::UserRevokeRole(_) => ("IRRAuthUserRevokeRole", "auth_user_revoke_role"),
        AuthCommand::RoleAdd(_) => ("IRRAuthRoleAdd", "auth_role_add"),
        AuthCommand::RoleGet(_) => ("IRRAuthRoleGet", "auth_role_get"),
        AuthCommand::RoleList(_) => ("IRRAuthRoleList", "auth_role_list"),
        AuthCommand::RoleDelete(_) => ("IRRAuthRoleDelete", "auth_role_delete"),
        AuthCommand::RoleGrantPermission(_) => ("IRRAuthRoleGrantPermission", "auth_role_grant_permission"),
        AuthCommand::RoleRevokePermission(_) => ("IRRAuthRoleRevokePermission", "auth_role_revoke_permission"),
    }
}

/// Names and permissions; never the hash of a password, nor a token.
fn auth(command: AuthCommand) -> Line {
    let line = Line::new("", "");
    let (user, role) = (|name| ("user", Value::Text(name)), |name| ("role", Value::Text(name)));
    let fields = match command {
        AuthCommand::Enable(_) | AuthCommand::Disable(_) | AuthCommand::Status(_) => vec![],
        AuthCommand::UserList(_) | AuthCommand::RoleList(_) => vec![],
        AuthCommand::Authenticate(r) => vec![user(r.name)],
        AuthCommand::UserAdd(r) => {
            let no_password = r.options.is_some_and(|options| options.no_password);
            vec![user(r.name), ("no_password", Value::Bool(no_password))]
        }
        AuthCommand::UserGet(r) => vec![user(r.name)],
        AuthCommand::UserDelete(r) => vec![user(r.name)],
        AuthCommand::UserChangePassword(r) => vec![user(r.name)],
        AuthCommand::UserGrantRole(r) => vec![user(r.user), role(r.role)],
        AuthCommand::UserRevokeRole(r) => vec![user(r.name), role(r.role)],
        AuthCommand::RoleAdd(r) => vec![role(r.name)],
        AuthCommand::RoleGet(r) => vec![role(r.role)],
        AuthCommand::RoleDelete(r) => vec![role(r.role)],
        AuthCommand::RoleGrantPermission(r) => {
            vec![role(r.name), ("permissions", Value::Lines(r.perm.iter().map(permission).collect()))]
        }
        AuthCommand::RoleRevokePermission(r) => {
            let range = range("range", &r.key, &r.range_end);
            vec![role(r.role), ("permissions", Value::Lines(vec![range]))]
        }
    };
    fields.into_iter().fold(line, |line, (name, value)| line.with(name, value))
}

fn range(name: &'static str, key: &[u8], end: &[u8]) -> Line {
    let line = Line::new("op", name).with("key", Value::Key(key.to_vec()));
    if end.is_empty() { line } else { line.with("range_end", Value::Key(end.to_vec())) }
}

fn compare(compare: &Compare) -> Line {
    use model::request::TargetUnion;
    let sign = ["=", ">", "<", "!="].get(compare.result as usize).copied().unwrap_or("?");
    let line = range("compare", &compare.key, &compare.range_end).with("result", Value::Text(sign.into()));
    match &compare.target_union {
        Some(TargetUnion::Version(n)) => line.int("version", *n),
        Some(TargetUnion::CreateRevision(n)) => line.int("create_revision", *n),
        Some(TargetUnion::ModRevision(n)) => line.int("mod_revision", *n),
        Some(TargetUnion::Value(value)) => line.with("value", Value::Bytes(value.to_vec())),
        Some(TargetUnion::Lease(id)) => line.with("lease", Value::Id(*id as u64)),
        None => line,
    }
}

fn conf_change(change: &ConfChangeV2) -> Line {
    let one = |step: &raft::ConfChangeSingle| {
        let what = Value::Text(format!("{:?}", step.kind));
        Line::new("op", "step").with("change", what).with("member", Value::Id(step.node_id))
    };
    let line = Line::new("", "").with("changes", Value::Lines(change.changes.iter().map(one).collect()));
    match MemberContext::decode(&change.context) {
        Ok(context) if !context.peer_urls.is_empty() => line.with("peer_urls", Value::Texts(context.peer_urls)),
        _ => line,
    }
}

fn state(hard_state: HardState) -> Line {
    let line = Line::new("", "").int("state_term", hard_state.term).with("vote", Value::Id(hard_state.vote));
    line.int("commit", hard_state.commit)
}

fn at(id: LogId) -> Value {
    Value::Text(format!("{}@{}", id.index, id.term))
}
