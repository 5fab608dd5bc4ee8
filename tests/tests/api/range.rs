//! Range with every option, compared with a naive answer computed from all key-values.

use api::etcdserverpb::{RangeRequest, SortOrder, SortTarget};
use api::mvccpb::KeyValue;
use harness::Stubs;
use harness::request::{all, end_of, get, prefix, range};
use harness::server::on_server;

/// Keys k00..k19 with different create revisions, mod revisions, versions and values; some deleted again.
async fn fill(stubs: &Stubs) {
    for i in 0..20 {
        stubs.put(format!("k{:02}", (i * 7) % 20), format!("v{:02}", (i * 3) % 11)).await;
    }
    for i in [3, 11, 4, 4, 17] {
        stubs.put(format!("k{i:02}"), format!("w{i}")).await;
    }
    for i in [5, 6] {
        stubs.delete(format!("k{i:02}"), "").await;
    }
}

fn sort_key(target: SortTarget, kv: &KeyValue) -> (i64, bytes::Bytes) {
    match target {
        SortTarget::Key => (0, kv.key.clone()),
        SortTarget::Version => (kv.version, bytes::Bytes::new()),
        SortTarget::Create => (kv.create_revision, bytes::Bytes::new()),
        SortTarget::Mod => (kv.mod_revision, bytes::Bytes::new()),
        SortTarget::Value => (0, kv.value.clone()),
    }
}

#[test]
fn orders_and_limits_are_etcds() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let every = server.stubs.range(all()).await.expect("range").kvs;
        assert_eq!(every.len(), 18);
        assert!(every.is_sorted_by(|a, b| a.key < b.key));
        for target in [SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value] {
            for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
                for limit in [0, 1, 5, 18, 100] {
                    let request = RangeRequest { sort_target: target as i32, sort_order: order as i32, limit, ..all() };
                    let name = format!("{request:?}");
                    let answer = server.stubs.range(request).await.expect(&name);
                    let wanted = if limit == 0 { 18 } else { 18.min(limit as usize) };
                    assert_eq!((answer.count, answer.kvs.len(), answer.more), (18, wanted, wanted < 18), "{name}");
                    let keys: Vec<_> = answer.kvs.iter().map(|kv| sort_key(target, kv)).collect();
                    let falls = order == SortOrder::Descend;
                    assert!(
                        if falls { keys.is_sorted_by(|a, b| a >= b) } else { keys.is_sorted() },
                        "{name}: {keys:?}"
                    );
                    if order != SortOrder::None {
                        // an explicit order sorts everything before it cuts
                        let mut best: Vec<_> = every.iter().map(|kv| sort_key(target, kv)).collect();
                        best.sort();
                        if falls {
                            best.reverse();
                        }
                        assert_eq!(keys, best[..wanted], "{name}");
                    }
                }
            }
        }
    });
}

#[test]
fn no_order_with_a_limit_takes_the_first_keys() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let request = RangeRequest { sort_target: SortTarget::Mod as i32, limit: 4, ..all() };
        let answer = server.stubs.range(request).await.expect("range");
        let mut keys: Vec<_> = answer.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect();
        keys.sort();
        assert_eq!(keys, ["k00", "k01", "k02", "k03"]);
    });
}

#[test]
fn filters_are_inclusive_and_leave_the_count_alone() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let every = server.stubs.range(all()).await.expect("range").kvs;
        for (low, high) in [(5, 0), (0, 12), (5, 12), (21, 26), (100, 0)] {
            let inside = |revision: i64| (low == 0 || revision >= low) && (high == 0 || revision <= high);
            let request = RangeRequest { min_mod_revision: low, max_mod_revision: high, ..all() };
            let answer = server.stubs.range(request).await.expect("mod filter");
            let wanted: Vec<_> = every.iter().filter(|kv| inside(kv.mod_revision)).cloned().collect();
            assert_eq!((answer.kvs, answer.count, answer.more), (wanted, 18, false), "mod {low}..{high}");
            let request = RangeRequest { min_create_revision: low, max_create_revision: high, limit: 3, ..all() };
            let answer = server.stubs.range(request).await.expect("create filter");
            let wanted: Vec<_> = every.iter().filter(|kv| inside(kv.create_revision)).cloned().collect();
            let more = wanted.len() > 3;
            let wanted: Vec<_> = wanted.into_iter().take(3).collect();
            assert_eq!((answer.kvs, answer.count, answer.more), (wanted, 18, more), "create {low}..{high}");
        }
    });
}

#[test]
fn keys_only_and_count_only_drop_what_they_say() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let answer = server.stubs.range(RangeRequest { keys_only: true, limit: 2, ..all() }).await.expect("keys");
        assert!(answer.kvs.iter().all(|kv| kv.value.is_empty() && kv.mod_revision > 0 && kv.version > 0));
        assert_eq!((answer.kvs.len(), answer.count, answer.more), (2, 18, true));
        for limit in [0, 3] {
            let request = RangeRequest { count_only: true, limit, ..all() };
            let answer = server.stubs.range(request).await.expect("count");
            assert_eq!((answer.kvs.len(), answer.count, answer.more), (0, 18, false), "limit {limit}");
        }
        let request = RangeRequest { count_only: true, ..prefix("k1") };
        assert_eq!(server.stubs.range(request).await.expect("count").count, 10);
    });
}

#[test]
fn ranges_have_etcds_ends() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let count = async |request| server.stubs.range(request).await.expect("range").count;
        assert_eq!(count(get("k00")).await, 1);
        assert_eq!(count(get("k")).await, 0);
        assert_eq!(count(range("k00", "k03")).await, 3);
        assert_eq!(count(range("k03", "k00")).await, 0, "the wrong way round is empty, not an error");
        assert_eq!(count(range("k03", "k03")).await, 0);
        assert_eq!(count(range("k18", [0])).await, 2, "an end of one zero byte is open");
        assert_eq!(count(range("k", end_of(b"k"))).await, 18);
    });
}

#[test]
fn every_past_revision_stays_readable() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let mut watching = harness::Watching::open(&server.stubs, harness::watch::create_all(1)).await;
        let mut present = harness::model::Present::default();
        for event in watching.events(27).await {
            present.take(&event);
            let at = RangeRequest { revision: present.revision, ..all() };
            for serializable in [false, true] {
                let request = RangeRequest { serializable, ..at.clone() };
                let answer = server.stubs.range(request).await.expect("a past revision");
                assert_eq!((answer.kvs, answer.count), (present.kvs(), present.kvs().len() as i64));
                assert_eq!(answer.header.expect("a header").revision, 28, "the header tells the present");
            }
        }
        let newest = RangeRequest { revision: -1, ..all() };
        assert_eq!(server.stubs.range(newest).await.expect("a negative revision reads the present").kvs, present.kvs());
    });
}
