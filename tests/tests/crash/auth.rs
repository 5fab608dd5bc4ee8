//! Users over `kill -9`: each change counts once, and no secret is ever on the disk or in the log.

use api::etcdserverpb as pb;
use api::etcdserverpb::auth_client::AuthClient;
use harness::daemon::Settings;
use harness::{Daemon, Stubs};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::Channel;

const PASSWORD: &str = "correct-horse-battery-staple";

fn auth(stubs: &Stubs) -> AuthClient<Channel> {
    AuthClient::new(stubs.channel.clone())
}

fn settings(dir: &TempDir) -> Settings {
    let flags = vec!["--bcrypt-cost=4".into(), "--log-level=debug".into()];
    Settings { flags, ..Settings::new(dir.path().join("data")) }
}

async fn revision(stubs: &Stubs) -> u64 {
    auth(stubs).auth_status(pb::AuthStatusRequest {}).await.expect("status").into_inner().auth_revision
}

/// Adds roles until the member is gone. Returns how many were acknowledged.
async fn add_roles(stubs: &Stubs, round: usize) -> u64 {
    for n in 0.. {
        let request = pb::AuthRoleAddRequest { name: format!("role-{round}-{n}") };
        if auth(stubs).role_add(request).await.is_err() {
            return n;
        }
    }
    unreachable!("the member is killed")
}

/// etcd #11652: commands about users were applied again after a restart, and members came apart.
#[tokio::test]
async fn each_change_of_users_counts_once_over_kills() {
    let dir = TempDir::new().expect("a folder");
    let mut next = settings(&dir);
    let mut least = 1;
    for round in 0..5 {
        let (daemon, stubs) = Daemon::start(next).await;
        let found = revision(&stubs).await;
        // the last change may have been made and not acknowledged
        assert!((least..=least + 1).contains(&found), "round {round}: {found} instead of {least}");
        let roles = auth(&stubs).role_list(pb::AuthRoleListRequest {}).await.expect("roles").into_inner().roles;
        assert_eq!(roles.len() as u64, found - 1, "round {round}: each change added a role");
        let killing = async {
            tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
            daemon.kill()
        };
        let (added, settings) = tokio::join!(add_roles(&stubs, round as usize), killing);
        assert!(added > 0, "round {round}: nothing was added");
        least = found + added;
        next = settings;
    }
    let (daemon, stubs) = Daemon::start(next).await;
    let found = revision(&stubs).await;
    assert!((least..=least + 1).contains(&found), "{found} instead of {least}");
    drop(daemon);
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// All files below a folder that hold one of these texts.
fn files_with(dir: &Path, secrets: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files_with(&path, secrets));
        } else if let Ok(bytes) = std::fs::read(&path)
            && let Some(secret) = secrets.iter().find(|secret| holds(&bytes, secret))
        {
            out.push(format!("{secret} in {}", path.display()));
        }
    }
    out
}

/// CVE-2021-28235, GHSA-528j-9r78-wffx and GHSA-vjg6-93fv-qv64.
#[tokio::test]
async fn no_password_and_no_token_is_in_the_log_the_wal_or_the_store() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(settings(&dir)).await;
    let add = |name: &str, no_password: bool| pb::AuthUserAddRequest {
        name: name.into(),
        password: if no_password { String::new() } else { PASSWORD.into() },
        options: Some(api::authpb::UserAddOptions { no_password }),
        ..Default::default()
    };
    let mut auth = auth(&stubs);
    auth.user_add(add("root", false)).await.expect("a user");
    auth.user_add(add("certificate", true)).await.expect("a user");
    let grant = pb::AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
    auth.user_grant_role(grant).await.expect("a role");
    auth.auth_enable(pb::AuthEnableRequest {}).await.expect("on");
    let login = |name: &str| pb::AuthenticateRequest { name: name.into(), password: PASSWORD.into() };
    let token = auth.authenticate(login("root")).await.expect("a login").into_inner().token;
    let (secret, _) = token.split_once('.').expect("a simple token");
    auth.authenticate(login("certificate")).await.expect_err("has no password");
    let change = pb::AuthUserChangePasswordRequest {
        name: "root".into(),
        password: format!("{PASSWORD}-2"),
        ..Default::default()
    };
    let mut request = tonic::Request::new(change);
    request.metadata_mut().insert("token", token.parse().expect("plain text"));
    auth.user_change_password(request).await.expect("changed");
    let log = daemon.log();
    assert!(log.contains("password was given for no password user"), "a failed login is called what it is:\n{log}");
    let kill = tokio::task::spawn_blocking(|| daemon.terminate());
    kill.await.expect("ended");
    // the hash is there, so the look finds what lies in rows and entries
    assert!(!files_with(dir.path(), &["$2a$04$"]).is_empty(), "users are on the disk");
    assert_eq!(files_with(dir.path(), &[PASSWORD, secret]), Vec::<String>::new());
}
