//! Observe: values of one leader, and of those that follow, in order; slow and vanished observers.
//!
//! Must pass against etcd as well, but for what says so (see `claims`).

use crate::claims::{Door, lease, name, on_either, revoke};
use crate::election::{campaign, proclaim, resign};
use api::v3electionpb::{LeaderRequest, LeaderResponse};
use harness::request::bytes;
use harness::{Stubs, soon};
use tonic::Streaming;

async fn observe(stubs: &Stubs, name: &str) -> Streaming<LeaderResponse> {
    let request = LeaderRequest { name: bytes(name) };
    soon("opening", stubs.election.clone().observe(request)).await.expect("observe").into_inner()
}

/// The next leader's value: its bytes, key, and the header's revision.
async fn next(stream: &mut Streaming<LeaderResponse>) -> (String, bytes::Bytes, i64) {
    let answer = soon("a leader", stream.message()).await.expect("an open stream").expect("an answer");
    let kv = answer.kv.expect("a key-value");
    let header = answer.header.expect("a header");
    assert!(header.revision >= kv.mod_revision && header.member_id != 0);
    (String::from_utf8(kv.value.to_vec()).expect("text"), kv.key, header.revision)
}

/// Opens a stream whose answers begin only when somebody leads: the call itself does not wait for that.
fn observing(door: &Door, name: &str) -> tokio::task::JoinHandle<Vec<(String, bytes::Bytes, i64)>> {
    let (address, name) = (door.address().to_owned(), name.to_owned());
    tokio::spawn(async move {
        let stubs = Stubs::connect(&address, std::time::Duration::from_secs(5)).await.expect("connect");
        let mut stream = observe(&stubs, &name).await;
        vec![next(&mut stream).await, next(&mut stream).await]
    })
}

#[test]
fn leaders_are_told_one_after_the_other() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("observe"));
        let (one, two) = (lease(&stubs, 100).await, lease(&stubs, 100).await);
        let first = campaign(&stubs, &name, one, "a").await.expect("won").leader.expect("a key");
        let mut stream = observe(&stubs, &name).await;
        assert_eq!(next(&mut stream).await, ("a".into(), first.key.clone(), first.rev));
        for value in ["b", "c"] {
            let at = proclaim(&stubs, Some(first.clone()), value).await.expect("proclaim");
            assert_eq!(next(&mut stream).await, (value.into(), first.key.clone(), at));
        }
        // two candidates wait: the older one follows
        let (own, whose) = (stubs.clone(), name.clone());
        let second = tokio::spawn(async move { campaign(&own, &whose, two, "d").await });
        crate::claims::until_claims(&stubs, &name, 2).await;
        let left = resign(&stubs, Some(first)).await.expect("resign");
        let (value, key, revision) = next(&mut stream).await;
        let second = crate::claims::outcome(second).await.expect("won").leader.expect("a key");
        assert_eq!((value.as_str(), &key), ("d", &second.key));
        assert!(revision >= left, "the header is of the look: {revision}");
        // the lease ends, nobody leads; then a third one comes
        revoke(&stubs, two).await;
        let third = campaign(&stubs, &name, lease(&stubs, 100).await, "e").await.expect("won").leader.expect("a key");
        let (value, key, _) = next(&mut stream).await;
        assert_eq!((value.as_str(), &key), ("e", &third.key));
    });
}

#[test]
fn an_election_without_leader_can_be_observed() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("nobody"));
        let waiting = observing(door, &name);
        // long enough for the observer to be there; if it is not, it sees the same
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let key = campaign(&stubs, &name, lease(&stubs, 100).await, "a").await.expect("won").leader.expect("a key");
        proclaim(&stubs, Some(key.clone()), "b").await.expect("proclaim");
        let seen = soon("two values", waiting).await.expect("the task");
        // whoever looks late sees the second value first, and would then wait for a third
        let values: Vec<_> = seen.iter().map(|(value, ..)| value.as_str()).collect();
        assert_eq!(values, ["a", "b"]);
        assert_eq!((seen[0].1.clone(), seen[0].2), (key.key, key.rev));
    });
}

#[test]
fn a_slow_observer_gets_the_newest_value_in_the_end() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("slow"));
        let key = campaign(&stubs, &name, lease(&stubs, 100).await, "first").await.expect("won").leader;
        let slow = door.connect().await;
        let mut stream = observe(&slow, &name).await;
        next(&mut stream).await;
        // far more than credit and windows hold
        const VALUES: usize = 40;
        for at in 0..VALUES {
            proclaim(&stubs, key.clone(), &format!("{at}:{}", "x".repeat(200_000))).await.expect("proclaim");
        }
        let mut last = None;
        while last != Some(VALUES - 1) {
            let (value, ..) = next(&mut stream).await;
            let at: usize = value.split(':').next().expect("a number").parse().expect("a number");
            assert!(last.is_none_or(|last| at == last + 1), "{at} after {last:?}");
            last = Some(at);
        }
        // leaders that come and go while nobody reads: the newest is what counts
        resign(&stubs, key).await.expect("resign");
        let mut newest = String::new();
        for at in 0..20 {
            newest = format!("{at}:{}", "y".repeat(100_000));
            let own = lease(&stubs, 100).await;
            campaign(&stubs, &name, own, &newest).await.expect("won");
            if at < 19 {
                revoke(&stubs, own).await;
            }
        }
        while next(&mut stream).await.0 != newest {}
    });
}

#[test]
fn observers_that_leave_are_forgotten() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("leave"));
        let key = campaign(&stubs, &name, lease(&stubs, 100).await, "a").await.expect("won").leader;
        for _ in 0..50 {
            let mut stream = observe(&stubs, &name).await;
            assert_eq!(next(&mut stream).await.0, "a");
        }
        proclaim(&stubs, key, "b").await.expect("proclaim");
        assert_eq!(next(&mut observe(&stubs, &name).await).await.0, "b");
    });
}
