//! Keys through the gRPC proxy: what may be old, namespaces, users.

use crate::program::{Program, in_runtime, refused};
use api::etcdserverpb as pb;
use harness::daemon::Settings;
use harness::watch::{Watching, create, create_all, short};
use harness::{Daemon, Stubs, expect_status, request};
use pb::auth_client::AuthClient;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Request};

async fn before_one_member(flags: &[&str]) -> (Daemon, Stubs, Program, Stubs, TempDir) {
    let dir = TempDir::new().unwrap();
    let (daemon, direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
    let proxy = Program::start("grpc-proxy", &[daemon.settings.address()], flags).await;
    let through = proxy.stubs().await;
    (daemon, direct, proxy, through, dir)
}

fn serializable(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { serializable: true, ..request::get(key) }
}

async fn value(stubs: &Stubs, request: pb::RangeRequest) -> String {
    let answer = stubs.range(request).await.expect("a range");
    answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).unwrap_or_default()
}

#[test]
fn a_serializable_read_is_kept_until_a_write_passes_through() {
    in_runtime(async {
        let (_daemon, direct, proxy, through, _dir) = before_one_member(&[]).await;
        through.put("k", "1").await;
        assert_eq!(value(&through, serializable("k")).await, "1");
        direct.put("k", "2").await;
        assert_eq!(value(&through, serializable("k")).await, "1", "nobody told the proxy");
        assert_eq!(value(&through, request::get("k")).await, "2", "a linearizable read is never old");
        assert_eq!(value(&through, serializable("k")).await, "2", "and is kept like the others");
        through.put("k", "3").await;
        assert_eq!(value(&through, serializable("k")).await, "3");
        let range = pb::RangeRequest { serializable: true, ..request::prefix("k") };
        assert_eq!(through.range(range.clone()).await.unwrap().count, 1);
        through.put("kk", "1").await;
        assert_eq!(through.range(range.clone()).await.unwrap().count, 2, "a write into a range that was read");
        let delete = pb::RequestOp { request: Some(pb::RequestUnion::DeleteRange(request::delete("kk", ""))) };
        through.txn(pb::TxnRequest { success: vec![delete], ..Default::default() }).await.unwrap();
        assert_eq!(through.range(range).await.unwrap().count, 1, "a transaction writes, too");
        let page = harness::http::get(proxy.address, "/proxy/metrics").await.body;
        assert!(page.contains("etcd_grpc_proxy_cache_hits_total 2\n"), "{page}");
        for path in ["/health", "/proxy/health"] {
            let health = harness::http::get(proxy.address, path).await;
            assert_eq!((health.code, health.body.as_str()), (200, r#"{"health":"true","reason":""}"#), "{path}");
        }
        let member = harness::http::get(proxy.address, "/metrics").await;
        assert!(member.body.contains("etcd_server_has_leader 1"), "the page of a member");
        assert_eq!(harness::http::get(proxy.address, "/x").await.code, 404);
    });
}

#[test]
fn a_namespace_is_all_that_its_clients_see() {
    in_runtime(async {
        let (_daemon, direct, _proxy, inside, _dir) = before_one_member(&["--namespace", "n/"]).await;
        for key in ["a", "n/", "o"] {
            direct.put(key, "outside").await;
        }
        let mut watching = Watching::open(&inside, create_all(0)).await;
        let put = pb::PutRequest { prev_kv: true, ..request::put("k", "1") };
        inside.kv.clone().put(put.clone()).await.unwrap();
        let again = inside.kv.clone().put(put).await.unwrap().into_inner();
        assert_eq!(again.prev_kv.unwrap().key, "k");
        assert_eq!(direct.range(request::get("n/k")).await.unwrap().count, 1);
        let all = inside.range(request::all()).await.unwrap();
        let keys: Vec<_> = all.kvs.iter().map(|kv| kv.key.clone()).collect();
        assert_eq!(keys, ["k"], "the empty key of the namespace is no key");
        direct.put("o", "later").await;
        let event = short(&watching.events(1).await[0]);
        assert_eq!((event.0, event.1.as_ref()), (true, &b"k"[..]));
        let compare = pb::Compare {
            key: "k".into(),
            target: pb::CompareTarget::Version as i32,
            target_union: Some(pb::TargetUnion::Version(2)),
            ..Default::default()
        };
        let read = pb::RequestOp { request: Some(pb::RequestUnion::Range(request::get("k"))) };
        let txn = pb::TxnRequest { compare: vec![compare], success: vec![read], failure: vec![] };
        let answer = inside.txn(txn).await.unwrap();
        let Some(pb::response_op::Response::ResponseRange(range)) = &answer.responses[0].response else { panic!() };
        assert!(answer.succeeded && range.kvs[0].key == "k");
        let empty = inside.range(request::get("")).await;
        expect_status("an empty key", empty, Code::InvalidArgument, "etcdserver: key is not provided");
        assert_eq!(inside.delete([0], [0]).await.0, 1, "all keys of the namespace");
        assert_eq!(direct.range(request::all()).await.unwrap().count, 3, "and no other");
    });
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("token", token.parse().unwrap());
    request
}

async fn log_in(auth: &mut AuthClient<Channel>, name: &str) -> String {
    let login = pb::AuthenticateRequest { name: name.into(), password: "pw".into() };
    auth.authenticate(login).await.expect("a login through the proxy").into_inner().token
}

/// Users root and alice, and alice may read keys that begin with `a`. Authentication is on.
async fn enable_auth(auth: &mut AuthClient<Channel>) {
    for name in ["root", "alice"] {
        let user = pb::AuthUserAddRequest { name: name.into(), password: "pw".into(), ..Default::default() };
        auth.user_add(user).await.unwrap();
        auth.role_add(pb::AuthRoleAddRequest { name: name.into() }).await.unwrap();
        auth.user_grant_role(pb::AuthUserGrantRoleRequest { user: name.into(), role: name.into() }).await.unwrap();
    }
    let may_read = api::authpb::Permission { perm_type: 0, key: "a".into(), range_end: "b".into() };
    let grant = pb::AuthRoleGrantPermissionRequest { name: "alice".into(), perm: Some(may_read) };
    auth.role_grant_permission(grant).await.unwrap();
    auth.auth_enable(pb::AuthEnableRequest {}).await.unwrap();
}

#[test]
fn tokens_pass_and_nobody_gets_what_another_may_read() {
    in_runtime(async {
        let (_daemon, _direct, _proxy, through, _dir) = before_one_member(&[]).await;
        through.put("a", "1").await;
        through.put("z", "secret").await;
        let mut auth = AuthClient::new(through.channel.clone());
        enable_auth(&mut auth).await;
        let (root, alice) = (log_in(&mut auth, "root").await, log_in(&mut auth, "alice").await);
        let mut kv = through.kv.clone();
        for key in ["a", "z"] {
            kv.range(with_token(&root, serializable(key))).await.expect("root reads everything");
        }
        kv.range(with_token(&alice, serializable("a"))).await.expect("alice reads hers");
        let denied = kv.range(with_token(&alice, serializable("z"))).await;
        expect_status("alice", denied, Code::PermissionDenied, "etcdserver: permission denied");
        let nobody = kv.range(serializable("z")).await;
        expect_status("nobody", nobody, Code::InvalidArgument, "etcdserver: user name is empty");

        let create = |key: &str| {
            let union = pb::watch_request::RequestUnion::CreateRequest(create(key, "", 1));
            pb::WatchRequest { request_union: Some(union) }
        };
        let watch = async |token: &str, key: &str| {
            let first = create(key);
            let requests = futures_util::StreamExt::chain(
                futures_util::stream::once(async { first }),
                futures_util::stream::pending(),
            );
            let mut answers = through.watch.clone().watch(with_token(token, requests)).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap();
            (answer, answers)
        };
        let (watched, _kept) = watch(&root, "z").await;
        assert!(watched.created && !watched.canceled);
        let (refused, _) = watch(&alice, "z").await;
        assert_eq!((refused.watch_id, refused.created, refused.canceled), (-1, true, true));
        assert_eq!(refused.cancel_reason, "etcdserver: permission denied", "although root shares that range");
        let (watched, _) = watch(&alice, "a").await;
        assert!(!watched.canceled);

        // what was kept is forgotten when rights change
        let revoke = pb::AuthUserRevokeRoleRequest { name: "alice".into(), role: "alice".into() };
        auth.user_revoke_role(with_token(&root, revoke)).await.unwrap();
        let alice = log_in(&mut auth, "alice").await;
        let denied = kv.range(with_token(&alice, serializable("a"))).await;
        expect_status("alice", denied, Code::PermissionDenied, "etcdserver: permission denied");
    });
}

#[test]
fn what_cannot_be_served_ends_the_start_and_says_why() {
    let dir = TempDir::new().unwrap();
    let all = harness::certificates::Certificates::in_dir(dir.path(), &["named", ""]);
    let path = |name: &str| all.path(name).display().to_string();
    let (code, said) = refused(&[
        "grpc-proxy",
        "start",
        "--cert",
        &path("client-named.pem"),
        "--key",
        &path("client-named.key"),
        "--cacert",
        &path("ca.pem"),
    ]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cert has non empty Common Name (named)"), "{said}");
    let (code, said) = refused(&["grpc-proxy", "start", "--resolver-prefix", "p"]);
    assert_eq!((code, said.trim()), (Some(1), "invalid resolver-ttl 0"));
    let (code, said) = refused(&["gateway", "start", "--endpoints", "127.0.0.1:23790"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("should not resolve to the gateway listen addr"), "{said}");
}
