//! Proxies that register themselves, and the list of members that clients are shown.

use crate::program::{Program, in_runtime};
use api::etcdserverpb as pb;
use harness::daemon::Settings;
use harness::{Daemon, Stubs, request, until};
use tempfile::TempDir;

async fn listed(stubs: &Stubs) -> Vec<String> {
    let answer = stubs.cluster.clone().member_list(pb::MemberListRequest::default()).await.unwrap().into_inner();
    let mut urls: Vec<String> = answer.members.into_iter().flat_map(|member| member.client_urls).collect();
    urls.sort();
    urls
}

#[test]
fn clients_are_shown_the_proxies_that_live() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let (daemon, direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
        let member = daemon.settings.address();
        let alone = Program::start("grpc-proxy", &[member], &["--advertise-client-url", "here:1"]).await;
        assert_eq!(listed(&alone.stubs().await).await, ["here:1"]);
        let open = Program::start("grpc-proxy", &[member], &["--advertise-client-url", ""]).await;
        assert_eq!(listed(&open.stubs().await).await, [format!("http://{member}")], "the members themselves");

        let registered = |url: &'static str| async move {
            let flags = ["--advertise-client-url", url, "--resolver-prefix", "proxies", "--resolver-ttl", "2"];
            Program::start("grpc-proxy", &[member], &flags).await
        };
        let (first, second) = (registered("one:1").await, registered("two:2").await);
        let stubs = first.stubs().await;
        until("both proxies in the list", async || (listed(&stubs).await == ["one:1", "two:2"]).then_some(())).await;
        let stored = direct.range(request::get("proxies/two:2")).await.unwrap();
        let text = String::from_utf8_lossy(&stored.kvs[0].value).into_owned();
        assert!(text.starts_with(r#"{"Op":0,"Addr":"two:2","Metadata":"{\"name\":"#), "{text}");
        drop(second);
        until("the end of the one that was killed", async || (listed(&stubs).await == ["one:1"]).then_some(())).await;
    });
}

#[test]
fn other_calls_pass_as_they_are() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let (daemon, direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
        let proxy = Program::start("grpc-proxy", &[daemon.settings.address()], &[]).await;
        let through = proxy.stubs().await;
        direct.put("k", vec![b'x'; 300_000]).await;
        assert_eq!(through.status().await.header.unwrap().member_id, direct.status().await.header.unwrap().member_id);
        let mut snapshot = through.maintenance.clone().snapshot(pb::SnapshotRequest {}).await.unwrap().into_inner();
        let mut bytes = 0;
        while let Some(part) = snapshot.message().await.unwrap() {
            bytes += part.blob.len();
        }
        assert!(bytes > 1000, "{bytes}");
        let lock = api::v3lockpb::LockRequest { name: "l".into(), lease: 0 };
        let grant = pb::LeaseGrantRequest { ttl: 60, id: 0 };
        let lease = through.lease.clone().lease_grant(grant).await.unwrap().into_inner().id;
        let key =
            through.lock.clone().lock(api::v3lockpb::LockRequest { lease, ..lock }).await.unwrap().into_inner().key;
        assert_eq!(direct.range(request::get(&key)).await.unwrap().count, 1);
        let mut parts = through.kv.clone().range_stream(request::all()).await.unwrap().into_inner();
        let mut found = 0;
        while let Some(part) = parts.message().await.unwrap() {
            found += part.range_response.unwrap_or_default().kvs.len();
        }
        assert_eq!(found, 2);
        let too_large = through.kv.clone().put(request::put("big", vec![0; 1_600_000])).await.unwrap_err();
        assert_eq!(too_large.code(), tonic::Code::ResourceExhausted);
        assert!(too_large.message().starts_with("trying to send message larger than max ("), "{too_large}");
        let unknown = tonic::client::Grpc::new(through.channel.clone());
        let mut unknown = unknown;
        unknown.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/x.Y/Z");
        let codec = tonic_prost::ProstCodec::<pb::StatusRequest, pb::StatusResponse>::default();
        let refused = unknown.unary(tonic::Request::new(pb::StatusRequest {}), path, codec).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (tonic::Code::Unimplemented, "unknown service x.Y"));
    });
}
