//! Keys that the gRPC proxy hands out from memory (`--experimental-leasing-prefix`): never older than a write through any of the
//! proxies.

use crate::program::{Program, in_runtime};
use api::etcdserverpb as pb;
use harness::daemon::Settings;
use harness::{Daemon, Stubs, expect_status, request, until};
use pb::auth_client::AuthClient;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::Code;

const LEASING: &[&str] = &["--experimental-leasing-prefix", "l/"];

struct Two {
    direct: Stubs,
    first: Stubs,
    second: Stubs,
    programs: [Program; 2],
    _daemon: Daemon,
    _dir: TempDir,
}

/// Two proxies with one prefix before one member.
async fn two(flags: &[&str]) -> Two {
    let dir = TempDir::new().unwrap();
    let (daemon, direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
    let flags = [LEASING, flags].concat();
    let endpoints = [daemon.settings.address()];
    let programs = [
        Program::start("grpc-proxy", &endpoints, &flags).await,
        Program::start("grpc-proxy", &endpoints, &flags).await,
    ];
    let (first, second) = (programs[0].stubs().await, programs[1].stubs().await);
    Two { direct, first, second, programs, _daemon: daemon, _dir: dir }
}

async fn read(stubs: &Stubs, key: &str) -> Option<String> {
    let answer = stubs.range(request::get(key)).await.expect("a read");
    answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

/// Reads a key through a proxy until the proxy has it in memory.
async fn taken(direct: &Stubs, through: &Stubs, key: &str, leasing: &str) {
    until("a leasing key", async || {
        read(through, key).await;
        (direct.range(request::get(leasing)).await.unwrap().count == 1).then_some(())
    })
    .await;
}

#[test]
fn a_key_is_answered_from_memory_until_somebody_writes_it_through_another_proxy() {
    in_runtime(async {
        let two = two(&[]).await;
        two.first.put("k", "1").await;
        taken(&two.direct, &two.first, "k", "l/k").await;
        // the protocol is among those who use it: this shows where the answer comes from
        two.direct.put("k", "unseen").await;
        assert_eq!(read(&two.first, "k").await.as_deref(), Some("1"), "from memory");
        assert_eq!(read(&two.second, "k").await.as_deref(), Some("unseen"), "only one proxy has it");
        let put = two.second.put("k", "2").await;
        assert_eq!(read(&two.first, "k").await.as_deref(), Some("2"));
        assert_eq!(two.direct.range(request::get("l/k")).await.unwrap().count, 0, "given up");
        let answer = two.first.range(request::get("k")).await.unwrap();
        assert!(answer.header.unwrap().revision >= put.header.unwrap().revision);

        // what the owner writes itself is in memory at once
        taken(&two.direct, &two.first, "k", "l/k").await;
        for n in 0..20 {
            let put = pb::PutRequest { prev_kv: true, ..request::put("k", n.to_string()) };
            let answer = two.first.kv.clone().put(put).await.unwrap().into_inner();
            assert_eq!(answer.prev_kv.unwrap().version, 3 + n);
            let read = two.first.range(request::get("k")).await.unwrap();
            assert_eq!((&read.kvs[0].value[..], read.count), (n.to_string().as_bytes(), 1));
            assert_eq!(read.header.unwrap().revision, answer.header.unwrap().revision);
        }
        assert_eq!(two.direct.range(request::get("l/k")).await.unwrap().kvs[0].version, 1, "never given up");
        let keys_only = pb::RangeRequest { keys_only: true, ..request::get("k") };
        let answer = two.first.range(keys_only.clone()).await.unwrap();
        let wanted = two.direct.range(keys_only).await.unwrap();
        assert_eq!((answer.kvs, answer.count), (wanted.kvs, wanted.count), "as a member answers");
    });
}

#[test]
fn deletes_ranges_and_transactions_wait_for_the_owner_too() {
    in_runtime(async {
        let two = two(&["--namespace", "n/"]).await;
        for key in ["a", "b", "c"] {
            two.first.put(key, "1").await;
            taken(&two.direct, &two.first, key, &format!("n/l/{key}")).await;
        }
        assert_eq!(two.second.delete("a", "c").await.0, 2, "a range");
        assert_eq!((read(&two.first, "a").await, read(&two.first, "b").await), (None, None));
        assert_eq!(two.second.delete("c", "").await.0, 1, "one key");
        assert_eq!(read(&two.first, "c").await, None);
        two.first.put("d", "1").await;
        taken(&two.direct, &two.first, "d", "n/l/d").await;
        let txn = pb::TxnRequest {
            success: vec![request::put_op("d", "2"), request::put_op("e", "2")],
            ..Default::default()
        };
        let answer = two.second.txn(txn.clone()).await.unwrap();
        assert_eq!((answer.succeeded, answer.responses.len()), (true, 2));
        assert_eq!(read(&two.first, "d").await.as_deref(), Some("2"));
        // of the owner itself
        taken(&two.direct, &two.first, "d", "n/l/d").await;
        let other = pb::TxnRequest { success: vec![request::put_op("d", "3")], ..Default::default() };
        two.first.txn(other).await.unwrap();
        assert_eq!(read(&two.first, "d").await.as_deref(), Some("3"));
        assert_eq!(two.first.delete([0], [0]).await.0, 2, "d and e; the leasing key of d went before");
        assert_eq!(read(&two.first, "d").await, None);
    });
}

#[test]
fn a_key_that_may_go_without_a_write_is_not_taken() {
    in_runtime(async {
        let two = two(&[]).await;
        two.first.put("k", "1").await;
        taken(&two.direct, &two.first, "k", "l/k").await;
        let lease = pb::LeaseGrantRequest { ttl: 60, id: 0 };
        let id = two.direct.lease.clone().lease_grant(lease).await.unwrap().into_inner().id;
        for key in ["k", "leased"] {
            let put = pb::PutRequest { lease: id, ..request::put(key, "2") };
            two.first.kv.clone().put(put).await.unwrap();
            assert_eq!(read(&two.first, key).await.as_deref(), Some("2"));
        }
        assert_eq!(read(&two.first, "missing").await, None);
        two.direct.put("missing", "made").await;
        assert_eq!(read(&two.first, "missing").await.as_deref(), Some("made"));
        two.direct.lease.clone().lease_revoke(pb::LeaseRevokeRequest { id }).await.unwrap();
        assert_eq!((read(&two.first, "k").await, read(&two.first, "leased").await), (None, None));
    });
}

#[test]
fn a_proxy_that_dies_holds_writers_up_no_longer_than_its_lease() {
    in_runtime(async {
        let Two { direct, first, second, programs, _daemon, _dir } = two(&[]).await;
        first.put("k", "1").await;
        taken(&direct, &first, "k", "l/k").await;
        let [one, other] = programs;
        // SIGKILL
        drop(one);
        let begun = Instant::now();
        second.put("k", "2").await;
        assert!(begun.elapsed() > Duration::from_secs(2), "nobody writes while the owner may live");
        assert_eq!(read(&second, "k").await.as_deref(), Some("2"));
        assert_eq!(direct.range(request::get("l/k")).await.unwrap().count, 0);
        drop(other);
    });
}

/// Adds one to a counter, whatever others do meanwhile.
async fn add_one(stubs: &Stubs) {
    loop {
        let now = stubs.range(request::get("counter")).await.expect("a read").kvs.remove(0);
        let value: i64 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
        let compare = pb::Compare {
            key: "counter".into(),
            target: pb::CompareTarget::Mod as i32,
            target_union: Some(pb::TargetUnion::ModRevision(now.mod_revision)),
            ..Default::default()
        };
        let success = vec![request::put_op("counter", (value + 1).to_string())];
        let txn = pb::TxnRequest { compare: vec![compare], success, failure: vec![] };
        if stubs.txn(txn).await.expect("a transaction").succeeded {
            return;
        }
    }
}

#[test]
fn no_update_is_lost_and_no_read_is_older_than_one_before() {
    in_runtime(async {
        let two = two(&[]).await;
        two.direct.put("counter", "0").await;
        let mut tasks = tokio::task::JoinSet::new();
        for stubs in [&two.first, &two.second, &two.first, &two.second] {
            let stubs = stubs.clone();
            tasks.spawn(async move {
                for _ in 0..15 {
                    add_one(&stubs).await;
                }
            });
        }
        let reader = async {
            let mut newest = 0;
            while !tasks.is_empty() {
                for stubs in [&two.first, &two.second] {
                    let value: i64 = read(stubs, "counter").await.unwrap().parse().unwrap();
                    assert!(value >= newest, "{value} after {newest}");
                    newest = value;
                }
                while let Some(done) = tasks.try_join_next() {
                    done.expect("a task");
                }
            }
        };
        reader.await;
        for stubs in [&two.direct, &two.first, &two.second] {
            assert_eq!(read(stubs, "counter").await.as_deref(), Some("60"));
        }
    });
}

#[test]
fn nobody_reads_from_memory_what_he_may_not_read() {
    in_runtime(async {
        let two = two(&[]).await;
        two.first.put("k", "secret").await;
        taken(&two.direct, &two.first, "k", "l/k").await;
        let mut auth = AuthClient::new(two.first.channel.clone());
        let user = pb::AuthUserAddRequest { name: "root".into(), password: "pw".into(), ..Default::default() };
        auth.user_add(user).await.unwrap();
        auth.role_add(pb::AuthRoleAddRequest { name: "root".into() }).await.unwrap();
        auth.user_grant_role(pb::AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() }).await.unwrap();
        auth.auth_enable(pb::AuthEnableRequest {}).await.unwrap();
        let nobody = two.first.range(request::get("k")).await;
        expect_status("nobody", nobody, Code::InvalidArgument, "etcdserver: user name is empty");
    });
}

#[test]
fn metrics_of_a_proxy_are_those_of_etcd() {
    in_runtime(async {
        let two = two(&[]).await;
        two.first.put("k", "1").await;
        let refused = two.first.range(request::get("")).await;
        assert!(refused.is_err());
        let page = harness::http::get(two.programs[0].address, "/proxy/metrics").await.body;
        let put = r#"grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary""#;
        for line in [
            format!("grpc_server_started_total{{{put}}} 1\n"),
            format!("grpc_server_handled_total{{grpc_code=\"OK\",{put}}} 1\n"),
            format!("grpc_server_msg_received_total{{{put}}} 1\n"),
            format!("grpc_server_msg_sent_total{{{put}}} 1\n"),
        ] {
            assert!(page.contains(&line), "{line} in {page}");
        }
        let range =
            page.lines().find(|line| line.starts_with("grpc_server_handled_total{grpc_code=\"InvalidArgument\""));
        assert!(range.is_some_and(|line| line.contains("grpc_method=\"Range\"")), "{page}");
        // the series of etcd 3.7.1's proxy, without Go's and those of a server that it is not
        for name in [
            "etcd_grpc_proxy_cache_hits_total",
            "etcd_grpc_proxy_cache_keys_total",
            "etcd_grpc_proxy_cache_misses_total",
            "etcd_grpc_proxy_events_coalescing_total",
            "etcd_grpc_proxy_watchers_coalescing_total",
            "os_fd_limit",
            "os_fd_used",
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_network_receive_bytes_total",
            "process_network_transmit_bytes_total",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ] {
            assert!(page.contains(&format!("\n{name} ")), "{name} in {page}");
        }
    });
}
