//! Campaign, Proclaim, Leader, Resign: the leader's key, its value, who follows, and the refusals.
//!
//! Must pass against etcd as well, but for what says so (see `claims`).

use crate::claims::{count, is_foreign, lease, lock, name, on_either, outcome, revoke, until_claims};
use api::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
};
use harness::request::{bytes, get};
use harness::{Stubs, expect_status};
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

pub async fn campaign(stubs: &Stubs, name: &str, lease: i64, value: &str) -> Result<CampaignResponse, Status> {
    let request = CampaignRequest { name: bytes(name), lease, value: bytes(value) };
    stubs.election.clone().campaign(request).await.map(Response::into_inner)
}

/// A campaign on its way, once its key is there.
async fn campaigning(stubs: &Stubs, name: &str, lease: i64) -> JoinHandle<Result<CampaignResponse, Status>> {
    let before = count(stubs, name).await;
    let (own, whose) = (stubs.clone(), name.to_owned());
    let call = tokio::spawn(async move { campaign(&own, &whose, lease, "v").await });
    until_claims(stubs, name, before + 1).await;
    call
}

pub async fn proclaim(stubs: &Stubs, leader: Option<LeaderKey>, value: &str) -> Result<i64, Status> {
    let request = ProclaimRequest { leader, value: bytes(value) };
    let answer = stubs.election.clone().proclaim(request).await?.into_inner();
    Ok(answer.header.expect("a header").revision)
}

pub async fn resign(stubs: &Stubs, leader: Option<LeaderKey>) -> Result<i64, Status> {
    let answer = stubs.election.clone().resign(ResignRequest { leader }).await?.into_inner();
    Ok(answer.header.expect("a header").revision)
}

async fn leader(stubs: &Stubs, name: &str) -> Result<LeaderResponse, Status> {
    stubs.election.clone().leader(LeaderRequest { name: bytes(name) }).await.map(Response::into_inner)
}

const NOT_LEADER: &str = "election: not leader";

#[test]
fn a_term_from_campaign_to_resignation() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("term"));
        let lease = lease(&stubs, 100).await;
        expect_status("nobody", leader(&stubs, &name).await, Code::Unknown, "election: no leader");
        let before = stubs.revision().await;
        let won = campaign(&stubs, &name, lease, "one").await.expect("won");
        let key = won.leader.expect("the leader's key");
        assert_eq!((&key.name[..], key.rev, key.lease), (name.as_bytes(), before + 1, lease));
        assert_eq!(key.key, format!("{name}/{lease:x}"));
        assert_eq!(won.header.expect("a header").revision, before + 1);
        let seen = leader(&stubs, &name).await.expect("a leader");
        let kv = seen.kv.expect("its key-value");
        assert_eq!((&kv.key, &kv.value[..], kv.lease), (&key.key, &b"one"[..], lease));
        assert_eq!(seen.header.expect("a header").revision, before + 1);
        assert_eq!(proclaim(&stubs, Some(key.clone()), "two").await.expect("proclaim"), before + 2);
        let kv = leader(&stubs, &name).await.expect("a leader").kv.expect("its key-value");
        assert_eq!(
            (&kv.value[..], kv.create_revision, kv.mod_revision, kv.version),
            (&b"two"[..], before + 1, before + 2, 2)
        );
        assert_eq!(resign(&stubs, Some(key.clone())).await.expect("resign"), before + 3);
        expect_status("nobody", leader(&stubs, &name).await, Code::Unknown, "election: no leader");
        expect_status("afterwards", proclaim(&stubs, Some(key.clone()), "x").await, Code::Unknown, NOT_LEADER);
        assert_eq!(resign(&stubs, Some(key)).await.expect("a second time"), before + 3);
    });
}

#[test]
fn who_does_not_lead_changes_nothing() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("stranger"));
        let (one, two) = (lease(&stubs, 100).await, lease(&stubs, 100).await);
        let key = campaign(&stubs, &name, one, "one").await.expect("won").leader.expect("a key");
        let waiting = campaigning(&stubs, &name, two).await;
        let strangers = [
            LeaderKey { rev: key.rev + 1, ..key.clone() },
            LeaderKey { rev: 0, ..key.clone() },
            LeaderKey { key: bytes(format!("{name}/nobody")), ..key.clone() },
        ];
        for stranger in strangers {
            let refused = proclaim(&stubs, Some(stranger.clone()), "x").await;
            expect_status("not leader", refused, Code::Unknown, NOT_LEADER);
            resign(&stubs, Some(stranger)).await.expect("no error, no effect");
        }
        let kv = leader(&stubs, &name).await.expect("a leader").kv.expect("a key-value");
        assert_eq!((kv.key, &kv.value[..]), (key.key.clone(), &b"one"[..]));
        // a lease that is not there, in the hand of the right leader
        let unknown = LeaderKey { lease: 99, ..key.clone() };
        let refused = proclaim(&stubs, Some(unknown), "x").await;
        expect_status("lease", refused, Code::Unknown, "etcdserver: requested lease not found");
        resign(&stubs, Some(key)).await.expect("resign");
        outcome(waiting).await.expect("the next leader");
    });
}

#[test]
fn incomplete_requests_are_refused() {
    on_either(async |door| {
        let stubs = door.connect().await;
        let missing = "\"leader\" field must be provided";
        expect_status("proclaim", proclaim(&stubs, None, "x").await, Code::Unknown, missing);
        expect_status("resign", resign(&stubs, None).await, Code::Unknown, missing);
        let lease = lease(&stubs, 100).await;
        let keyless = LeaderKey { lease, ..LeaderKey::default() };
        let no_key = "etcdserver: key is not provided";
        expect_status("proclaim", proclaim(&stubs, Some(keyless.clone()), "x").await, Code::Unknown, no_key);
        expect_status("resign", resign(&stubs, Some(keyless)).await, Code::Unknown, no_key);
        let refused = campaign(&stubs, &name("x"), 99, "v").await;
        expect_status("lease", refused, Code::Unknown, "etcdserver: requested lease not found");
    });
}

#[test]
fn campaigning_again_keeps_the_place_and_replaces_the_value() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("again"));
        let lease = lease(&stubs, 100).await;
        let first = campaign(&stubs, &name, lease, "one").await.expect("won").leader.expect("a key");
        let same = campaign(&stubs, &name, lease, "one").await.expect("won");
        assert_eq!((same.leader, same.header.expect("a header").revision), (Some(first.clone()), first.rev));
        let other = campaign(&stubs, &name, lease, "two").await.expect("won");
        // the header is that of the first transaction, which wrote nothing
        assert_eq!((other.leader, other.header.expect("a header").revision), (Some(first.clone()), first.rev));
        let kv = stubs.range(get(&first.key)).await.expect("range").kvs.remove(0);
        assert_eq!((&kv.value[..], kv.create_revision, kv.version, kv.lease), (&b"two"[..], first.rev, 2, lease));
    });
}

#[test]
fn a_proclamation_without_lease_gets_one() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("sessionless"));
        let won = campaign(&stubs, &name, 0, "one").await.expect("won").leader.expect("a key");
        assert_ne!(won.lease, 0);
        assert_eq!(won.key, format!("{name}/{:x}", won.lease));
        let key = LeaderKey { lease: 0, ..won.clone() };
        proclaim(&stubs, Some(key), "two").await.expect("proclaim");
        let kv = stubs.range(get(&won.key)).await.expect("range").kvs.remove(0);
        assert_eq!(&kv.value[..], b"two");
        assert!(kv.lease != 0 && kv.lease != won.lease, "{}", kv.lease);
        revoke(&stubs, won.lease).await;
        assert_eq!(stubs.range(get(&won.key)).await.expect("range").count, 1, "it hangs on the new lease");
    });
}

#[test]
fn leadership_passes_on_when_a_lease_ends() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("expiry"));
        let (short, middle, long) = (lease(&stubs, 2).await, lease(&stubs, 100).await, lease(&stubs, 100).await);
        campaign(&stubs, &name, short, "v").await.expect("won");
        let second = campaigning(&stubs, &name, middle).await;
        let third = campaigning(&stubs, &name, long).await;
        let key = outcome(second).await.expect("the second leads").leader.expect("a key");
        assert_eq!(key.lease, middle);
        assert!(!third.is_finished());
        revoke(&stubs, middle).await;
        let won = outcome(third).await.expect("the third leads");
        let key = won.leader.expect("a key");
        assert_eq!(key.lease, long);
        assert_eq!(won.header.expect("a header").revision, key.rev, "the header is of the entry, however long it took");
    });
}

#[test]
fn a_campaign_ends_at_once_when_its_own_lease_is_revoked() {
    if is_foreign() {
        // etcd lets it wait until it would lead, and then believe that it does
        return;
    }
    on_either(async |door| {
        let stubs = door.connect().await;
        let name = name("own-lease");
        campaign(&stubs, &name, lease(&stubs, 100).await, "v").await.expect("won");
        let own = lease(&stubs, 100).await;
        let waiting = campaigning(&stubs, &name, own).await;
        revoke(&stubs, own).await;
        expect_status("its lease is gone", outcome(waiting).await, Code::Unknown, NOT_LEADER);
    });
}

#[test]
fn waiting_campaigns_with_large_values_leave_room_for_everybody_else() {
    if is_foreign() {
        return;
    }
    on_either(async |door| {
        let stubs = door.connect().await;
        let name = name("large");
        campaign(&stubs, &name, lease(&stubs, 100).await, "v").await.expect("won");
        // together as much as the door admits of requests; on one connection, so that all of them meet the same loop
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let own = stubs.clone();
            let name = name.clone();
            let lease = lease(&stubs, 100).await;
            calls.spawn(async move { campaign(&own, &name, lease, &"x".repeat(1 << 20)).await });
        }
        let refused = calls.join_next().await.expect("one").expect("its task");
        expect_status("no room for it", refused, Code::Unknown, "etcdserver: too many requests");
        let range = tokio::time::timeout(harness::PATIENCE, stubs.range(harness::request::get("k"))).await;
        range.expect("an answer in time").expect("range");
    });
}

#[test]
fn giving_up_a_campaign_resigns() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("cancel"));
        let key = campaign(&stubs, &name, lease(&stubs, 100).await, "v").await.expect("won").leader;
        let waiting = campaigning(&stubs, &name, lease(&stubs, 100).await).await;
        waiting.abort();
        until_claims(&stubs, &name, 1).await;
        resign(&stubs, key).await.expect("resign");
        expect_status("nobody", leader(&stubs, &name).await, Code::Unknown, "election: no leader");
    });
}

#[test]
fn a_candidate_without_its_key_does_not_lead() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("lost"));
        let key = campaign(&stubs, &name, lease(&stubs, 100).await, "v").await.expect("won").leader;
        let lease = lease(&stubs, 100).await;
        let waiting = campaigning(&stubs, &name, lease).await;
        revoke(&stubs, lease).await;
        resign(&stubs, key).await.expect("resign");
        let told = outcome(waiting).await;
        if is_foreign() {
            // etcd lets it believe that it leads
            told.expect("etcd's answer");
        } else {
            expect_status("its key is gone", told, Code::Unknown, NOT_LEADER);
        }
        expect_status("nobody", leader(&stubs, &name).await, Code::Unknown, "election: no leader");
    });
}

#[test]
fn long_elections_have_one_leader_too() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("long"));
        let first =
            campaign(&stubs, &name, lease(&stubs, 100).await, "first").await.expect("won").leader.expect("a key");
        // more than a connection's thread reads by itself
        for at in 0..100 {
            stubs.put(format!("{name}/0{at}"), "x".repeat(1000)).await;
        }
        let kv = leader(&stubs, &name).await.expect("a leader").kv.expect("a key-value");
        assert_eq!((kv.key, &kv.value[..]), (first.key.clone(), &b"first"[..]));
        let waiting = campaigning(&stubs, &name, lease(&stubs, 100).await).await;
        stubs.delete(format!("{name}/00"), format!("{name}/0:")).await;
        assert!(!waiting.is_finished());
        resign(&stubs, Some(first)).await.expect("resign");
        outcome(waiting).await.expect("won");
    });
}

#[test]
fn a_lock_and_an_election_of_one_name_share_their_queue() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("shared"));
        let (one, two) = (lease(&stubs, 100).await, lease(&stubs, 100).await);
        lock(&stubs, &name, one).await.expect("the lock");
        let candidate = campaigning(&stubs, &name, two).await;
        assert_eq!(leader(&stubs, &name).await.expect("the lock's owner").kv.expect("a key-value").lease, one);
        revoke(&stubs, one).await;
        assert_eq!(outcome(candidate).await.expect("won").leader.expect("a key").lease, two);
    });
}
