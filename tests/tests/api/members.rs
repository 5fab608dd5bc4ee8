//! Changes of the membership, as far as a lone member can make them: answers, refusals, and what a restart leaves of them.

use api::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest,
};
use harness::server::{in_system, on_server};
use harness::{Server, Stubs, expect_status};
use std::time::{SystemTime, UNIX_EPOCH};
use storage::member::added_member_id;
use tonic::{Code, Status};

const NOT_FOUND: &str = "etcdserver: member not found";
const NOT_STARTED: &str = "etcdserver: re-configuration failed due to not enough started members";

async fn add(stubs: &Stubs, urls: &[&str], is_learner: bool) -> Result<MemberAddResponse, Status> {
    let request = MemberAddRequest { peer_urls: urls.iter().map(|url| url.to_string()).collect(), is_learner };
    stubs.cluster.clone().member_add(request).await.map(tonic::Response::into_inner)
}

async fn remove(stubs: &Stubs, id: u64) -> Result<Vec<Member>, Status> {
    stubs.cluster.clone().member_remove(MemberRemoveRequest { id }).await.map(|r| r.into_inner().members)
}

async fn update(stubs: &Stubs, id: u64, url: &str) -> Result<Vec<Member>, Status> {
    let request = MemberUpdateRequest { id, peer_urls: vec![url.into()] };
    stubs.cluster.clone().member_update(request).await.map(|r| r.into_inner().members)
}

async fn promote(stubs: &Stubs, id: u64) -> Result<Vec<Member>, Status> {
    stubs.cluster.clone().member_promote(MemberPromoteRequest { id }).await.map(|r| r.into_inner().members)
}

async fn list(stubs: &Stubs) -> Vec<Member> {
    let request = MemberListRequest { linearizable: true };
    stubs.cluster.clone().member_list(request).await.expect("list").into_inner().members
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

#[test]
fn a_learner_comes_and_goes() {
    on_server(async |server| {
        let stubs = &server.stubs;
        let before = now();
        let urls = ["http://10.0.0.9:2380", " http://10.0.0.8:2380"];
        let answer = add(stubs, &urls, true).await.expect("added");
        let new = answer.member.expect("the new member");
        let sorted = ["http://10.0.0.8:2380".to_owned(), "http://10.0.0.9:2380".to_owned()];
        assert!((before..=now()).any(|at| new.id == added_member_id(&sorted, at)), "its id is etcd's");
        let expected = Member { id: new.id, peer_urls: sorted.to_vec(), is_learner: true, ..Member::default() };
        assert_eq!(new, expected);
        let header = answer.header.expect("a header");
        assert_eq!((header.revision, header.member_id), (0, stubs.status().await.leader), "no revision, as in etcd");
        let members = list(stubs).await;
        assert_eq!(answer.members, members);
        assert!(members.len() == 2 && members.windows(2).all(|two| two[0].id < two[1].id), "by id, as in etcd");
        let moved = update(stubs, new.id, "http://10.0.0.7:2380").await.expect("updated");
        assert_eq!(moved, list(stubs).await);
        let moved = moved.into_iter().find(|member| member.id == new.id).expect("it is there");
        assert!(moved.is_learner && moved.peer_urls == ["http://10.0.0.7:2380"]);
        let left = remove(stubs, new.id).await.expect("removed");
        assert_eq!(left, list(stubs).await);
        assert_eq!(left.len(), 1);
        // reads and writes were never in danger
        stubs.put("k", "v").await;
    });
}

#[test]
fn refusals_are_etcds() {
    on_server(async |server| {
        let stubs = &server.stubs;
        let own = stubs.status().await.leader;
        let bad_urls = "etcdserver: given member URLs are invalid";
        for urls in
            [&[][..], &["localhost:1"], &["http://localhost"], &["http://a:1/path"], &["http://a:1", "ftp://b:1"]]
        {
            expect_status("URLs", add(stubs, urls, true).await, Code::InvalidArgument, bad_urls);
        }
        let taken = add(stubs, &["http://localhost:2380"], true).await;
        expect_status("a taken URL", taken, Code::FailedPrecondition, "etcdserver: Peer URLs already exists");
        expect_status("nobody", remove(stubs, 77).await, Code::NotFound, NOT_FOUND);
        expect_status("nobody", update(stubs, 77, "http://a:1").await, Code::NotFound, NOT_FOUND);
        expect_status("nobody", promote(stubs, 77).await, Code::NotFound, NOT_FOUND);
        let voter = "etcdserver: can only promote a learner member";
        expect_status("a voter", promote(stubs, own).await, Code::FailedPrecondition, voter);
        // etcd sends its client's value here, so the code is Unknown
        expect_status("itself", remove(stubs, own).await, Code::Unknown, NOT_STARTED);

        let learner = add(stubs, &["http://a:1"], true).await.expect("added").member.expect("it").id;
        let many = "etcdserver: too many learner members in cluster";
        expect_status("a second", add(stubs, &["http://b:1"], true).await, Code::FailedPrecondition, many);
        let taken = update(stubs, learner, "http://localhost:2380").await;
        expect_status("a taken URL", taken, Code::FailedPrecondition, "etcdserver: Peer URLs already exists");
        let behind = "etcdserver: can only promote a learner member which is in sync with leader";
        expect_status("behind", promote(stubs, learner).await, Code::FailedPrecondition, behind);
        remove(stubs, learner).await.expect("removed");
        expect_status("removed", remove(stubs, learner).await, Code::NotFound, NOT_FOUND);
        expect_status("removed", update(stubs, learner, "http://a:1").await, Code::NotFound, NOT_FOUND);
        expect_status("removed", promote(stubs, learner).await, Code::NotFound, NOT_FOUND);
        assert_eq!(list(stubs).await.len(), 1);
    });
}

#[test]
fn a_second_voter_makes_two_necessary() {
    on_server(async |server| {
        let stubs = &server.stubs;
        let answer = add(stubs, &["http://127.0.0.1:1"], false).await.expect("a lone member takes one in");
        assert!(answer.members.iter().all(|member| !member.is_learner));
        let third = add(stubs, &["http://127.0.0.1:2"], false).await;
        expect_status("a third", third, Code::Unknown, NOT_STARTED);
        let mut kv = stubs.kv.clone();
        let put = kv.put(harness::request::put("k", "v"));
        let put = tokio::time::timeout(std::time::Duration::from_millis(300), put).await;
        assert!(!put.is_ok_and(|answer| answer.is_ok()), "there is no quorum");
    });
}

#[test]
fn a_membership_outlives_a_restart_and_a_removed_id_stays_removed() {
    in_system(async {
        let server = Server::start(|_| ()).await;
        let kept = add(&server.stubs, &["http://a:1"], true).await.expect("added").member.expect("it").id;
        remove(&server.stubs, kept).await.expect("removed");
        let learner = add(&server.stubs, &["http://b:1"], true).await.expect("added").member.expect("it").id;
        let before = list(&server.stubs).await;
        let dir = server.stop().await;
        let server = Server::start_in(dir, |_| ()).await;
        assert_eq!(list(&server.stubs).await, before);
        expect_status("removed", remove(&server.stubs, kept).await, Code::NotFound, NOT_FOUND);
        assert_eq!(remove(&server.stubs, learner).await.expect("removed").len(), 1);
        server.stop().await;
    });
}
