//! The quota: refused, alarm, what still works, and the way out.

use api::etcdserverpb::{AlarmAction, AlarmType, CompactionRequest, DefragmentRequest, LeaseGrantRequest};
use harness::http::get;
use harness::request::{all, delete_op, put, put_op, txn};
use harness::server::on_server_with;
use harness::{expect_status, until};
use tonic::Code;

const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

#[test]
fn a_full_store_refuses_raises_the_alarm_and_recovers() {
    on_server_with(
        |config| config.quota_bytes = 4 << 20,
        async |server| {
            let stubs = &server.stubs;
            let mut kv = stubs.kv.clone();
            let mut written = 0;
            let refused = loop {
                match kv.put(put(format!("k{}", written % 5), vec![1; 100_000])).await {
                    Ok(_) => written += 1,
                    Err(refused) => break refused,
                }
                assert!(written < 100, "the quota of 4 MiB was never reached");
            };
            assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, NO_SPACE));
            assert!((30..45).contains(&written), "{written} of 100 kB fitted into 4 MiB");
            let member = stubs.status().await.leader;
            until("the alarm", async || {
                let alarms = stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await;
                (alarms.len() == 1 && alarms[0].member_id == member).then_some(())
            })
            .await;
            // now even what would fit is refused
            expect_status("small put", kv.put(put("x", "y")).await, Code::ResourceExhausted, NO_SPACE);
            expect_status("txn", stubs.txn(txn(vec![put_op("x", "y")])).await, Code::ResourceExhausted, NO_SPACE);
            let grant = stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl: 10, id: 0 }).await;
            expect_status("lease", grant, Code::ResourceExhausted, NO_SPACE);
            assert_eq!(stubs.range(all()).await.expect("reads").count, 5);
            stubs.txn(txn(vec![delete_op("k0", "")])).await.expect("a txn that only deletes");
            assert_eq!(stubs.delete("k1", "k3").await.0, 2);

            let revision = stubs.revision().await;
            kv.compact(CompactionRequest { revision, physical: true }).await.expect("compact");
            stubs.maintenance.clone().defragment(DefragmentRequest {}).await.expect("defragment");
            let after = stubs.status().await;
            assert!(after.db_size < 1 << 20, "compaction gives space back: {}", after.db_size);
            expect_status("still armed", kv.put(put("x", "y")).await, Code::ResourceExhausted, NO_SPACE);
            stubs.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await;
            stubs.put("x", "y").await;
            assert_eq!(stubs.status().await.errors, [""; 0]);
        },
    );
}

/// Whoever hears that there is no space looks at the alarms or at `/health` next.
#[test]
fn who_is_refused_finds_the_alarm_raised() {
    on_server_with(
        |config| config.quota_bytes = 1 << 20,
        async |server| {
            let stubs = &server.stubs;
            let mut kv = stubs.kv.clone();
            while kv.put(put("k", vec![1; 100_000])).await.is_ok() {}
            let member = stubs.status().await.leader;
            for round in 0..10 {
                let alarms = stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await;
                assert_eq!(alarms.len(), 1, "round {round}");
                assert_eq!(get(server.address(), "/health").await.code, 503, "round {round}");
                // disarmed by hand, and nothing was made free
                stubs.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await;
                let refused = match round % 2 {
                    0 => kv.put(put("k", vec![1; 100_000])).await.map(drop),
                    _ => stubs.txn(txn(vec![put_op("k", vec![1; 100_000])])).await.map(drop),
                };
                expect_status("still full", refused, Code::ResourceExhausted, NO_SPACE);
            }
        },
    );
}
