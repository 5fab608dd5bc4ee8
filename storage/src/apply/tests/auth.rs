//! Users and roles where entries are applied: who may do what, and that each of them counts exactly once.

use super::cut::CutEngine;
use super::*;
use crate::auth::{AuthState, TokenChange};
use ::model::auth::*;
use ::model::{AuthCommand, AuthOutcome, AuthRefusal, Caller};
use proptest::collection::vec;
use proptest::prelude::*;

fn as_user(name: &str, revision: u64) -> Caller {
    Caller::User { name: name.into(), revision }
}

/// An entry on somebody's behalf.
fn entry_for(caller: Caller, index: u64, command: Command) -> Committed {
    let origin = Origin { member: 1, epoch: 2, sequence: index };
    let command = command.encode_for(caller, index);
    let data = Envelope { origin, only_in_term: 0, command }.encode();
    Committed { entry: Entry { term: 1, index, kind: EntryKind::Normal, data } }
}

fn auth(command: AuthCommand) -> Command {
    Command::Auth(command)
}

fn user_add(name: &str) -> Command {
    auth(AuthCommand::UserAdd(AuthUserAddRequest {
        name: name.into(),
        hashed_password: "aGFzaA==".into(),
        ..Default::default()
    }))
}

fn role_add(name: &str) -> Command {
    auth(AuthCommand::RoleAdd(AuthRoleAddRequest { name: name.into() }))
}

fn grant_role(user: &str, role: &str) -> Command {
    auth(AuthCommand::UserGrantRole(AuthUserGrantRoleRequest { user: user.into(), role: role.into() }))
}

fn permit(role: &str, kind: PermissionType, key: &str, end: &str) -> Command {
    let range_end = end.to_owned().into();
    let perm = Some(Permission { perm_type: kind as i32, key: key.to_owned().into(), range_end });
    auth(AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: role.into(), perm }))
}

fn enable() -> Command {
    auth(AuthCommand::Enable(AuthEnableRequest {}))
}

/// A store with authentication on: root, and alice who may write `w`, read `r` and do both with `b` to `c`.
struct Guarded {
    node: Node,
}

impl Guarded {
    fn new() -> Self {
        use PermissionType::{Read, Readwrite, Write};
        let mut node = Node::new();
        for command in [
            put("secret", "s"),
            put("r", "1"),
            grant(7),
            Command::Put(PutRequest { lease: 7, ..put_request("secret", "s") }),
            user_add("root"),
            grant_role("root", "root"),
            user_add("alice"),
            role_add("role"),
            grant_role("alice", "role"),
            permit("role", Write, "w", ""),
            permit("role", Read, "r", ""),
            permit("role", Readwrite, "b", "c"),
            enable(),
        ] {
            let applied = node.run(command);
            assert!(applied.result.is_ok(), "{applied:?}");
        }
        Self { node }
    }

    fn revision(&self) -> u64 {
        self.node.applier.view().auth.revision()
    }

    fn run(&mut self, caller: Caller, command: Command) -> Result<Outcome, ApplyError> {
        self.report(caller, command).1
    }

    fn report(&mut self, caller: Caller, command: Command) -> (Report<SimSnapshot>, Result<Outcome, ApplyError>) {
        let index = self.node.applier.applied().index + 1;
        let mut report = self.node.applier.apply(&[entry_for(caller, index, command)]).expect("applies");
        let (_, applied) = report.replies.remove(0).expect("an answer");
        (report, applied.result)
    }

    /// As alice, at the present revision.
    fn alice(&mut self, command: Command) -> Result<Outcome, ApplyError> {
        let alice = as_user("alice", self.revision());
        self.run(alice, command)
    }

    fn denied(&mut self, what: &str, command: Command) {
        let before = self.node.applier.revision();
        assert_eq!(self.alice(command), Err(ApplyError::Auth(AuthRefusal::Denied)), "{what}");
        assert_eq!(self.node.applier.revision(), before, "{what}: refused, and something was written");
    }

    fn allowed(&mut self, what: &str, command: Command) {
        let result = self.alice(command);
        assert!(result.is_ok(), "{what}: {result:?}");
    }
}

fn txn(compare: Vec<Compare>, success: Vec<RequestUnion>, failure: Vec<RequestUnion>) -> Command {
    let ops = |ops: Vec<RequestUnion>| ops.into_iter().map(op).collect();
    Command::Txn(TxnRequest { compare, success: ops(success), failure: ops(failure) })
}

fn nested(op: RequestUnion) -> RequestUnion {
    RequestUnion::Txn(TxnRequest { failure: vec![super::op(op)], ..Default::default() })
}

fn read(key: &'static str) -> RequestUnion {
    RequestUnion::Range(RangeRequest { key: key.into(), ..Default::default() })
}

fn compare_to(key: &'static str) -> Compare {
    Compare { key: key.into(), ..Default::default() }
}

#[test]
fn keys_are_written_by_those_who_may() {
    let mut store = Guarded::new();
    store.allowed("put", put("w", "1"));
    store.allowed("delete", delete_without_previous("b", "bz"));
    store.denied("put elsewhere", put("x", "1"));
    store.denied("a key that may be read alone", put("r", "1"));
    store.denied("a range that reaches further", delete_without_previous("b", "d"));
    store.denied("everything", delete_without_previous("b", "\0"));
    let nobody = store.run(Caller::Nobody, put("w", "1"));
    assert_eq!(nobody, Err(ApplyError::Auth(AuthRefusal::UserEmpty)));
    let late = as_user("alice", store.revision() - 1);
    assert_eq!(store.run(late, put("w", "1")), Err(ApplyError::Auth(AuthRefusal::OldRevision)));
    let root = as_user("root", store.revision());
    assert!(store.run(root, put("x", "1")).is_ok());
    assert!(store.run(Caller::Internal, put("y", "1")).is_ok());
}

fn delete_without_previous(key: &'static str, end: &'static str) -> Command {
    Command::DeleteRange(DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false })
}

#[test]
fn what_a_write_answers_with_must_be_readable() {
    // CVE-2026-44283
    let mut store = Guarded::new();
    let with_previous = |key: &'static str| PutRequest { prev_kv: true, ..put_request(key, "1") };
    store.denied("put with the previous value", Command::Put(with_previous("w")));
    store.allowed("where it may be read", Command::Put(with_previous("b")));
    store.denied("two deep", txn(vec![], vec![nested(nested(RequestUnion::Put(with_previous("w"))))], vec![]));
    let gone = |key: &'static str| DeleteRangeRequest { key: key.into(), range_end: Bytes::new(), prev_kv: true };
    store.denied("delete with the previous value", Command::DeleteRange(gone("w")));
    store.denied("two deep", txn(vec![], vec![nested(nested(RequestUnion::DeleteRange(gone("w"))))], vec![]));
    store.allowed("where it may be read", Command::DeleteRange(gone("b")));
}

#[test]
fn both_branches_and_all_comparisons_of_a_transaction_count() {
    // CVE-2026-33343
    let mut store = Guarded::new();
    let write = || RequestUnion::Put(put_request("w", "1"));
    store.allowed("a comparison", txn(vec![compare_to("r")], vec![write()], vec![]));
    store.denied("a comparison elsewhere", txn(vec![compare_to("secret")], vec![write()], vec![]));
    store.denied("a range", txn(vec![], vec![write(), read("secret")], vec![]));
    store.denied("the branch not taken", txn(vec![], vec![write()], vec![read("secret")]));
    store.denied("a nested read", txn(vec![], vec![write(), nested(read("secret"))], vec![]));
    let compares = TxnRequest { compare: vec![compare_to("secret")], ..Default::default() };
    store.denied("a nested comparison", txn(vec![], vec![write(), RequestUnion::Txn(compares)], vec![]));
    store.allowed("what may be read", txn(vec![], vec![write(), nested(read("r"))], vec![]));
}

#[test]
fn leases_belong_to_those_who_may_write_all_their_keys() {
    let mut store = Guarded::new();
    let on_lease = |key: &'static str, lease| PutRequest { lease, ..put_request(key, "1") };
    store.denied("a foreign lease", Command::Put(on_lease("w", 7)));
    store.denied("two deep", txn(vec![], vec![nested(nested(RequestUnion::Put(on_lease("w", 7))))], vec![]));
    store.denied("ending a foreign lease", revoke(7));
    assert_eq!(store.alice(Command::Put(on_lease("w", 9))), Err(ApplyError::LeaseNotFound));
    store.allowed("a lease of one's own", grant(8));
    store.allowed("with a key", Command::Put(on_lease("w", 8)));
    store.allowed("and its end", revoke(8));
    assert_eq!(store.run(Caller::Internal, revoke(7)), Ok(Outcome::LeaseRevoke), "a lease that ran out");
    assert!(store.node.get("secret").is_none());
}

#[test]
fn keys_put_by_the_same_batch_count_for_a_lease() {
    let mut store = Guarded::new();
    let (root, alice) = (as_user("root", store.revision()), as_user("alice", store.revision()));
    let next = store.node.applier.applied().index + 1;
    let foreign = Command::Put(PutRequest { lease: 8, ..put_request("x", "1") });
    let entries = [
        entry_for(root.clone(), next, grant(8)),
        entry_for(root, next + 1, foreign),
        entry_for(alice, next + 2, revoke(8)),
    ];
    let report = store.node.applier.apply(&entries).expect("applies");
    let results: Vec<_> = report.replies.into_iter().flatten().map(|(_, applied)| applied.result).collect();
    assert_eq!(results[2], Err(ApplyError::Auth(AuthRefusal::Denied)));
}

#[test]
fn users_are_administrated_by_root_alone() {
    let mut store = Guarded::new();
    store.denied("a user", user_add("bob"));
    store.denied("a permission", permit("role", PermissionType::Readwrite, "\0", "\0"));
    store.denied("turning it off", auth(AuthCommand::Disable(AuthDisableRequest {})));
    let own = auth(AuthCommand::UserGet(AuthUserGetRequest { name: "alice".into() }));
    let names = Outcome::Auth(AuthOutcome::Names(vec!["role".into()]));
    assert_eq!(store.alice(own), Ok(names));
    let ghost = as_user("ghost", store.revision());
    assert_eq!(store.run(ghost, user_add("bob")), Err(ApplyError::Auth(AuthRefusal::UserNotFound)));
    assert_eq!(store.run(Caller::Nobody, user_add("bob")), Err(ApplyError::Auth(AuthRefusal::UserEmpty)));
    let old_root = as_user("root", 1);
    assert!(store.run(old_root, user_add("bob")).is_ok(), "administration does not compare revisions");
}

#[test]
fn alarms_refuse_before_rights_do() {
    let mut store = Guarded::new();
    store.node.run(Command::Alarm(AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: 1,
        alarm: AlarmType::Nospace as i32,
    }));
    assert_eq!(store.alice(put("x", "1")), Err(ApplyError::NoSpace));
    let root = as_user("root", store.revision());
    assert!(store.run(root, user_add("bob")).is_ok(), "users cost nothing");
}

#[test]
fn tokens_are_named_by_their_entry_and_end_with_their_user() {
    let mut store = Guarded::new();
    let login = || {
        let request =
            InternalAuthenticateRequest { name: "alice".into(), simple_token: "secret".into(), ..Default::default() };
        auth(AuthCommand::Authenticate(request))
    };
    let checked = as_user("alice", store.revision());
    let (report, result) = store.report(checked.clone(), login());
    let token = format!("secret.{}", store.node.applier.applied().index);
    assert_eq!(report.tokens, [TokenChange::Given { user: "alice".into(), token: token.clone() }]);
    assert_eq!(result, Ok(Outcome::Auth(AuthOutcome::Token { token, revision: store.revision() })));
    let change = AuthUserChangePasswordRequest { name: "alice".into(), ..Default::default() };
    let (report, _) = store.report(Caller::Internal, auth(AuthCommand::UserChangePassword(change)));
    assert_eq!(report.tokens, [TokenChange::UserEnded { user: "alice".into() }]);
    // the password that was checked may be the old one
    let (report, result) = store.report(checked, login());
    assert_eq!((report.tokens, result), (vec![], Err(ApplyError::Auth(AuthRefusal::OldRevision))));
}

#[test]
fn users_and_roles_are_read_at_every_start_and_checked_offline() {
    let store = Guarded::new();
    let view = store.node.applier.view();
    let again = StateMachine::open(store.node.engine.clone()).expect("opens");
    assert_eq!(again.view().auth, view.auth);
    assert!(view.auth.enabled() && view.auth.revision() == 9);
    assert_eq!(AuthState::read(&view.snapshot).expect("reads"), *view.auth);
    assert_eq!(crate::check::check(&view.snapshot, &mut |_| ()).unwrap().problems, []);
}

#[test]
fn a_store_that_moves_to_another_cluster_keeps_users_and_roles() {
    let store = Guarded::new();
    let auth = store.node.applier.view().auth;
    drop(store.node.applier);
    crate::apply::rehome(&store.node.engine, &first(), 1_000).expect("moves");
    assert_eq!(StateMachine::open(store.node.engine).expect("opens").view().auth, auth);
}

/// Commands about few users, roles and keys.
fn command() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(&["root", "a", "b"][..]);
    let key = || prop::sample::select(&["k", "l", "m"][..]);
    let kind = prop::sample::select(&[PermissionType::Read, PermissionType::Write, PermissionType::Readwrite][..]);
    let login = |(name, simple_token): (&str, &str)| {
        let request =
            InternalAuthenticateRequest { name: name.into(), simple_token: simple_token.into(), ..Default::default() };
        auth(AuthCommand::Authenticate(request))
    };
    prop_oneof![
        2 => Just(enable()),
        1 => Just(auth(AuthCommand::Disable(AuthDisableRequest {}))),
        3 => name().prop_map(user_add),
        3 => name().prop_map(role_add),
        4 => (name(), name()).prop_map(|(user, role)| grant_role(user, role)),
        3 => (name(), kind, key(), prop::sample::select(&["", "\0", "n"][..]))
            .prop_map(|(role, kind, key, end)| permit(role, kind, key, end)),
        1 => name().prop_map(|name| auth(AuthCommand::UserDelete(AuthUserDeleteRequest { name: name.into() }))),
        1 => name().prop_map(|role| auth(AuthCommand::RoleDelete(AuthRoleDeleteRequest { role: role.into() }))),
        2 => (name(), prop::sample::select(&["x", "y"][..])).prop_map(login),
        4 => key().prop_map(|key| put(key, "v")),
        1 => key().prop_map(|key| delete(key, "")),
        1 => (1i64..3).prop_map(grant),
        1 => (1i64..3, key()).prop_map(|(lease, key)| Command::Put(PutRequest { lease, ..put_request(key, "v") })),
        1 => (1i64..3).prop_map(revoke),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        Just(Caller::Nobody),
        Just(Caller::Internal),
        (prop::sample::select(&["root", "a", "b"][..]), 1u64..20).prop_map(|(name, revision)| as_user(name, revision)),
    ]
}

fn apply_all(applier: &mut StateMachine<SimEngine>, entries: &[Committed], group: usize) -> Vec<(Applied, usize)> {
    let mut out = Vec::new();
    for entries in entries.chunks(group) {
        let report = applier.apply(entries).expect("applies");
        let tokens = report.tokens.len();
        out.extend(report.replies.into_iter().flatten().map(|(_, applied)| (applied, tokens)));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// etcd once applied commands about users twice after a restart, and its members came apart (#11652).
    #[test]
    fn commands_about_users_count_once_wherever_a_crash_falls(
        commands in vec((caller(), command()), 1..50),
        group in 1usize..5,
        flush_every in 1u64..4,
        batches in 0usize..60,
    ) {
        let entry = |(n, (caller, command)): (usize, &(Caller, Command))| {
            entry_for(caller.clone(), n as u64 + 1, command.clone())
        };
        let entries: Vec<_> = commands.iter().enumerate().map(entry).collect();
        let mut whole = Node::new();
        let expected = apply_all(&mut whole.applier, &entries, 1);
        let engine = SimEngine::new();
        crate::apply::bootstrap(&engine, &first()).unwrap();
        engine.set_background_flush(Some(flush_every));
        let cut = Arc::new(CutEngine::new(engine.clone(), batches));
        let mut dying = StateMachine::open(cut).expect("opens");
        for entries in entries.chunks(group) {
            if dying.apply(entries).is_err() {
                break;
            }
        }
        drop(dying);
        let mut node = Node::open(Arc::new(engine.crash()), crate::apply::CHUNK_BYTES);
        let applied = node.applier.applied().index as usize;
        let replayed = apply_all(&mut node.applier, &entries[applied.saturating_sub(3)..], group);
        let results = |all: &[(Applied, usize)]| all.iter().map(|(applied, _)| applied.clone()).collect::<Vec<_>>();
        prop_assert_eq!(results(&replayed), results(&expected[applied..]));
        prop_assert_eq!(dump(node.engine.as_ref()), dump(whole.engine.as_ref()));
        prop_assert_eq!(node.applier.view().auth, whole.applier.view().auth);
    }
}
