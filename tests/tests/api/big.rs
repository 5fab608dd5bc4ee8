//! Big answers: spliced from the store chunk by chunk under flow control, while others are served.

use api::etcdserverpb::RangeRequest;
use harness::request::{all, get};
use harness::server::on_server;
use harness::{Stubs, soon};
use tokio::task::JoinSet;

/// 400 values of 100 kB.
async fn fill(stubs: &Stubs) {
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let stubs = stubs.clone();
        tasks.spawn(async move {
            for i in (task..400).step_by(8) {
                stubs.put(format!("big-{i:03}"), vec![i as u8; 100_000]).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a writer");
    }
}

#[test]
fn forty_megabytes_come_whole_while_small_reads_go_on() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let address = server.address().to_string();
        let other = Stubs::connect(&address, harness::PATIENCE).await.expect("connect");
        let big = async { soon("a big range", server.stubs.range(all())).await.expect("range") };
        let small = async {
            for _ in 0..100 {
                assert_eq!(soon("a small read", other.range(get("big-007"))).await.expect("get").count, 1);
            }
        };
        let (answer, ()) = tokio::join!(big, small);
        assert_eq!((answer.count, answer.kvs.len(), answer.more), (400, 400, false));
        for (i, kv) in answer.kvs.iter().enumerate() {
            assert_eq!(kv.key, format!("big-{i:03}"));
            assert!(kv.value.len() == 100_000 && kv.value.iter().all(|b| *b == i as u8), "value of {i}");
        }
        // an old revision and a limit take the same road
        let past = RangeRequest { revision: 201, limit: 150, ..all() };
        let answer = server.stubs.range(past).await.expect("range");
        assert_eq!((answer.count, answer.kvs.len(), answer.more), (200, 150, true));
    });
}

#[test]
fn a_big_answer_nobody_takes_leaves_the_server_alone() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let address = server.address().to_string();
        let mut given_up = JoinSet::new();
        for _ in 0..10 {
            let stubs = Stubs::connect(&address, harness::PATIENCE).await.expect("connect");
            given_up.spawn(async move { stubs.range(all()).await.map(|a| a.count) });
        }
        // dropped in the middle
        server.stubs.range(get("big-000")).await.expect("get");
        given_up.shutdown().await;
        for i in 0..20 {
            server.stubs.put("after", i.to_string()).await;
        }
        assert_eq!(server.stubs.range(all()).await.expect("range").count, 401);
    });
}
