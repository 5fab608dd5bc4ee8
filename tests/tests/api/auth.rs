//! Users, roles and tokens as a client meets them: logins, what a token is worth and for how long, and what follows from rights.
//!
//! Who may call what is in `auth_matrix`. Must never rely on how fast a password is hashed.

use api::authpb::Permission;
use api::etcdserverpb as pb;
use api::etcdserverpb::auth_client::AuthClient;
use api::v3lockpb::LockRequest;
use embed::Config;
use embed::tokens::{JwtFiles, SignMethod, TokenSettings};
use harness::request::{delete, get, put, range};
use harness::server::{Server, on_server_with};
use harness::watch::create;
use harness::{Stubs, Watching, expect_status, soon, until};
use std::fmt::Debug;
use std::time::Duration;
use tonic::{Code, Request, Response, Status};

const INVALID: &str = "etcdserver: invalid auth token";
const DENIED: &str = "etcdserver: permission denied";
const OLD: &str = "etcdserver: revision of auth store is old";

fn quick(config: &mut Config) {
    config.bcrypt_cost = 4;
}

pub fn auth(stubs: &Stubs) -> AuthClient<tonic::transport::Channel> {
    AuthClient::new(stubs.channel.clone())
}

pub fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("token", token.parse().expect("plain text"));
    request
}

/// A user whose password is its name.
pub async fn add_user(stubs: &Stubs, name: &str) {
    let request = pb::AuthUserAddRequest { name: name.into(), password: name.into(), ..Default::default() };
    auth(stubs).user_add(request).await.expect("a user");
}

pub async fn grant_role(stubs: &Stubs, user: &str, role: &str) {
    let request = pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
    auth(stubs).user_grant_role(request).await.expect("a granted role");
}

fn permission(role: &str, kind: i32, key: &str, end: &str) -> pb::AuthRoleGrantPermissionRequest {
    let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
    pb::AuthRoleGrantPermissionRequest { name: role.into(), perm: Some(Permission { perm_type: kind, key, range_end }) }
}

/// Turns authentication on, with root, and alice who may read and write what begins with `a/`.
pub async fn enable(stubs: &Stubs) {
    add_user(stubs, "root").await;
    add_user(stubs, "alice").await;
    for role in ["a"] {
        auth(stubs).role_add(pb::AuthRoleAddRequest { name: role.into() }).await.expect("a role");
    }
    auth(stubs).role_grant_permission(permission("a", 2, "a/", "a0")).await.expect("a permission");
    grant_role(stubs, "root", "root").await;
    grant_role(stubs, "alice", "a").await;
    auth(stubs).auth_enable(pb::AuthEnableRequest {}).await.expect("on");
}

pub async fn try_login(stubs: &Stubs, name: &str, password: &str) -> Result<String, Status> {
    let request = pb::AuthenticateRequest { name: name.into(), password: password.into() };
    auth(stubs).authenticate(request).await.map(|answer| answer.into_inner().token)
}

/// A login with the name for a password.
pub async fn login(stubs: &Stubs, name: &str) -> String {
    try_login(stubs, name, name).await.expect("a login")
}

async fn read(stubs: &Stubs, key: &str, token: &str) -> Result<i64, Status> {
    stubs.kv.clone().range(with(get(key), token)).await.map(|answer| answer.into_inner().count)
}

async fn write(stubs: &Stubs, key: &str, token: &str) -> Result<(), Status> {
    stubs.kv.clone().put(with(put(key, "v"), token)).await.map(drop)
}

fn refused<T: Debug>(answer: Result<T, Status>, code: Code, text: &str) {
    expect_status("asked", answer, code, text);
}

#[test]
fn a_password_is_changed_for_a_token_while_authentication_is_on() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        let off = "etcdserver: authentication is not enabled";
        refused(try_login(stubs, "alice", "alice").await, Code::FailedPrecondition, off);
        enable(stubs).await;
        let failed = "etcdserver: authentication failed, invalid user ID or password";
        refused(try_login(stubs, "alice", "wrong").await, Code::InvalidArgument, failed);
        refused(try_login(stubs, "nobody", "x").await, Code::InvalidArgument, failed);
        let token = login(stubs, "alice").await;
        let (secret, index) = token.split_once('.').expect("a secret and an index");
        assert!(secret.len() == 16 && secret.chars().all(|letter| letter.is_ascii_alphabetic()), "{token}");
        assert!(index.parse::<u64>().is_ok(), "{token}");
        write(stubs, "a/1", &token).await.expect("a put");
        assert_eq!(read(stubs, "a/1", &token).await.expect("a read"), 1);
        assert_eq!(read(stubs, "a/1", &format!("Bearer {token}")).await.expect("a read"), 1);
        refused(write(stubs, "b", &token).await, Code::PermissionDenied, DENIED);
        let status = auth(stubs).auth_status(pb::AuthStatusRequest {}).await.expect("status").into_inner();
        assert_eq!((status.enabled, status.auth_revision), (true, 7));
    });
}

#[test]
fn passwords_are_etcds() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        let add = |name: &str, password: String| {
            let request = pb::AuthUserAddRequest { name: name.into(), password, ..Default::default() };
            async move { auth(stubs).user_add(request).await }
        };
        refused(add("long", "x".repeat(73)).await, Code::Unknown, "bcrypt: password length exceeds 72 bytes");
        add("longest", "x".repeat(72)).await.expect("a user");
        add("empty", String::new()).await.expect("a user");
        enable(stubs).await;
        try_login(stubs, "longest", &"x".repeat(72)).await.expect("a login");
        try_login(stubs, "empty", "").await.expect("a login");
        let root = login(stubs, "root").await;
        let options = Some(api::authpb::UserAddOptions { no_password: true });
        let add = pb::AuthUserAddRequest { name: "cert".into(), options, ..Default::default() };
        auth(stubs).user_add(with(add, &root)).await.expect("a user");
        let none = "auth: authentication failed, password was given for no password user";
        refused(try_login(stubs, "cert", "x").await, Code::Unknown, none);
    });
}

#[test]
fn tokens_end_with_what_they_were_given_for() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let (root, alice) = (login(stubs, "root").await, login(stubs, "alice").await);
        let change =
            pb::AuthUserChangePasswordRequest { name: "alice".into(), password: "new".into(), ..Default::default() };
        auth(stubs).user_change_password(with(change, &root)).await.expect("changed");
        refused(read(stubs, "a/1", &alice).await, Code::Unauthenticated, INVALID);
        assert!(try_login(stubs, "alice", "alice").await.is_err());
        let alice = try_login(stubs, "alice", "new").await.expect("a login");
        // a role that is taken leaves the token and ends the rights
        let revoke = pb::AuthUserRevokeRoleRequest { name: "alice".into(), role: "a".into() };
        auth(stubs).user_revoke_role(with(revoke, &root)).await.expect("revoked");
        refused(read(stubs, "a/1", &alice).await, Code::PermissionDenied, DENIED);
        let gone = pb::AuthUserDeleteRequest { name: "alice".into() };
        auth(stubs).user_delete(with(gone, &root)).await.expect("deleted");
        refused(read(stubs, "a/1", &alice).await, Code::Unauthenticated, INVALID);
        auth(stubs).auth_disable(with(pb::AuthDisableRequest {}, &root)).await.expect("off");
        stubs.put("b", "anybody").await;
        auth(stubs).auth_enable(pb::AuthEnableRequest {}).await.expect("on");
        refused(read(stubs, "b", &root).await, Code::Unauthenticated, INVALID);
    });
}

#[test]
fn a_token_that_is_used_lives_on_and_a_forgotten_one_ends() {
    let ttl = |config: &mut Config| {
        quick(config);
        config.tokens = TokenSettings::Simple { ttl: Duration::from_millis(1_500) };
    };
    on_server_with(ttl, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let token = login(stubs, "alice").await;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            read(stubs, "a/1", &token).await.expect("alive");
        }
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        refused(read(stubs, "a/1", &token).await, Code::Unauthenticated, INVALID);
    });
}

#[test]
fn a_token_that_names_an_entry_to_come_costs_its_caller_a_moment() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let begun = std::time::Instant::now();
        refused(read(stubs, "a/1", "abcdefghijklmnop.99999999").await, Code::Unauthenticated, INVALID);
        let watch = pb::WatchRequest {
            request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create("a/1", "", 0))),
        };
        let requests = futures_util::stream::iter([watch]);
        let request = with(requests, "abcdefghijklmnop.99999999");
        let mut answers = stubs.watch.clone().watch(request).await.expect("a stream").into_inner();
        let answer = soon("an answer", answers.message()).await.expect("a stream").expect("an answer");
        assert!(answer.canceled && answer.cancel_reason.ends_with(INVALID), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
}

/// Requests that create watchers one after the other, without waiting for answers.
async fn watch_all(stubs: &Stubs, token: &str, creates: Vec<pb::WatchCreateRequest>) -> Vec<pb::WatchResponse> {
    let request =
        |create| pb::WatchRequest { request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)) };
    let count = creates.len();
    let requests = futures_util::stream::iter(creates.into_iter().map(request).collect::<Vec<_>>());
    let mut answers = stubs.watch.clone().watch(with(requests, token)).await.expect("a stream").into_inner();
    let mut out = Vec::new();
    while out.len() < count {
        out.push(soon("an answer", answers.message()).await.expect("a stream").expect("an answer"));
    }
    out
}

#[test]
fn watches_need_the_whole_range_and_are_answered_in_their_order() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let root = login(stubs, "root").await;
        // GHSA-xg4h-6gfc-h4m8: one key does not open everything behind it
        auth(stubs).role_add(with(pb::AuthRoleAddRequest { name: "k".into() }, &root)).await.expect("a role");
        auth(stubs).role_grant_permission(with(permission("k", 0, "k", ""), &root)).await.expect("a permission");
        let grant = pb::AuthUserGrantRoleRequest { user: "alice".into(), role: "k".into() };
        auth(stubs).user_grant_role(with(grant, &root)).await.expect("granted");
        let alice = login(stubs, "alice").await;
        let creates = vec![
            create("a/", "a0", 0),
            create("k", "\0", 0),
            create("k", "", 0),
            create("a/", "b", 0),
            create("", "\0", 0),
            create("k", "", -1),
            create("a/1", "", 0),
        ];
        let answers = watch_all(stubs, &alice, creates).await;
        let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        let seen: Vec<_> = answers.iter().map(|a| (a.created, a.canceled, a.cancel_reason.as_str())).collect();
        let made = (true, false, "");
        let (no, old) = ((true, true, denied), (true, true, compacted));
        assert_eq!(seen, [made, no, made, no, no, old, made]);
        assert!(answers.iter().all(|a| a.canceled == (a.watch_id == -1)), "{answers:?}");
    });
}

#[test]
fn ranges_of_all_sizes_are_for_those_who_may_read_all_of_them() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        for n in 0..300 {
            stubs.put(format!("a/{n:03}"), vec![b'x'; 4 << 10]).await;
        }
        stubs.put("b", "1").await;
        enable(stubs).await;
        let alice = login(stubs, "alice").await;
        let mut kv = stubs.kv.clone().max_decoding_message_size(usize::MAX);
        let all = kv.range(with(range("a/", "a0"), &alice)).await.expect("what she may read").into_inner();
        assert_eq!(all.kvs.len(), 300);
        refused(kv.range(with(range("a/", "c"), &alice)).await, Code::PermissionDenied, DENIED);
        let serializable = pb::RangeRequest { serializable: true, ..get("b") };
        refused(kv.range(with(serializable, &alice)).await, Code::PermissionDenied, DENIED);
        let mut stream = kv.range_stream(with(range("a/", "a0"), &alice)).await.expect("a stream").into_inner();
        let mut count = 0;
        while let Some(part) = stream.message().await.expect("a stream") {
            count += part.range_response.expect("set").kvs.len();
        }
        assert_eq!(count, 300);
        let denied = async {
            let mut stream = kv.clone().range_stream(with(range("a/", "c"), &alice)).await?.into_inner();
            stream.message().await
        };
        refused(denied.await, Code::PermissionDenied, DENIED);
    });
}

#[test]
fn the_keys_of_a_lease_are_shown_to_those_who_may_read_all_of_them() {
    // GHSA-3p4g-rcw5-8298
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        let mut lease = stubs.lease.clone();
        for (id, key) in [(71, "secret"), (72, "a/1")] {
            lease.lease_grant(pb::LeaseGrantRequest { ttl: 600, id }).await.expect("a lease");
            let request = pb::PutRequest { lease: id, ..put(key, "v") };
            stubs.kv.clone().put(request).await.expect("a put");
        }
        enable(stubs).await;
        let alice = login(stubs, "alice").await;
        let ask = |id| pb::LeaseTimeToLiveRequest { id, keys: true };
        let own = lease.lease_time_to_live(with(ask(72), &alice)).await.expect("her own").into_inner();
        assert_eq!(own.keys, ["a/1"]);
        refused(lease.lease_time_to_live(with(ask(71), &alice)).await, Code::PermissionDenied, DENIED);
        let none = lease.lease_time_to_live(with(ask(73), &alice)).await.expect("none").into_inner();
        assert_eq!(none.ttl, -1);
        refused(lease.lease_leases(with(pb::LeaseLeasesRequest {}, &alice)).await, Code::PermissionDenied, DENIED);
        let alive = async |id| {
            let requests = futures_util::stream::iter([pb::LeaseKeepAliveRequest { id }]);
            let mut answers = lease.clone().lease_keep_alive(with(requests, &alice)).await?.into_inner();
            answers.message().await
        };
        assert_eq!(alive(72).await.expect("her own").expect("an answer").ttl, 600);
        refused(alive(71).await, Code::PermissionDenied, DENIED);
        let foreign = pb::PutRequest { lease: 71, ..put("a/2", "v") };
        refused(stubs.kv.clone().put(with(foreign, &alice)).await, Code::PermissionDenied, DENIED);
        refused(
            lease.lease_revoke(with(pb::LeaseRevokeRequest { id: 71 }, &alice)).await,
            Code::PermissionDenied,
            DENIED,
        );
        lease.lease_revoke(with(pb::LeaseRevokeRequest { id: 72 }, &alice)).await.expect("her own");
        let root = login(stubs, "root").await;
        let all = lease.lease_leases(with(pb::LeaseLeasesRequest {}, &root)).await.expect("all").into_inner();
        assert_eq!(all.leases.len(), 1);
    });
}

#[test]
fn a_lease_runs_out_while_authentication_is_on() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        stubs.lease.clone().lease_grant(pb::LeaseGrantRequest { ttl: 1, id: 7 }).await.expect("a lease");
        stubs.kv.clone().put(pb::PutRequest { lease: 7, ..put("secret", "v") }).await.expect("a put");
        enable(stubs).await;
        let root = login(stubs, "root").await;
        until("the end of the lease", async || {
            (read(stubs, "secret", &root).await.expect("a read") == 0).then_some(())
        })
        .await;
    });
}

#[test]
fn locks_are_for_those_who_may_read_and_write_their_queue() {
    on_server_with(quick, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let (root, alice) = (login(stubs, "root").await, login(stubs, "alice").await);
        let lock = |name: &str| LockRequest { name: name.to_owned().into(), lease: 0 };
        let taken = stubs.lock.clone().lock(with(lock("a/l"), &alice)).await.expect("hers").into_inner();
        refused(stubs.lock.clone().lock(with(lock("b/l"), &alice)).await, Code::Unknown, DENIED);
        assert_eq!(read(stubs, "b/l/", &root).await.expect("a read"), 0);
        let waiting = {
            let (stubs, alice) = (stubs.clone(), alice.clone());
            tokio::task::spawn_local(async move { stubs.lock.clone().lock(with(lock("a/l"), &alice)).await })
        };
        let queue = async || {
            let answer = stubs.kv.clone().range(with(range("a/l/", "a/l0"), &root)).await.expect("a read");
            answer.into_inner().count
        };
        until("the second one waits", async || (queue().await == 2).then_some(())).await;
        // what is taken from her while she waits ends the wait, and her place is freed with her own rights
        stubs.kv.clone().delete_range(with(delete(&taken.key, ""), &root)).await.expect("released");
        soon("her turn", waiting).await.expect("a task").expect("hers");
        assert_eq!(queue().await, 1);
    });
}

fn jwt(config: &mut Config) {
    quick(config);
    let secret = config.data_dir.with_extension("secret");
    std::fs::write(&secret, "a secret\n").expect("a file");
    config.tokens = TokenSettings::Jwt(JwtFiles {
        method: SignMethod::by_name("HS256").expect("a method"),
        public_key: None,
        private_key: Some(secret),
        ttl: Duration::from_secs(3),
    });
}

#[test]
fn signed_tokens_are_compared_with_the_revision_where_keys_are_touched() {
    on_server_with(jwt, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let root = login(stubs, "root").await;
        assert_eq!(root.split('.').count(), 3, "{root}");
        write(stubs, "b", &root).await.expect("a put");
        auth(stubs).role_add(with(pb::AuthRoleAddRequest { name: "q".into() }, &root)).await.expect("a role");
        refused(read(stubs, "b", &root).await, Code::InvalidArgument, OLD);
        refused(write(stubs, "b", &root).await, Code::InvalidArgument, OLD);
        auth(stubs).role_add(with(pb::AuthRoleAddRequest { name: "r".into() }, &root)).await.expect("still root");
        let list = pb::MemberListRequest { linearizable: true };
        stubs.cluster.clone().member_list(with(list, &root)).await.expect("members");
        stubs.maintenance.clone().status(with(pb::StatusRequest {}, &root)).await.expect("status");
        let fresh = login(stubs, "root").await;
        read(stubs, "b", &fresh).await.expect("a read");
        tokio::time::sleep(Duration::from_secs(4)).await;
        refused(read(stubs, "b", &fresh).await, Code::Unauthenticated, INVALID);
        refused(read(stubs, "b", "wrong").await, Code::Unauthenticated, INVALID);
    });
}

#[test]
fn without_tokens_nobody_logs_in() {
    let none = |config: &mut Config| {
        quick(config);
        config.tokens = TokenSettings::None;
    };
    on_server_with(none, async |server| {
        let stubs = &server.stubs;
        enable(stubs).await;
        let failed = "etcdserver: authentication failed, invalid user ID or password";
        refused(try_login(stubs, "root", "root").await, Code::InvalidArgument, failed);
        refused(read(stubs, "a/1", "abcdefghijklmnop.1").await, Code::Unauthenticated, INVALID);
    });
}

#[test]
fn users_stay_over_a_restart_and_tokens_do_not() {
    harness::server::in_system(async {
        let server = Server::start(quick).await;
        enable(&server.stubs).await;
        let token = login(&server.stubs, "alice").await;
        write(&server.stubs, "a/1", &token).await.expect("a put");
        let dir = server.stop().await;
        let server = Server::start_in(dir, quick).await;
        let stubs = &server.stubs;
        refused(read(stubs, "a/1", &token).await, Code::Unauthenticated, INVALID);
        let nobody: Result<Response<_>, _> = stubs.kv.clone().range(get("a/1")).await;
        refused(nobody, Code::InvalidArgument, "etcdserver: user name is empty");
        let token = login(stubs, "alice").await;
        assert_eq!(read(stubs, "a/1", &token).await.expect("a read"), 1);
        let watching = Watching::try_open(stubs, create("a/1", "", 0)).await;
        assert!(watching.is_err(), "nobody watches");
        server.stop().await;
    });
}
