//! Every method, asked by everybody: nobody, with tokens that are none or have ended, users without and with rights, root.
//!
//! The rows are held against the methods of the API, so that a new method without a row fails. With `CONCLAVE_ETCD=host:port` a
//! fresh etcd 3.7.1 that was started with `--auth-token-ttl=5` is asked instead, so that the list itself is checked. Must never
//! change what another row relies on; what would is asked of something that does not exist.

use api::authpb::{Permission, UserAddOptions};
use api::conclave;
use api::etcdserverpb as pb;
use api::v3electionpb as election;
use api::v3lockpb as lock;
use bytes::Bytes;
use embed::listen::TlsSettings;
use embed::tokens::TokenSettings;
use embed::{Config, Node};
use harness::Stubs;
use harness::certificates::Certificates;
use harness::raw_call::{FirstAnswer, first_of_stream, unary};
use harness::request::{compare, delete, get, put, put_op, range_op};
use harness::server::{Server, in_system, quick_config};
use prost::Message;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::Channel;

/// How long a simple token lives here.
const TTL: Duration = Duration::from_secs(5);
/// How long a stream may be silent before it counts as served.
const SILENCE: Duration = Duration::from_millis(300);
/// A lease with a key that alice may not touch.
const FOREIGN: i64 = 71;
/// Another one, which root ends.
const ENDED: i64 = 73;

const OK: &str = "OK";
const EMPTY: &str = "InvalidArgument: etcdserver: user name is empty";
const INVALID: &str = "Unauthenticated: etcdserver: invalid auth token";
const DENIED: &str = "PermissionDenied: etcdserver: permission denied";

/// Who asks, in the order of the answers of a row: first those with a token or none, then those with a certificate, by their common
/// names.
const CALLERS: [&str; 10] = ["nobody", "wrong", "ended", "bob", "alice", "root", "", "ghost", "alice", "root"];
/// How many of them show no certificate.
const WITHOUT: usize = 6;

type Answers = [&'static str; CALLERS.len()];

const NO_USER: &str = "FailedPrecondition: etcdserver: user name not found";

/// What everybody gets.
const fn everybody(answer: &'static str) -> Answers {
    [answer; CALLERS.len()]
}

/// What root gets; nobody else may.
const fn root_alone(answer: &'static str) -> Answers {
    [EMPTY, INVALID, INVALID, DENIED, DENIED, answer, EMPTY, NO_USER, DENIED, answer]
}

/// The same where keys are looked at, and not who administrates.
const fn keys_of_root(answer: &'static str) -> Answers {
    [EMPTY, INVALID, INVALID, DENIED, DENIED, answer, DENIED, DENIED, DENIED, answer]
}

/// What everybody gets who says who he is.
const fn known(answer: &'static str) -> Answers {
    [EMPTY, INVALID, INVALID, answer, answer, answer, answer, answer, answer, answer]
}

/// What alice and root get.
const fn alice_and_root(answer: &'static str) -> Answers {
    [EMPTY, INVALID, INVALID, DENIED, answer, answer, EMPTY, NO_USER, answer, answer]
}

/// The same where keys are looked at.
const fn keys_of_alice(answer: &'static str) -> Answers {
    [EMPTY, INVALID, INVALID, DENIED, answer, answer, DENIED, DENIED, answer, answer]
}

/// The same where a client inside the server asks: the code is lost.
const fn by_client(answer: &'static str) -> Answers {
    const DENIED: &str = "Unknown: etcdserver: permission denied";
    const INVALID: &str = "Unknown: etcdserver: invalid auth token";
    const EMPTY: &str = "Unknown: etcdserver: user name is empty";
    [EMPTY, INVALID, INVALID, DENIED, answer, answer, DENIED, DENIED, answer, answer]
}

/// A method, what it is asked by whom, and what each is told.
struct Row {
    path: &'static str,
    body: Box<dyn Fn(&str) -> Bytes>,
    answers: Answers,
}

fn row<M: Message + 'static>(path: &'static str, request: M, answers: Answers) -> Row {
    let body = Bytes::from(request.encode_to_vec());
    Row { path, body: Box::new(move |_| body.clone()), answers }
}

/// A row whose request is another one for each caller: who waits for a lock must not wait for another caller.
fn row_by<M: Message>(path: &'static str, request: impl Fn(&str) -> M + 'static, answers: Answers) -> Row {
    Row { path, body: Box::new(move |caller| request(caller).encode_to_vec().into()), answers }
}

fn of_keys() -> Vec<Row> {
    let txn = pb::TxnRequest {
        compare: vec![compare("a/1", pb::CompareResult::Equal, pb::TargetUnion::Version(99))],
        success: vec![put_op("a/1", "2")],
        failure: vec![range_op(get("a/1"))],
    };
    let future = pb::CompactionRequest { revision: i64::MAX, physical: false };
    let create = pb::WatchCreateRequest { key: "a/1".into(), ..Default::default() };
    let watch = pb::WatchRequest { request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)) };
    let canceled = |why| match why {
        OK => OK,
        EMPTY => "canceled: rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
        INVALID => "canceled: rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        _ => "canceled: rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    };
    let watched = keys_of_alice(OK).map(canceled);
    let future_revision = "OutOfRange: etcdserver: mvcc: required revision is a future revision";
    vec![
        row("/etcdserverpb.KV/Range", get("a/1"), keys_of_alice(OK)),
        row("/etcdserverpb.KV/RangeStream", get("a/1"), keys_of_alice(OK)),
        row("/etcdserverpb.KV/Put", put("a/1", "1"), keys_of_alice(OK)),
        row("/etcdserverpb.KV/DeleteRange", delete("a/2", ""), keys_of_alice(OK)),
        row("/etcdserverpb.KV/Txn", txn, keys_of_alice(OK)),
        row("/etcdserverpb.KV/Compact", future, root_alone(future_revision)),
        row("/etcdserverpb.Watch/Watch", watch, watched),
    ]
}

fn of_leases() -> Vec<Row> {
    let keys = pb::LeaseTimeToLiveRequest { id: FOREIGN, keys: true };
    let no_keys = pb::LeaseTimeToLiveRequest { id: FOREIGN, keys: false };
    vec![
        row("/etcdserverpb.Lease/LeaseGrant", pb::LeaseGrantRequest { ttl: 60, id: 0 }, known(OK)),
        row("/etcdserverpb.Lease/LeaseKeepAlive", pb::LeaseKeepAliveRequest { id: FOREIGN }, keys_of_root(OK)),
        row("/etcdserverpb.Lease/LeaseTimeToLive", keys, keys_of_root(OK)),
        row("/etcdserverpb.Lease/LeaseTimeToLive", no_keys, known(OK)),
        row("/etcdserverpb.Lease/LeaseLeases", pb::LeaseLeasesRequest {}, keys_of_root(OK)),
        row("/etcdserverpb.Lease/LeaseRevoke", pb::LeaseRevokeRequest { id: ENDED }, keys_of_root(OK)),
    ]
}

fn of_the_cluster(peer_urls: Vec<String>) -> Vec<Row> {
    let add = pb::MemberAddRequest { peer_urls: peer_urls.clone(), is_learner: false };
    let exists = "FailedPrecondition: etcdserver: Peer URLs already exists";
    let not_found = "NotFound: etcdserver: member not found";
    let update = pb::MemberUpdateRequest { id: 4711, peer_urls: vec!["http://127.0.0.1:1".into()] };
    vec![
        row("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest { linearizable: false }, known(OK)),
        row("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest { linearizable: true }, known(OK)),
        row("/etcdserverpb.Cluster/MemberAdd", add, root_alone(exists)),
        row("/etcdserverpb.Cluster/MemberRemove", pb::MemberRemoveRequest { id: 4711 }, root_alone(not_found)),
        row("/etcdserverpb.Cluster/MemberUpdate", update, root_alone(not_found)),
        row("/etcdserverpb.Cluster/MemberPromote", pb::MemberPromoteRequest { id: 4711 }, root_alone(not_found)),
    ]
}

fn of_maintenance(own: u64) -> Vec<Row> {
    let alarm = |action| pb::AlarmRequest { action, member_id: own, alarm: 1 };
    let no_other_member = "FailedPrecondition: etcdserver: there is no other member to rebuild this one from";
    let downgrade = "InvalidArgument: etcdserver: wrong downgrade target version format";
    let path = "/etcdserverpb.Maintenance/Alarm";
    vec![
        row("/etcdserverpb.Maintenance/Status", pb::StatusRequest {}, known(OK)),
        row(path, alarm(pb::AlarmAction::Get as i32), known(OK)),
        row(path, alarm(pb::AlarmAction::Deactivate as i32), root_alone(OK)),
        row("/etcdserverpb.Maintenance/Defragment", pb::DefragmentRequest {}, root_alone(OK)),
        row("/etcdserverpb.Maintenance/Hash", pb::HashRequest {}, root_alone(OK)),
        row("/etcdserverpb.Maintenance/HashKV", pb::HashKvRequest { revision: 0 }, root_alone(OK)),
        row("/etcdserverpb.Maintenance/Snapshot", pb::SnapshotRequest {}, root_alone(OK)),
        row("/conclave.Maintenance/Rebuild", conclave::RebuildRequest {}, root_alone(no_other_member)),
        row("/etcdserverpb.Maintenance/MoveLeader", pb::MoveLeaderRequest { target_id: own }, root_alone(OK)),
        row("/etcdserverpb.Maintenance/Downgrade", pb::DowngradeRequest::default(), root_alone(downgrade)),
    ]
}

fn of_users() -> Vec<Row> {
    let status = [OK, INVALID, INVALID, OK, OK, OK, OK, OK, OK, OK];
    let failed = "InvalidArgument: etcdserver: authentication failed, invalid user ID or password";
    let user_exists = "FailedPrecondition: etcdserver: user name already exists";
    let no_role = "FailedPrecondition: etcdserver: role name not found";
    let not_granted = "FailedPrecondition: etcdserver: role is not granted to the user";
    let options = Some(UserAddOptions { no_password: true });
    let add = pb::AuthUserAddRequest { name: "alice".into(), options, ..Default::default() };
    let password = pb::AuthUserChangePasswordRequest { name: "ghost".into(), ..Default::default() };
    let hashed = pb::AuthUserChangePasswordRequest { password: "p".into(), ..password.clone() };
    let grant = pb::AuthUserGrantRoleRequest { user: "alice".into(), role: "ghost".into() };
    let revoke = pb::AuthUserRevokeRoleRequest { name: "alice".into(), role: "ghost".into() };
    let login = pb::AuthenticateRequest { name: "alice".into(), password: "wrong".into() };
    let ghost = || String::from("ghost");
    vec![
        row("/etcdserverpb.Auth/AuthEnable", pb::AuthEnableRequest {}, root_alone(OK)),
        row("/etcdserverpb.Auth/AuthStatus", pb::AuthStatusRequest {}, status),
        row("/etcdserverpb.Auth/Authenticate", login, everybody(failed)),
        row("/etcdserverpb.Auth/UserAdd", add, root_alone(user_exists)),
        row("/etcdserverpb.Auth/UserGet", pb::AuthUserGetRequest { name: "alice".into() }, alice_and_root(OK)),
        row("/etcdserverpb.Auth/UserList", pb::AuthUserListRequest {}, root_alone(OK)),
        row("/etcdserverpb.Auth/UserDelete", pb::AuthUserDeleteRequest { name: ghost() }, root_alone(NO_USER)),
        row("/etcdserverpb.Auth/UserChangePassword", password, root_alone(NO_USER)),
        row("/etcdserverpb.Auth/UserChangePassword", hashed, root_alone(NO_USER)),
        row("/etcdserverpb.Auth/UserGrantRole", grant, root_alone(no_role)),
        row("/etcdserverpb.Auth/UserRevokeRole", revoke, root_alone(not_granted)),
    ]
}

fn of_roles() -> Vec<Row> {
    let exists = "FailedPrecondition: etcdserver: role name already exists";
    let no_role = "FailedPrecondition: etcdserver: role name not found";
    let not_granted = "FailedPrecondition: etcdserver: permission is not granted to the role";
    let perm = Some(Permission { perm_type: 2, key: "k".into(), range_end: Bytes::new() });
    let permit = pb::AuthRoleGrantPermissionRequest { name: "ghost".into(), perm };
    let forbid = pb::AuthRoleRevokePermissionRequest { role: "a".into(), key: "zz".into(), range_end: Bytes::new() };
    vec![
        row("/etcdserverpb.Auth/RoleAdd", pb::AuthRoleAddRequest { name: "a".into() }, root_alone(exists)),
        row("/etcdserverpb.Auth/RoleGet", pb::AuthRoleGetRequest { role: "a".into() }, alice_and_root(OK)),
        row("/etcdserverpb.Auth/RoleList", pb::AuthRoleListRequest {}, root_alone(OK)),
        row("/etcdserverpb.Auth/RoleDelete", pb::AuthRoleDeleteRequest { role: "ghost".into() }, root_alone(no_role)),
        row("/etcdserverpb.Auth/RoleGrantPermission", permit, root_alone(no_role)),
        row("/etcdserverpb.Auth/RoleRevokePermission", forbid, root_alone(not_granted)),
    ]
}

fn of_queues() -> Vec<Row> {
    let name = |what: &str, caller: &str| Bytes::from(format!("a/{what}-{caller}"));
    let leader = || election::LeaderKey { name: "a/e".into(), key: "a/e/1".into(), rev: 1, lease: FOREIGN };
    let proclaim = election::ProclaimRequest { leader: Some(leader()), value: "v".into() };
    let lock = move |caller: &str| lock::LockRequest { name: name("lock", caller), lease: 0 };
    let campaign =
        move |caller: &str| election::CampaignRequest { name: name("race", caller), lease: 0, value: "v".into() };
    let not_leader = "Unknown: election: not leader";
    let mut proclaimed = by_client(not_leader);
    // the lease holds a key of others
    for alice in [4, 8] {
        proclaimed[alice] = "Unknown: etcdserver: permission denied";
    }
    let nobody_leads = by_client("Unknown: election: no leader");
    let observe = election::LeaderRequest { name: "a/none".into() };
    let ended = ["ended", "ended", "ended", "ended", OK, OK, "ended", "ended", OK, OK];
    vec![
        row_by("/v3lockpb.Lock/Lock", lock, by_client(OK)),
        row("/v3lockpb.Lock/Unlock", lock::UnlockRequest { key: "a/none".into() }, by_client(OK)),
        row_by("/v3electionpb.Election/Campaign", campaign, by_client(OK)),
        row("/v3electionpb.Election/Proclaim", proclaim, proclaimed),
        row("/v3electionpb.Election/Leader", observe.clone(), nobody_leads),
        row("/v3electionpb.Election/Observe", observe, ended),
        row("/v3electionpb.Election/Resign", election::ResignRequest { leader: Some(leader()) }, by_client(OK)),
    ]
}

fn of_health() -> Vec<Row> {
    let check = || api::health::HealthCheckRequest::default();
    vec![
        row("/grpc.health.v1.Health/Check", check(), everybody(OK)),
        row("/grpc.health.v1.Health/List", api::health::HealthListRequest {}, everybody(OK)),
        row("/grpc.health.v1.Health/Watch", check(), everybody(OK)),
    ]
}

/// `google.protobuf.FileDescriptorSet`, the part in use.
#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    service: Vec<Service>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<Method>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "5")]
    client_streaming: bool,
    #[prost(bool, tag = "6")]
    server_streaming: bool,
}

/// Paths of all methods, and whether requests and answers are streams.
fn methods() -> Vec<(String, bool, bool)> {
    let mut out = Vec::new();
    for file in Files::decode(api::DESCRIPTORS).expect("descriptors").file {
        for service in file.service {
            let path = |name: &str| format!("/{}.{}/{name}", file.package, service.name);
            let methods = service.method.iter();
            out.extend(methods.map(|m| (path(&m.name), m.client_streaming, m.server_streaming)));
        }
    }
    out
}

/// A connection and a token for each caller; those that do not ask have no connection.
struct Asked {
    callers: Vec<(usize, Channel, Option<String>)>,
    methods: Vec<(String, bool, bool)>,
}

async fn login(stubs: &Stubs, name: &str) -> String {
    let request = pb::AuthenticateRequest { name: name.into(), password: name.into() };
    let mut auth = pb::auth_client::AuthClient::new(stubs.channel.clone());
    auth.authenticate(request).await.expect(name).into_inner().token
}

/// Makes users, roles, keys and leases, and turns authentication on.
async fn prepare(stubs: &Stubs) {
    let mut auth = pb::auth_client::AuthClient::new(stubs.channel.clone());
    for name in ["root", "alice", "bob"] {
        let request = pb::AuthUserAddRequest { name: name.into(), password: name.into(), ..Default::default() };
        auth.user_add(request).await.expect("user");
    }
    for role in ["a", "root"] {
        auth.role_add(pb::AuthRoleAddRequest { name: role.into() }).await.expect("role");
    }
    let perm = Some(Permission { perm_type: 2, key: "a/".into(), range_end: "a0".into() });
    auth.role_grant_permission(pb::AuthRoleGrantPermissionRequest { name: "a".into(), perm }).await.expect("grant");
    for (user, role) in [("root", "root"), ("alice", "a")] {
        let request = pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
        auth.user_grant_role(request).await.expect("grant");
    }
    stubs.put("a/1", "1").await;
    for id in [FOREIGN, ENDED] {
        stubs.lease.clone().lease_grant(pb::LeaseGrantRequest { ttl: 600, id }).await.expect("lease");
        let request = pb::PutRequest { lease: id, ..put(format!("secret/{id}"), "1") };
        stubs.kv.clone().put(request).await.expect("put");
    }
    auth.auth_enable(pb::AuthEnableRequest {}).await.expect("enabled");
}

impl Asked {
    /// Those without a certificate. One of their tokens has ended.
    async fn with_tokens(stubs: &Stubs) -> Self {
        let ended = login(stubs, "alice").await;
        tokio::time::sleep(TTL + Duration::from_secs(2)).await;
        let [bob, alice, root] = [login(stubs, "bob").await, login(stubs, "alice").await, login(stubs, "root").await];
        let tokens = [None, Some("wrong.1".into()), Some(ended), Some(bob), Some(alice), Some(root)];
        let callers = tokens.into_iter().enumerate();
        let callers = callers.map(|(caller, token)| (caller, stubs.channel.clone(), token)).collect();
        Self { callers, methods: methods() }
    }

    /// Those with one.
    async fn with_certificates(certificates: &Certificates, address: SocketAddr) -> Self {
        let mut callers = Vec::new();
        for (caller, name) in CALLERS.iter().enumerate().skip(WITHOUT) {
            callers.push((caller, certificates.connect(address, name).await, None));
        }
        Self { callers, methods: methods() }
    }

    async fn answer(&self, row: &Row, channel: &Channel, caller: usize, token: Option<&str>) -> String {
        let (_, client_streams, server_streams) =
            self.methods.iter().find(|(path, ..)| path == row.path).expect("a method");
        let body = (row.body)(&format!("{}-{caller}", CALLERS[caller]));
        let first = match server_streams {
            false => unary(channel, row.path, body, token).await.map(FirstAnswer::Message),
            true => first_of_stream(channel, row.path, body, token, *client_streams, SILENCE).await,
        };
        match first {
            Ok(FirstAnswer::Message(message)) if row.path == "/etcdserverpb.Watch/Watch" => {
                let answer = pb::WatchResponse::decode(message).expect("an answer");
                if answer.canceled { format!("canceled: {}", answer.cancel_reason) } else { OK.into() }
            }
            Ok(FirstAnswer::Message(_) | FirstAnswer::Nothing) => OK.into(),
            Ok(FirstAnswer::End) => "ended".into(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        }
    }

    /// Asks everything of a prepared server.
    async fn ask(&self, member: pb::Member) {
        let mut rows = of_keys();
        rows.extend(of_leases());
        rows.extend(of_the_cluster(member.peer_urls));
        rows.extend(of_maintenance(member.id));
        rows.extend(of_users());
        rows.extend(of_roles());
        rows.extend(of_queues());
        rows.extend(of_health());
        // the last one: authentication is off behind it
        rows.push(row("/etcdserverpb.Auth/AuthDisable", pb::AuthDisableRequest {}, root_alone(OK)));
        let covered: BTreeSet<_> = rows.iter().map(|row| row.path).collect();
        let all: BTreeSet<_> = self.methods.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(covered, all, "each method has a row, and there are no others");
        let mut wrong = Vec::new();
        for row in &rows {
            for (caller, channel, token) in &self.callers {
                let answer = self.answer(row, channel, *caller, token.as_deref()).await;
                let expected = row.answers[*caller];
                if answer != expected {
                    let name = CALLERS[*caller];
                    wrong.push(format!("{} by {name:?}: {answer:?} instead of {expected:?}", row.path));
                }
            }
        }
        assert!(wrong.is_empty(), "{} answers:\n{}", wrong.len(), wrong.join("\n"));
    }
}

async fn member_of(stubs: &Stubs) -> pb::Member {
    let members = stubs.cluster.clone().member_list(pb::MemberListRequest::default()).await.expect("members");
    members.into_inner().members.remove(0)
}

#[test]
fn every_method_answers_every_caller_as_etcd_does() {
    in_system(async {
        let foreign = std::env::var("CONCLAVE_ETCD").ok();
        let own = match foreign {
            Some(_) => None,
            None => Some(
                Server::start(|config| {
                    config.tokens = TokenSettings::Simple { ttl: TTL };
                    config.bcrypt_cost = 4;
                })
                .await,
            ),
        };
        let stubs = match &own {
            Some(server) => server.stubs.clone(),
            None => Stubs::connect(foreign.as_deref().unwrap_or_default(), TTL).await.expect("connect"),
        };
        let member = member_of(&stubs).await;
        prepare(&stubs).await;
        Asked::with_tokens(&stubs).await.ask(member).await;
        if let Some(server) = own {
            server.stop().await;
        }
    });
}

/// With `CONCLAVE_ETCD_TLS=host:port` an etcd is asked that was started with `--client-cert-auth` and the files of the folder
/// `CONCLAVE_CERTIFICATES`, where a run without that variable has left them.
#[test]
fn every_method_answers_every_certificate_as_etcd_does() {
    in_system(async {
        let dir = tempfile::TempDir::new().expect("a folder");
        let given = std::env::var_os("CONCLAVE_CERTIFICATES").map(PathBuf::from);
        let files = Certificates::in_dir(given.as_deref().unwrap_or(dir.path()), &CALLERS[WITHOUT..]);
        if let Ok(address) = std::env::var("CONCLAVE_ETCD_TLS") {
            return by_certificates(&files, address.parse().expect("an address")).await;
        }
        let config = Config {
            client_urls: vec!["https://127.0.0.1:0".into()],
            client_tls: Some(TlsSettings {
                cert_file: Some(files.path("server.pem")),
                key_file: Some(files.path("server.key")),
                trusted_ca_file: Some(files.path("ca.pem")),
                client_cert_auth: true,
                ..TlsSettings::default()
            }),
            bcrypt_cost: 4,
            ..quick_config("default", &dir.path().join("data"))
        };
        let node = Node::start(config).await.unwrap_or_else(|why| panic!("the node does not start: {why}"));
        by_certificates(&files, node.addresses()[0]).await;
        node.stop().await;
    });
}

async fn by_certificates(files: &Certificates, address: SocketAddr) {
    let stubs = Stubs::on(files.connect(address, "root").await);
    let member = member_of(&stubs).await;
    prepare(&stubs).await;
    Asked::with_certificates(files, address).await.ask(member).await;
}
