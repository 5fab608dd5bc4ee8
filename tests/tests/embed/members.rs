//! Three members of one cluster in one process: any of them serves, and two are enough.

use embed::{Client, ClientError, Config, InitialState, Node};
use harness::members::{Over, configs, start};
use harness::server::in_system;
use harness::{soon, until};
use messages::watch::{CreateWatch, WatchFrame};
use model::request::{DowngradeInfoSetRequest, PutRequest};
use model::{Command, KeyRange};
use std::time::Duration;
use tempfile::TempDir;

async fn try_put(client: &Client, key: &str, value: &str) -> Result<i64, ClientError> {
    let request = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() };
    client.execute(Command::Put(request)).await.map(|(revision, _)| revision)
}

async fn put(node: &Node, key: &str, value: &str) -> i64 {
    soon("the put", try_put(&node.client(), key, value)).await.expect("put")
}

async fn get(node: &Node, key: &str) -> Option<String> {
    let kv = soon("the read", node.client().get(key.to_owned())).await.expect("get")?;
    Some(String::from_utf8_lossy(&kv.value).into_owned())
}

fn leader(nodes: &[Node]) -> Option<usize> {
    let ids: Vec<u64> = nodes.iter().map(|node| node.client().ports().identity.member_id).collect();
    let leader = nodes.first()?.client().ports().gauges.leader_id()?;
    ids.iter().position(|id| *id == leader)
}

/// Every member takes writes, and every member reads what another one has acknowledged.
async fn all_serve(nodes: &[Node], round: usize) {
    for (writer, node) in nodes.iter().enumerate() {
        let (key, value) = (format!("k{writer}"), format!("{round}"));
        put(node, &key, &value).await;
        for reader in nodes {
            assert_eq!(
                get(reader, &key).await.as_ref(),
                Some(&value),
                "a read after the acknowledgement sees the write"
            );
        }
    }
}

async fn watches_see_everything(nodes: &[Node]) {
    let create = CreateWatch::new(KeyRange::new("w".into(), "".into()));
    let mut watches: Vec<_> = nodes.iter().map(|node| node.client().watch(create.clone())).collect();
    for watch in &mut watches {
        let frames = soon("the watch", watch.next()).await.expect("frames");
        assert!(matches!(frames[..], [WatchFrame::Created { .. }, ..]), "{frames:?}");
    }
    for (number, node) in nodes.iter().enumerate() {
        put(node, "w", &number.to_string()).await;
    }
    for watch in &mut watches {
        let mut events = 0;
        while events < nodes.len() {
            let frames = soon("events", watch.next()).await.expect("frames");
            for frame in frames {
                if let WatchFrame::Events { events: more, .. } = frame {
                    events += more.len();
                }
            }
        }
    }
}

async fn stop_all(nodes: Vec<Node>) {
    for node in nodes {
        soon("the stop", node.stop()).await;
    }
}

fn serve_elect_and_restart(over: Over) {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let configs: Vec<Config> = configs(dir.path(), 3, over);
        let mut nodes = start(&configs).await;
        all_serve(&nodes, 0).await;
        watches_see_everything(&nodes).await;

        // two are enough
        let old = until("a leader", async || leader(&nodes)).await;
        soon("the stop", nodes.remove(old).stop()).await;
        until("another leader", async || leader(&nodes)).await;
        let client = nodes[0].client();
        until("a write without the old leader", async || try_put(&client, "k", "two").await.ok()).await;
        all_serve(&nodes, 1).await;

        // it comes back and catches up
        let back = start(&configs[old..=old]).await.remove(0);
        assert_eq!(get(&back, "k").await.as_deref(), Some("two"));
        nodes.push(back);
        all_serve(&nodes, 2).await;
        stop_all(nodes).await;

        // nothing is lost when all stop
        let nodes = start(&configs).await;
        assert_eq!(get(&nodes[2], "k").await.as_deref(), Some("two"));
        all_serve(&nodes, 3).await;
        stop_all(nodes).await;
    });
}

#[test]
fn three_members_over_quic_serve_elect_and_restart() {
    serve_elect_and_restart(Over::Sockets);
}

#[test]
fn three_members_of_one_process_serve_elect_and_restart() {
    serve_elect_and_restart(Over::Queues);
}

fn cluster_version(nodes: &[Node]) -> Option<String> {
    let versions: Vec<String> =
        nodes.iter().map(|node| node.client().ports().reads.cluster_version().expect("read")).collect();
    let (first, rest) = versions.split_first()?;
    rest.iter().all(|version| version == first).then(|| first.clone())
}

#[test]
fn the_version_of_a_cluster_follows_its_lowest_member_through_a_rolling_upgrade() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs = configs(dir.path(), 3, Over::Sockets);
        configs.iter_mut().for_each(|config| config.version = [3, 7, 1]);
        let mut nodes = start(&configs).await;
        for upgraded in 0..3 {
            assert_eq!(cluster_version(&nodes).as_deref(), Some("3.7.0"), "{upgraded} are upgraded");
            soon("the stop", nodes.remove(0).stop()).await;
            configs[upgraded].version = [3, 8, 0];
            nodes.push(start(&configs[upgraded..=upgraded]).await.remove(0));
            all_serve(&nodes, upgraded).await;
            // longer than the leader takes to look again
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        until("a higher version", async || cluster_version(&nodes).filter(|version| version == "3.8.0")).await;

        // there is no way back unasked: neither with the member's own data nor as a new member
        soon("the stop", nodes.remove(0).stop()).await;
        configs[0].version = [3, 7, 1];
        let refused = soon("the refusal", Node::start(configs[0].clone())).await.err().expect("it is too old");
        assert!(refused.to_string().contains("server version is lower than determined cluster version"), "{refused}");
        std::fs::remove_dir_all(&configs[0].data_dir).expect("the folder goes");
        configs[0].initial_state = InitialState::Existing;
        let refused = soon("the refusal", Node::start(configs[0].clone())).await.err().expect("it is too old");
        assert!(refused.to_string().starts_with("incompatible with current running cluster"), "{refused}");
        stop_all(nodes).await;
    });
}

#[test]
fn a_cluster_is_downgraded_member_by_member_when_an_operator_says_so() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs = configs(dir.path(), 3, Over::Sockets);
        for config in &mut configs {
            (config.version, config.downgrade_check) = ([3, 8, 0], Some(Duration::from_millis(100)));
        }
        let mut nodes = start(&configs).await;
        until("the version", async || cluster_version(&nodes).filter(|version| version == "3.8.0")).await;
        let note = DowngradeInfoSetRequest { enabled: true, ver: "3.7.0".into() };
        soon("the note", nodes[0].client().execute(Command::DowngradeInfoSet(note))).await.expect("is noted");
        for older in 0..3 {
            until("a lower version", async || cluster_version(&nodes).filter(|version| version == "3.7.0")).await;
            assert!(
                downgrade_targets(&nodes).iter().all(|target| target.as_deref() == Some("3.7.0")),
                "{older} are older"
            );
            soon("the stop", nodes.remove(0).stop()).await;
            configs[older].version = [3, 7, 1];
            nodes.push(start(&configs[older..=older]).await.remove(0));
            all_serve(&nodes, older).await;
        }
        // the leader sees that all are older now, and the version stays
        until("the end", async || downgrade_targets(&nodes).iter().all(Option::is_none).then_some(())).await;
        assert_eq!(cluster_version(&nodes).as_deref(), Some("3.7.0"));
        stop_all(nodes).await;
    });
}

fn downgrade_targets(nodes: &[Node]) -> Vec<Option<String>> {
    nodes.iter().map(|node| node.client().ports().reads.downgrade_target().expect("read")).collect()
}
