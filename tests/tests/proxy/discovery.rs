//! Clusters whose members find each other in the registry of another cluster.

use crate::program::in_runtime;
use harness::daemon::{Settings, binary, free_ports};
use harness::{Daemon, Stubs, request, until};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SIZE: &str = "/_etcd/registry/T/_config/size";

/// A member without an initial cluster. Dropping it kills it.
struct Member {
    child: Child,
    client: String,
    log: std::path::PathBuf,
}

impl Member {
    fn start(dir: &Path, name: &str, service: &str) -> Self {
        let [client, peer] = free_ports();
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let log = dir.join(format!("{name}.log"));
        let out = std::fs::File::create(&log).expect("a log");
        let child = Command::new(binary())
            .args(["--name", name, "--data-dir", &dir.join(name).display().to_string()])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--discovery-token", "T", "--discovery-endpoints", service])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .expect("start a member");
        Self { child, client: client.trim_start_matches("http://").to_owned(), log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn ends(&mut self) -> Option<i32> {
        until("the end of a member", async || self.child.try_wait().expect("ask for the process")).await.code()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.client, self.said());
        }
    }
}

#[test]
fn members_find_each_other_and_one_too_many_is_refused() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let (daemon, registry) = Daemon::start(Settings::new(dir.path().join("registry"))).await;
        let service = daemon.settings.address().to_string();

        let mut early = Member::start(dir.path(), "early", &service);
        assert_eq!(early.ends().await, Some(1));
        assert!(early.said().contains("failed to join discovery cluster (discovery: size key not found)"));
        registry.put(SIZE, "0").await;
        let mut bad = Member::start(dir.path(), "bad", &service);
        bad.ends().await;
        assert!(bad.said().contains("discovery: size key is bad"));

        registry.put(SIZE, "3").await;
        let members: Vec<Member> = ["m1", "m2", "m3"].map(|name| Member::start(dir.path(), name, &service)).into();
        let stubs = Stubs::connect(&members[0].client, Duration::from_secs(60)).await.expect("the cluster serves");
        stubs.put("k", "v").await;
        until("three members with their names", async || {
            let answer = stubs.cluster.clone().member_list(api::etcdserverpb::MemberListRequest::default()).await;
            let mut names: Vec<String> = answer.ok()?.into_inner().members.into_iter().map(|m| m.name).collect();
            names.sort();
            (names == ["m1", "m2", "m3"]).then_some(())
        })
        .await;
        assert_eq!(registry.range(request::prefix("/_etcd/registry/T/members/")).await.unwrap().count, 3);

        let mut late = Member::start(dir.path(), "late", &service);
        assert_eq!(late.ends().await, Some(1));
        assert!(
            late.said().contains("failed to join discovery cluster (discovery: cluster is full)"),
            "{}",
            late.said()
        );
    });
}
