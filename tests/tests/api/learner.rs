//! What a learner serves: its status, serializable ranges and snapshots, nothing else.
//!
//! A single member is no learner, so it is only said to be one. Its core corrects that with its next round, which is why what is to
//! be refused is asked for until it met the moment.

use api::etcdserverpb::{
    LeaseGrantRequest, MemberListRequest, RangeRequest, SnapshotRequest, StatusRequest, WatchRequest,
};
use harness::request::{get, put};
use harness::server::{Server, on_server};
use harness::{soon, until};
use std::fmt::Debug;
use std::sync::atomic::Ordering::Relaxed;
use tonic::{Code, Status};

fn say_learner(server: &Server) {
    server.node.client().ports().gauges.learner.store(true, Relaxed);
}

async fn refused<T: Debug>(server: &Server, what: &str, ask: impl AsyncFn() -> Result<T, Status>) {
    until(what, async || {
        say_learner(server);
        let why = soon(what, ask()).await.err()?;
        assert_eq!(
            (why.code(), why.message()),
            (Code::FailedPrecondition, "etcdserver: rpc not supported for learner")
        );
        Some(())
    })
    .await;
}

async fn served<T: Debug>(server: &Server, what: &str, ask: impl AsyncFn() -> Result<T, Status>) {
    for _ in 0..20 {
        say_learner(server);
        soon(what, ask()).await.unwrap_or_else(|why| panic!("{what}: {why}"));
    }
}

#[test]
fn a_learner_serves_its_status_serializable_ranges_and_snapshots() {
    on_server(async |server| {
        let stubs = &server.stubs;
        stubs.kv.clone().put(put("k", "v")).await.expect("put");
        let serializable = RangeRequest { serializable: true, ..get("k") };
        served(server, "range", async || stubs.kv.clone().range(serializable.clone()).await).await;
        served(server, "status", async || stubs.maintenance.clone().status(StatusRequest {}).await).await;
        let snapshot = async || {
            let mut chunks = stubs.maintenance.clone().snapshot(SnapshotRequest {}).await?.into_inner();
            while chunks.message().await?.is_some() {}
            Ok(())
        };
        served(server, "snapshot", snapshot).await;

        refused(server, "put", async || stubs.kv.clone().put(put("k", "w")).await).await;
        refused(server, "range", async || stubs.kv.clone().range(get("k")).await).await;
        let members = async || stubs.cluster.clone().member_list(MemberListRequest { linearizable: false }).await;
        refused(server, "members", members).await;
        let grant = async || stubs.lease.clone().lease_grant(LeaseGrantRequest { id: 0, ttl: 60 }).await;
        refused(server, "grant", grant).await;
        let watch = async || {
            let requests = futures_util::stream::iter([WatchRequest::default()]);
            stubs.watch.clone().watch(requests).await?.into_inner().message().await
        };
        let watched = async || match tokio::time::timeout(std::time::Duration::from_millis(100), watch()).await {
            Ok(ended) => ended.map(|_| ()),
            // an empty request is ignored, so a stream that was let in says nothing
            Err(_) => Ok(()),
        };
        refused(server, "watch", watched).await;
    });
}
