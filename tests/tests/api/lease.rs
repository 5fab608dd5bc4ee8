//! Lease: grant, revoke, keep alive, time to live, list, expiry, keys attached and detached.

use api::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, RequestUnion,
};
use harness::request::{all, get, put, put_op, txn};
use harness::server::on_server;
use harness::{Stubs, Watching, expect_status, soon, watch};
use tonic::Code;

async fn grant(stubs: &Stubs, id: i64, ttl: i64) -> LeaseGrantResponse {
    stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl, id }).await.expect("grant").into_inner()
}

async fn time_to_live(stubs: &Stubs, id: i64) -> LeaseTimeToLiveResponse {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    stubs.lease.clone().lease_time_to_live(request).await.expect("time to live").into_inner()
}

async fn attach(stubs: &Stubs, key: &str, lease: i64) {
    stubs.kv.clone().put(PutRequest { lease, ..put(key, "v") }).await.expect("put");
}

async fn list(stubs: &Stubs) -> Vec<i64> {
    let answer = stubs.lease.clone().lease_leases(LeaseLeasesRequest {}).await.expect("list").into_inner();
    answer.leases.into_iter().map(|l| l.id).collect()
}

#[test]
fn grants_choose_ids_and_raise_short_ttls() {
    on_server(async |server| {
        let chosen = grant(&server.stubs, 0, 100).await;
        assert!(chosen.id > 0);
        assert_eq!((chosen.ttl, chosen.error.as_str()), (100, ""));
        assert_eq!(chosen.header.expect("a header").revision, 1, "a lease makes no revision");
        // the election timeout here is 200 ms: the least TTL is one second
        for ttl in [-5, 0, 1] {
            assert_eq!(grant(&server.stubs, 0, ttl).await.ttl, 1, "asked for {ttl}");
        }
        assert_eq!(grant(&server.stubs, -7, 50).await.id, -7, "negative ids are allowed");
    });
}

#[test]
fn leases_are_listed_by_expiry() {
    on_server(async |server| {
        for (id, ttl) in [(1, 300), (2, 100), (3, 200)] {
            grant(&server.stubs, id, ttl).await;
        }
        assert_eq!(list(&server.stubs).await, [2, 3, 1]);
    });
}

#[test]
fn revoking_deletes_the_keys_in_one_revision() {
    on_server(async |server| {
        grant(&server.stubs, 9, 100).await;
        for key in ["a", "b", "c"] {
            attach(&server.stubs, key, 9).await;
        }
        server.stubs.put("stays", "x").await;
        let ttl = time_to_live(&server.stubs, 9).await;
        assert_eq!((ttl.id, ttl.granted_ttl, ttl.keys.len()), (9, 100, 3));
        assert!((95..=100).contains(&ttl.ttl), "{}", ttl.ttl);
        let mut watching = Watching::open(&server.stubs, watch::create("a", "d", 0)).await;
        let answer = server.stubs.lease.clone().lease_revoke(LeaseRevokeRequest { id: 9 }).await.expect("revoke");
        assert_eq!(answer.into_inner().header.expect("a header").revision, 6);
        let gone = watching.next().await.events;
        let gone: Vec<_> = gone.iter().map(watch::short).map(|(put, key, _, rev)| (put, key, rev)).collect();
        assert_eq!(gone, [(false, "a".into(), 6), (false, "b".into(), 6), (false, "c".into(), 6)]);
        assert_eq!(server.stubs.range(all()).await.expect("range").count, 1);
        let missing = time_to_live(&server.stubs, 9).await;
        assert_eq!((missing.id, missing.ttl, missing.granted_ttl, missing.keys.len()), (9, -1, 0, 0));
        assert_eq!(list(&server.stubs).await, [0; 0]);
    });
}

#[test]
fn thousands_of_keys_of_a_lease_come_all_and_in_order() {
    on_server(async |server| {
        grant(&server.stubs, 5, 100).await;
        let keys: Vec<String> = (0..2_500).map(|n| format!("key/{n:05}")).collect();
        for part in keys.chunks(125) {
            let puts = part.iter().map(|key| put_op(key, "v")).map(|mut op| {
                if let Some(RequestUnion::Put(put)) = &mut op.request {
                    put.lease = 5;
                }
                op
            });
            server.stubs.txn(txn(puts.collect())).await.expect("puts");
        }
        let answer = time_to_live(&server.stubs, 5).await;
        assert_eq!((answer.id, answer.granted_ttl), (5, 100));
        assert_eq!(answer.header.expect("a header").revision, 21);
        assert!(answer.keys.iter().eq(keys.iter().map(String::as_bytes)), "{} keys", answer.keys.len());
    });
}

#[test]
fn a_put_moves_a_key_to_its_lease() {
    on_server(async |server| {
        grant(&server.stubs, 1, 100).await;
        grant(&server.stubs, 2, 100).await;
        attach(&server.stubs, "k", 1).await;
        assert_eq!(server.stubs.range(get("k")).await.expect("get").kvs[0].lease, 1);
        attach(&server.stubs, "k", 2).await;
        assert_eq!(time_to_live(&server.stubs, 1).await.keys, [""; 0]);
        assert_eq!(time_to_live(&server.stubs, 2).await.keys, ["k"]);
        let keep = PutRequest { ignore_lease: true, ..put("k", "w") };
        server.stubs.kv.clone().put(keep).await.expect("put");
        assert_eq!(server.stubs.range(get("k")).await.expect("get").kvs[0].lease, 2);
        server.stubs.put("k", "free").await;
        assert_eq!(time_to_live(&server.stubs, 2).await.keys, [""; 0], "a put without lease detaches");
        server.stubs.lease.clone().lease_revoke(LeaseRevokeRequest { id: 2 }).await.expect("revoke");
        assert_eq!(server.stubs.range(get("k")).await.expect("get").count, 1);
        attach(&server.stubs, "k", 1).await;
        server.stubs.delete("k", "").await;
        assert_eq!(time_to_live(&server.stubs, 1).await.keys, [""; 0], "a delete detaches");
    });
}

#[test]
fn an_expired_lease_takes_its_keys_along() {
    on_server(async |server| {
        let mut watching = Watching::open(&server.stubs, watch::create_all(0)).await;
        grant(&server.stubs, 3, 2).await;
        attach(&server.stubs, "short", 3).await;
        let events = watching.events(2).await;
        let kinds: Vec<_> = events.iter().map(watch::short).map(|(put, key, ..)| (put, key)).collect();
        assert_eq!(kinds, [(true, "short".into()), (false, "short".into())]);
        assert_eq!(time_to_live(&server.stubs, 3).await.ttl, -1);
        let answer = server.stubs.kv.clone().put(PutRequest { lease: 3, ..put("x", "y") }).await;
        expect_status("gone", answer, Code::NotFound, "etcdserver: requested lease not found");
    });
}

#[test]
fn keeping_alive_renews_and_tells_of_lost_ones() {
    on_server(async |server| {
        grant(&server.stubs, 4, 2).await;
        attach(&server.stubs, "k", 4).await;
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let requests = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let request: LeaseKeepAliveRequest = receiver.recv().await?;
            Some((request, receiver))
        });
        sender.send(LeaseKeepAliveRequest { id: 4 }).expect("open");
        let mut lease = server.stubs.lease.clone();
        let mut answers = lease.lease_keep_alive(requests).await.expect("keep alive").into_inner();
        let mut next = async || soon("a renewal", answers.message()).await.expect("open").expect("an answer");
        let first = next().await;
        assert_eq!((first.id, first.ttl), (4, 2));
        // renewed four times over twice its TTL, it is still there
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
            sender.send(LeaseKeepAliveRequest { id: 4 }).expect("open");
            let answer = next().await;
            assert_eq!((answer.id, answer.ttl), (4, 2));
        }
        assert_eq!(server.stubs.range(get("k")).await.expect("get").count, 1);
        sender.send(LeaseKeepAliveRequest { id: 99 }).expect("open");
        sender.send(LeaseKeepAliveRequest { id: 4 }).expect("open");
        // an unknown lease is no error, and the stream goes on; the unknown one may need a round more
        let mut both: Vec<_> = [next().await, next().await].iter().map(|a| (a.id, a.ttl)).collect();
        both.sort_unstable();
        assert_eq!(both, [(4, 2), (99, 0)]);
        drop(sender);
        assert!(soon("the end", answers.message()).await.expect("a clean end").is_none());
    });
}

#[test]
fn leases_and_their_keys_survive_a_restart() {
    harness::server::in_system(async {
        let server = harness::Server::start(|_| ()).await;
        grant(&server.stubs, 5, 1000).await;
        grant(&server.stubs, 6, 2).await;
        attach(&server.stubs, "long", 5).await;
        attach(&server.stubs, "short", 6).await;
        let server = harness::Server::start_in(server.stop().await, |_| ()).await;
        let ttl = time_to_live(&server.stubs, 5).await;
        assert_eq!((ttl.granted_ttl, ttl.keys), (1000, vec!["long".into()]));
        harness::until("the expiry of the short lease", async || {
            (server.stubs.range(get("short")).await.expect("get").count == 0).then_some(())
        })
        .await;
        assert_eq!(server.stubs.range(get("long")).await.expect("get").count, 1);
        server.stop().await;
    });
}
