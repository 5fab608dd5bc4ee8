//! Users and tokens in a cluster: every member knows a token as soon as it has applied the entry that gave it, and users come with a
//! snapshot.

use api::etcdserverpb as pb;
use api::etcdserverpb::auth_client::AuthClient;
use embed::{Config, InitialState, Node};
use harness::members::{Over, configs, start};
use harness::request::{get, put};
use harness::server::in_system;
use harness::{Stubs, expect_status, soon};
use model::{Command, MemberChange};
use tempfile::TempDir;
use tonic::{Code, Request};

async fn stubs(node: &Node) -> Stubs {
    Stubs::connect(&node.addresses()[0].to_string(), harness::PATIENCE).await.expect("connect")
}

fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("token", token.parse().expect("plain text"));
    request
}

async fn enable(stubs: &Stubs) {
    let mut auth = AuthClient::new(stubs.channel.clone());
    let add = pb::AuthUserAddRequest { name: "root".into(), password: "root".into(), ..Default::default() };
    auth.user_add(add).await.expect("a user");
    let grant = pb::AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
    auth.user_grant_role(grant).await.expect("a role");
    auth.auth_enable(pb::AuthEnableRequest {}).await.expect("on");
}

async fn login(stubs: &Stubs) -> String {
    let request = pb::AuthenticateRequest { name: "root".into(), password: "root".into() };
    let mut auth = AuthClient::new(stubs.channel.clone());
    soon("a login", auth.authenticate(request)).await.expect("a login").into_inner().token
}

fn quick(mut configs: Vec<Config>) -> Vec<Config> {
    configs.iter_mut().for_each(|config| config.bcrypt_cost = 4);
    configs
}

#[test]
fn a_token_is_good_at_every_member_at_once() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let nodes = start(&quick(configs(dir.path(), 3, Over::Queues))).await;
        let mut members = Vec::new();
        for node in &nodes {
            members.push(stubs(node).await);
        }
        enable(&members[0]).await;
        for member in &members {
            // A linearizable read waits for what was committed before it. A member that has not heard yet that users count ignores tokens,
            // as etcd's does, and what it proposes then has no user.
            let _ = soon("a read", member.kv.clone().range(get("k"))).await;
        }
        for round in 0..30 {
            let token = login(&members[round % 3]).await;
            for member in [1, 2, 0] {
                // a member that lags waits for the entry of the token, also for a read that needs nobody
                let other = &members[(round + member) % 3];
                let read = pb::RangeRequest { serializable: true, ..get("k") };
                let answer = soon("a read", other.kv.clone().range(with(read, &token))).await;
                answer.unwrap_or_else(|why| panic!("round {round}, member {member}: {why}"));
                soon("a put", other.kv.clone().put(with(put("k", "v"), &token))).await.expect("a put");
            }
        }
        let root = login(&members[0]).await;
        let mut auth = AuthClient::new(members[1].channel.clone());
        let change =
            pb::AuthUserChangePasswordRequest { name: "root".into(), password: "new".into(), ..Default::default() };
        auth.user_change_password(with(change, &root)).await.expect("changed");
        for member in &members {
            // linearizable: behind the change at every member
            let answer = soon("a refusal", member.kv.clone().range(with(get("k"), &root))).await;
            expect_status("an old token", answer, Code::Unauthenticated, "etcdserver: invalid auth token");
        }
        for node in nodes {
            soon("the stop", node.stop()).await;
        }
    });
}

#[test]
fn users_come_to_a_new_member_by_a_snapshot() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs = quick(configs(dir.path(), 2, Over::Sockets));
        configs.iter_mut().for_each(|config| config.strict_reconfig = false);
        let alone = Config { initial_cluster: configs[0].initial_cluster[..1].to_vec(), ..configs[0].clone() };
        let first = start(&[alone]).await.remove(0);
        let old = stubs(&first).await;
        enable(&old).await;
        let token = login(&old).await;
        // a lone member keeps no log, so that whoever joins it begins with a snapshot
        let fill = |n: usize| Command::Put(put(format!("k{n}"), "v"));
        for n in 0..50 {
            first.client().execute(fill(n)).await.expect("a put");
        }
        let add = MemberChange::Add { peer_urls: configs[1].peer_urls.clone(), learner: false, unix_seconds: 7 };
        soon("the change", first.client().change_membership(add)).await.expect("added");
        let config = Config { initial_state: InitialState::Existing, ..configs[1].clone() };
        let second = soon("the start", start(&[config])).await.remove(0);
        let new = stubs(&second).await;
        let nobody = soon("a refusal", new.kv.clone().range(get("k1"))).await;
        expect_status("nobody", nobody, Code::InvalidArgument, "etcdserver: user name is empty");
        // tokens are in no snapshot
        let before = soon("a refusal", new.kv.clone().range(with(get("k1"), &token))).await;
        expect_status("a token from before", before, Code::Unauthenticated, "etcdserver: invalid auth token");
        let token = login(&new).await;
        for member in [&new, &old] {
            let read = soon("a read", member.kv.clone().range(with(get("k1"), &token))).await.expect("a read");
            assert_eq!(read.into_inner().count, 1);
        }
        soon("the stop", second.stop()).await;
        soon("the stop", first.stop()).await;
    });
}
