//! Cluster and gRPC health of a single member.

use api::etcdserverpb::MemberListRequest;
use api::health::health_check_response::ServingStatus;
use api::health::{HealthCheckRequest, HealthListRequest};
use harness::server::{in_system, on_server, on_server_with};
use harness::{Server, expect_status};
use tonic::Code;

#[test]
fn the_member_list_names_this_member() {
    on_server_with(
        |config| config.advertise_client_urls = vec!["http://example.test:2379".into()],
        async |server| {
            let status = server.stubs.status().await;
            for linearizable in [true, false] {
                let request = MemberListRequest { linearizable };
                let answer = server.stubs.cluster.clone().member_list(request).await.expect("list").into_inner();
                let header = answer.header.expect("a header");
                assert_eq!((header.revision, header.member_id), (0, status.leader), "no revision, as in etcd");
                let [member] = &answer.members[..] else { panic!("one member: {:?}", answer.members) };
                assert_eq!((member.id, member.name.as_str(), member.is_learner), (status.leader, "default", false));
                assert_eq!(member.peer_urls, ["http://localhost:2380"]);
                assert_eq!(member.client_urls, ["http://example.test:2379"]);
            }
        },
    );
}

#[test]
fn ids_are_etcds() {
    // etcd's ids of a default single member: SHA-1 over URLs and token
    on_server(async |server| {
        let header = server.stubs.status().await.header.expect("a header");
        assert_eq!((header.member_id, header.cluster_id), (0x8e9e05c52164694d, 0xcdf818194e3a8c32));
    });
}

#[test]
fn health_is_served() {
    on_server(async |server| {
        let mut health = server.stubs.health.clone();
        let ask = |service: &str| HealthCheckRequest { service: service.into() };
        let answer = health.check(ask("")).await.expect("check").into_inner();
        assert_eq!(answer.status, ServingStatus::Serving as i32);
        expect_status("unknown", health.check(ask("nobody")).await, Code::NotFound, "unknown service");
        let mut stream = health.watch(ask("")).await.expect("watch").into_inner();
        let first = stream.message().await.expect("open").expect("a first status");
        assert_eq!(first.status, ServingStatus::Serving as i32);
    });
}

#[test]
fn the_health_list_names_the_whole_server() {
    on_server(async |server| {
        let list = server.stubs.health.clone().list(HealthListRequest {}).await.expect("list").into_inner();
        let statuses: Vec<_> =
            list.statuses.iter().map(|(service, health)| (service.as_str(), health.status)).collect();
        assert_eq!(statuses, [("", ServingStatus::Serving as i32)], "as grpc-go's health server in etcd");
    });
}

#[test]
fn a_health_watch_of_an_unknown_service_says_so_and_stays_open() {
    on_server(async |server| {
        let mut health = server.stubs.health.clone();
        let mut stream =
            health.watch(HealthCheckRequest { service: "nobody".into() }).await.expect("watch").into_inner();
        let first = stream.message().await.expect("open").expect("a first status");
        assert_eq!(first.status, ServingStatus::ServiceUnknown as i32);
        let next = tokio::time::timeout(std::time::Duration::from_millis(200), stream.message()).await;
        assert!(next.is_err(), "nothing changes: {next:?}");
    });
}

#[test]
fn a_health_watch_tells_that_the_member_stops() {
    in_system(async {
        let server = Server::start(|_| ()).await;
        let mut health = server.stubs.health.clone();
        let mut stream = health.watch(HealthCheckRequest::default()).await.expect("watch").into_inner();
        let first = stream.message().await.expect("open").expect("a first status");
        assert_eq!(first.status, ServingStatus::Serving as i32);
        let stopping = actix_rt::spawn(server.stop());
        let second = stream.message().await.expect("open").expect("a change");
        assert_eq!(second.status, ServingStatus::NotServing as i32);
        stopping.await.expect("stopped");
    });
}
