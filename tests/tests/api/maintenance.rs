//! Maintenance: status, alarms, hashes, defragmentation, transfer of leadership.

use api::etcdserverpb::downgrade_request::DowngradeAction;
use api::etcdserverpb::{
    AlarmAction, AlarmType, CompactionRequest, DefragmentRequest, DowngradeRequest, HashRequest, MoveLeaderRequest,
};
use harness::request::{get, put, put_op, txn};
use harness::server::{in_system, on_server};
use harness::{Server, expect_status, until};
use tonic::Code;

#[test]
fn status_tells_versions_leader_indexes_and_sizes() {
    on_server(async |server| {
        let before = server.stubs.status().await;
        server.stubs.put("k", vec![0; 10_000]).await;
        let after = server.stubs.status().await;
        assert_eq!(after.version, "3.7.1");
        assert_eq!(after.storage_version, "3.7.0");
        assert_eq!(after.leader, after.header.as_ref().expect("a header").member_id);
        assert_eq!(after.header.as_ref().expect("a header").revision, 2);
        assert!(after.raft_applied_index > before.raft_applied_index);
        assert!(after.raft_index >= after.raft_applied_index);
        assert!(after.db_size >= before.db_size + 10_000 && after.db_size_in_use <= after.db_size);
        assert_eq!((after.is_learner, after.errors.len(), after.db_size_quota), (false, 0, 2 << 30));
        assert!(!after.downgrade_info.expect("always there").enabled);
    });
}

#[test]
fn an_operator_lowers_the_version_of_the_cluster_and_calls_it_off() {
    on_server(async |server| {
        let ask = async |action: DowngradeAction, version: &str| {
            let request = DowngradeRequest { action: action as i32, version: version.to_owned() };
            server.stubs.maintenance.clone().downgrade(request).await.map(|answer| answer.into_inner().version)
        };
        let refused =
            async |action, version, code, text| expect_status(version, ask(action, version).await, code, text);
        let (invalid, failed) = (Code::InvalidArgument, Code::FailedPrecondition);
        let (format, target) =
            ("etcdserver: wrong downgrade target version format", "etcdserver: invalid downgrade target version");
        for action in [DowngradeAction::Validate, DowngradeAction::Enable] {
            refused(action, "", invalid, format).await;
            refused(action, "3.6.0.0", invalid, format).await;
            refused(action, "3.5", invalid, target).await;
            refused(action, "3.7", invalid, target).await;
        }
        assert_eq!(ask(DowngradeAction::Cancel, "").await.expect("nothing to call off"), "3.7");
        assert_eq!(ask(DowngradeAction::Validate, "3.6").await.expect("may be"), "3.7");
        assert!(!server.stubs.status().await.downgrade_info.expect("always there").enabled, "it was only a question");
        ask(DowngradeAction::Enable, "3.6").await.expect("begins");
        refused(DowngradeAction::Enable, "3.6", failed, "etcdserver: cluster has a downgrade job in progress").await;
        let storage = async |version: &str| {
            until(version, async || Some(server.stubs.status().await).filter(|now| now.storage_version == version))
                .await
        };
        let now = storage("3.6.0").await.downgrade_info.expect("always there");
        assert_eq!((now.enabled, now.target_version.as_str()), (true, "3.6.0"));
        let page = harness::http::get(server.address(), "/version").await.body;
        assert_eq!(page, "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.6.0\",\"storage\":\"3.6.0\"}");
        assert_eq!(ask(DowngradeAction::Cancel, "").await.expect("is called off"), "3.6");
        let now = storage("3.7.0").await.downgrade_info.expect("always there");
        assert_eq!((now.enabled, now.target_version.as_str()), (false, ""));
    });
}

#[test]
fn alarms_stand_until_they_are_disarmed() {
    on_server(async |server| {
        let member = server.stubs.status().await.leader;
        assert_eq!(server.stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await, []);
        let raised = server.stubs.alarm(AlarmAction::Activate, member, AlarmType::Nospace).await;
        assert_eq!(raised.len(), 1);
        assert_eq!((raised[0].member_id, raised[0].alarm), (member, AlarmType::Nospace as i32));
        let no_space = "etcdserver: mvcc: database space exceeded";
        let answer = server.stubs.kv.clone().put(put("k", "v")).await;
        expect_status("put", answer, Code::ResourceExhausted, no_space);
        server.stubs.range(get("k")).await.expect("reads go on");
        assert_eq!(server.stubs.delete("k", "").await.0, 0, "deletes go on");
        assert_eq!(server.stubs.status().await.errors, [format!("memberID:{member} alarm:NOSPACE")]);
        server.stubs.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await;
        assert_eq!(server.stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await, []);
        server.stubs.put("k", "v").await;
    });
}

#[test]
fn a_status_leaves_out_what_an_alarm_has_not() {
    on_server(async |server| {
        // as protobuf prints it: a field with the default value is left out
        server.stubs.alarm(AlarmAction::Activate, 0, AlarmType::Nospace).await;
        assert_eq!(server.stubs.status().await.errors, ["alarm:NOSPACE"]);
    });
}

#[test]
fn a_corrupt_alarm_stops_writes() {
    on_server(async |server| {
        let member = server.stubs.status().await.leader;
        server.stubs.alarm(AlarmAction::Activate, member, AlarmType::Corrupt).await;
        let text = "etcdserver: corrupt cluster";
        expect_status("put", server.stubs.kv.clone().put(put("k", "v")).await, Code::DataLoss, text);
        expect_status("txn", server.stubs.txn(txn(vec![put_op("k", "v")])).await, Code::DataLoss, text);
        server.stubs.range(get("k")).await.expect("reads go on, as in etcd");
        server.stubs.alarm(AlarmAction::Deactivate, member, AlarmType::Corrupt).await;
        server.stubs.put("k", "v").await;
    });
}

#[test]
fn alarms_survive_a_restart() {
    in_system(async {
        let server = Server::start(|_| ()).await;
        let member = server.stubs.status().await.leader;
        server.stubs.alarm(AlarmAction::Activate, member, AlarmType::Nospace).await;
        let server = Server::start_in(server.stop().await, |_| ()).await;
        let standing = server.stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await;
        assert_eq!(standing.iter().map(|a| a.member_id).collect::<Vec<_>>(), [member]);
        server.stop().await;
    });
}

#[test]
fn hashes_name_a_history_and_ignore_what_comes_later() {
    in_system(async {
        let (one, two) = (Server::start(|_| ()).await, Server::start(|_| ()).await);
        for server in [&one, &two] {
            for i in 0..50 {
                server.stubs.put(format!("k{}", i % 7), format!("v{i}")).await;
            }
            server.stubs.delete("k3", "").await;
        }
        let at = one.stubs.hash_kv(30).await.expect("hash");
        assert_eq!((at.hash_revision, at.compact_revision), (30, -1));
        assert_eq!(at.hash, two.stubs.hash_kv(30).await.expect("hash").hash);
        let newest = one.stubs.hash_kv(0).await.expect("hash");
        assert_eq!(newest.hash_revision, 52);
        assert_eq!(newest.hash, two.stubs.hash_kv(52).await.expect("hash").hash);
        one.stubs.put("later", "x").await;
        assert_eq!(one.stubs.hash_kv(30).await.expect("hash").hash, at.hash);
        two.stubs.put("later", "y").await;
        let (a, b) = (one.stubs.hash_kv(0).await.expect("hash"), two.stubs.hash_kv(0).await.expect("hash"));
        assert_ne!(a.hash, b.hash);
        for server in [&one, &two] {
            let compaction = CompactionRequest { revision: 40, physical: true };
            server.stubs.kv.clone().compact(compaction).await.expect("compact");
        }
        let text = "etcdserver: mvcc: required revision has been compacted";
        expect_status("below", one.stubs.hash_kv(30).await, Code::OutOfRange, text);
        let (a, b) = (one.stubs.hash_kv(45).await.expect("hash"), two.stubs.hash_kv(45).await.expect("hash"));
        assert_eq!((a.hash, a.compact_revision), (b.hash, b.compact_revision));
        one.stop().await;
        two.stop().await;
    });
}

#[test]
fn the_whole_hash_answers() {
    on_server(async |server| {
        let hash =
            async || server.stubs.maintenance.clone().hash(HashRequest {}).await.expect("hash").into_inner().hash;
        let before = hash().await;
        server.stubs.put("k", "v").await;
        assert_ne!(hash().await, before);
    });
}

#[test]
fn defragmentation_answers_and_changes_nothing() {
    on_server(async |server| {
        for i in 0..200 {
            server.stubs.put(format!("k{i}"), "v").await;
        }
        let hash = server.stubs.hash_kv(0).await.expect("hash").hash;
        let answer = server.stubs.maintenance.clone().defragment(DefragmentRequest {}).await.expect("defragment");
        assert_eq!(answer.into_inner().header, None, "as in etcd");
        assert_eq!(server.stubs.hash_kv(0).await.expect("hash").hash, hash);
        server.stubs.put("after", "x").await;
    });
}

#[test]
fn the_leader_may_be_moved_to_itself() {
    on_server(async |server| {
        let target_id = server.stubs.status().await.leader;
        server.stubs.maintenance.clone().move_leader(MoveLeaderRequest { target_id }).await.expect("nothing to do");
    });
}
