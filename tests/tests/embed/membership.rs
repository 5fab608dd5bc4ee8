//! Changes of the membership of a cluster that runs: through any member, the leader's own removal, and who leaves afterwards.

use embed::{Client, ClientError, Config, Node, NodeExit};
use harness::members::{Over, configs, start};
use harness::server::in_system;
use harness::{soon, until};
use messages::RequestError;
use model::request::PutRequest;
use model::{ApplyError, Command, MemberChange, MemberInfo, MemberRefusal};
use tempfile::TempDir;

fn refusal(result: Result<(u64, Vec<MemberInfo>), ClientError>) -> MemberRefusal {
    match result {
        Err(ClientError::Request(RequestError::Member(why)) | ClientError::Apply(ApplyError::Member(why))) => why,
        other => panic!("it should be refused: {other:?}"),
    }
}

async fn change(node: &Node, change: MemberChange) -> Result<(u64, Vec<MemberInfo>), ClientError> {
    soon("the change", node.client().change_membership(change)).await
}

fn add(port: u16, learner: bool) -> MemberChange {
    MemberChange::Add { peer_urls: vec![format!("http://127.0.0.1:{port}")], learner, unix_seconds: 7 }
}

async fn try_put(client: &Client, key: &str) -> Option<i64> {
    let put = PutRequest { key: key.to_owned().into(), ..PutRequest::default() };
    client.execute(Command::Put(put)).await.ok().map(|(revision, _)| revision)
}

fn id(node: &Node) -> u64 {
    node.client().ports().identity.member_id
}

fn leader(nodes: &[Node]) -> Option<usize> {
    let leader = nodes.first()?.client().ports().gauges.leader_id()?;
    nodes.iter().position(|node| id(node) == leader)
}

fn members(node: &Node) -> Vec<MemberInfo> {
    node.client().ports().reads.members().expect("members")
}

/// All members come to know this many.
async fn all_know(nodes: &[Node], count: usize) {
    for node in nodes {
        until("the membership", async || (members(node).len() == count).then_some(())).await;
    }
}

async fn three(dir: &TempDir, over: Over, strict: bool) -> Vec<Node> {
    let mut configs: Vec<Config> = configs(dir.path(), 3, over);
    configs.iter_mut().for_each(|config| config.strict_reconfig = strict);
    let nodes = start(&configs).await;
    // whoever serves has published itself, and all know it soon
    for node in &nodes {
        until("names", async || members(node).iter().all(|member| !member.name.is_empty()).then_some(())).await;
    }
    nodes
}

async fn stop_all(nodes: Vec<Node>) {
    for node in nodes {
        soon("the stop", node.stop()).await;
    }
}

fn any_member_changes_the_membership(over: Over) {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let nodes = three(&dir, over, false).await;
        let at = until("a leader", async || leader(&nodes)).await;
        let follower = &nodes[(at + 1) % 3];

        // a learner that is not there comes by way of a follower, and is not promoted by way of it
        let (learner, after) = change(follower, add(1, true)).await.expect("added");
        assert_eq!(after, members(follower), "what was answered is what is read");
        assert!(after.iter().any(|member| member.id == learner && member.is_learner));
        all_know(&nodes, 4).await;
        let promote = MemberChange::Promote { id: learner };
        for node in &nodes {
            assert_eq!(refusal(change(node, promote.clone()).await), MemberRefusal::LearnerNotReady);
            assert_eq!(refusal(change(node, MemberChange::Promote { id: 77 }).await), MemberRefusal::NotFound);
            assert_eq!(refusal(change(node, MemberChange::Promote { id: id(node) }).await), MemberRefusal::NotLearner);
            assert_eq!(refusal(change(node, add(2, true)).await), MemberRefusal::TooManyLearners);
            assert_eq!(refusal(change(node, add(1, false)).await), MemberRefusal::Exists, "of the same second");
            assert_eq!(refusal(change(node, MemberChange::Remove { id: 77 }).await), MemberRefusal::NotFound);
        }
        let (_, after) = change(follower, MemberChange::Remove { id: learner }).await.expect("removed");
        assert_eq!(after.len(), 3);
        for node in &nodes {
            assert_eq!(refusal(change(node, add(1, true)).await), MemberRefusal::Removed, "never again under its id");
        }
        until("a write", async || try_put(&nodes[at].client(), "k").await).await;
        stop_all(nodes).await;
    });
}

#[test]
fn any_member_changes_the_membership_over_quic() {
    any_member_changes_the_membership(Over::Sockets);
}

#[test]
fn any_member_changes_the_membership_of_one_process() {
    any_member_changes_the_membership(Over::Queues);
}

/// The member that goes is asked itself, or another one is.
fn members_go_one_by_one(over: Over, ask_itself: bool) {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut nodes = three(&dir, over, false).await;
        for left in [2, 1] {
            // always the leader: it has most to give away
            let at = until("a leader", async || leader(&nodes)).await;
            let gone = id(&nodes[at]);
            let asked = if ask_itself { at } else { (at + 1) % nodes.len() };
            let (changed, after) = change(&nodes[asked], MemberChange::Remove { id: gone }).await.expect("removed");
            assert_eq!((changed, after.len()), (gone, left));
            let node = nodes.remove(at);
            assert_eq!(soon("the end", node.stopped()).await, NodeExit::Removed, "it leaves by itself");
            soon("the stop", node.stop()).await;
            all_know(&nodes, left).await;
            until("a leader", async || leader(&nodes)).await;
            for node in &nodes {
                until("a write", async || try_put(&node.client(), "k").await).await;
            }
        }
        assert_eq!(
            refusal(change(&nodes[0], MemberChange::Remove { id: id(&nodes[0]) }).await),
            MemberRefusal::Impossible
        );
        stop_all(nodes).await;
    });
}

#[test]
fn leaders_that_remove_themselves_leave_over_quic() {
    members_go_one_by_one(Over::Sockets, true);
}

#[test]
fn leaders_that_are_removed_by_others_leave_in_one_process() {
    members_go_one_by_one(Over::Queues, false);
}

#[test]
fn a_removed_member_is_told_so_when_it_comes_back() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs: Vec<Config> = configs(dir.path(), 3, Over::Queues);
        configs.iter_mut().for_each(|config| config.strict_reconfig = false);
        let mut nodes = start(&configs).await;
        let gone = nodes.remove(2);
        let away = id(&gone);
        soon("the stop", gone.stop()).await;
        until("removed", async || change(&nodes[0], MemberChange::Remove { id: away }).await.ok()).await;
        let back = actix_rt::spawn(Node::start(configs[2].clone()));
        match soon("its start", back).await.expect("a task") {
            Ok(node) => assert_eq!(soon("the end", node.stopped()).await, NodeExit::Removed),
            Err(why) => assert!(why.to_string().contains("removed from the cluster"), "{why}"),
        }
        stop_all(nodes).await;
    });
}

#[test]
fn voters_that_are_connected_for_less_than_five_seconds_do_not_count() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let nodes = three(&dir, Over::Sockets, true).await;
        until("a leader", async || leader(&nodes)).await;
        assert_eq!(refusal(change(&nodes[0], add(1, true)).await), MemberRefusal::Unhealthy);
        assert_eq!(
            refusal(change(&nodes[0], MemberChange::Remove { id: id(&nodes[1]) }).await),
            MemberRefusal::Unhealthy
        );
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        change(&nodes[0], add(1, true)).await.expect("they have been connected for long enough");
        stop_all(nodes).await;
    });
}
