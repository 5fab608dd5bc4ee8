//! One list of refusals, asked of any server: ours must give these codes and texts, and with `CONCLAVE_ETCD=host:port` a real
//! etcd 3.7.1 (a fresh one) is asked the same, so that the list itself is checked.
//!
//! Must never depend on absolute revisions: the other server may have a past.

use api::etcdserverpb::{
    AlarmAction, AlarmRequest, CompactionRequest, HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, MoveLeaderRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use harness::Stubs;
use harness::request::{all, delete, delete_op, get, put, put_op, range_op, txn, txn_op};
use harness::server::on_server;
use model::Command;
use tonic::{Code, Request, Response, Status};

/// Name, code and text; `Ok` with an empty text for what is not refused.
type Answers = Vec<(&'static str, Code, String)>;

const OVERHEAD: usize = 512 << 10;
const LIMIT: usize = 1536 << 10;

fn note<T>(answers: &mut Answers, name: &'static str, answer: Result<Response<T>, Status>) {
    match answer {
        Ok(_) => answers.push((name, Code::Ok, String::new())),
        Err(status) => answers.push((name, status.code(), status.message().to_owned())),
    }
}

async fn of_ranges(stubs: &Stubs, answers: &mut Answers) {
    for value in 0..4 {
        stubs.put("refusals/k", value.to_string()).await;
    }
    let now = stubs.revision().await;
    let mut kv = stubs.kv.clone();
    let compact = |revision| CompactionRequest { revision, physical: true };
    note(answers, "compact", kv.compact(compact(now - 1)).await);
    note(answers, "compact again", kv.compact(compact(now - 1)).await);
    note(answers, "compact older", kv.compact(compact(now - 2)).await);
    note(answers, "compact the future", kv.compact(compact(now + 1)).await);
    note(answers, "compact below zero", kv.compact(compact(-1)).await);
    let at = |revision| RangeRequest { revision, ..get("refusals/k") };
    let cases = [
        ("empty key", RangeRequest::default()),
        ("empty key with an end", RangeRequest { range_end: "x".into(), ..RangeRequest::default() }),
        ("unknown order", RangeRequest { sort_order: 3, ..all() }),
        ("unknown order below zero", RangeRequest { sort_order: -1, ..all() }),
        ("unknown target", RangeRequest { sort_target: 5, ..all() }),
        ("compacted", at(now - 2)),
        ("at the compaction", at(now - 1)),
        ("future", at(now + 1)),
        ("far future", at(i64::MAX)),
        ("below zero", at(-7)),
        ("future, serializable", RangeRequest { serializable: true, ..at(now + 1) }),
        ("future, counted", RangeRequest { count_only: true, ..at(now + 1) }),
        ("end before start", RangeRequest { range_end: "a".into(), ..get("b") }),
        ("limit below zero", RangeRequest { limit: -1, ..all() }),
    ];
    for (name, request) in cases {
        note(answers, name, kv.range(request).await);
    }
    let hash = |revision| HashKvRequest { revision };
    let mut maintenance = stubs.maintenance.clone();
    note(answers, "hash of the future", maintenance.hash_kv(hash(now + 9)).await);
    note(answers, "hash of the compacted", maintenance.hash_kv(hash(now - 2)).await);
}

async fn of_writes(stubs: &Stubs, answers: &mut Answers) {
    let mut kv = stubs.kv.clone();
    let cases = [
        ("put without key", put("", "v")),
        ("value given", PutRequest { ignore_value: true, ..put("refusals/k", "v") }),
        ("lease given", PutRequest { ignore_lease: true, lease: 1, ..put("refusals/k", "v") }),
        ("no value to keep", PutRequest { ignore_value: true, ..put("refusals/none", "") }),
        ("no lease to keep", PutRequest { ignore_lease: true, ..put("refusals/none", "v") }),
        ("unknown lease", PutRequest { lease: 4711, ..put("refusals/k", "v") }),
        ("lease below zero", PutRequest { lease: -4711, ..put("refusals/k", "v") }),
    ];
    for (name, request) in cases {
        note(answers, name, kv.put(request).await);
    }
    note(answers, "delete without key", kv.delete_range(delete("", "z")).await);
    note(answers, "delete of nothing", kv.delete_range(delete("refusals/none", "")).await);
}

async fn of_transactions(stubs: &Stubs, answers: &mut Answers) {
    let many = |n: usize| (0..n).map(|i| put_op(format!("refusals/{i}"), "v")).collect::<Vec<_>>();
    let failure = |ops| TxnRequest { failure: ops, ..TxnRequest::default() };
    let future = |op: RangeRequest| range_op(RangeRequest { revision: i64::MAX, ..op });
    let now = stubs.revision().await;
    let cases = [
        ("129 operations", txn(many(129))),
        ("129 in the other branch", failure(many(129))),
        ("129 over two levels", txn(vec![txn_op(txn(many(128)))])),
        ("128 operations", txn(many(128))),
        ("a key twice", txn(vec![put_op("refusals/a", "1"), put_op("refusals/a", "2")])),
        ("a key twice, not chosen", failure(vec![put_op("refusals/a", "1"), put_op("refusals/a", "2")])),
        ("a put in a delete", txn(vec![delete_op("refusals/a", "refusals/c"), put_op("refusals/b", "2")])),
        ("a put and its delete", txn(vec![delete_op("refusals/a", ""), put_op("refusals/a", "2")])),
        ("deletes that overlap", txn(vec![delete_op("refusals/x", "refusals/z"), delete_op("refusals/y", "")])),
        ("across levels", txn(vec![put_op("refusals/a", "1"), txn_op(txn(vec![put_op("refusals/a", "2")]))])),
        ("a put without key", txn(vec![put_op("", "1")])),
        ("a delete without key", txn(vec![delete_op("", "")])),
        ("a compare without key", TxnRequest { compare: vec![Default::default()], ..TxnRequest::default() }),
        ("an empty operation", txn(vec![RequestOp::default()])),
        ("a read of the future", txn(vec![future(get("refusals/k"))])),
        ("a read of the compacted", txn(vec![range_op(RangeRequest { revision: 1, ..get("refusals/k") })])),
        ("a read of the future beside a put", txn(vec![put_op("refusals/q", "1"), future(get("refusals/k"))])),
        (
            "an unknown lease",
            txn(vec![RequestOp {
                request: Some(api::etcdserverpb::RequestUnion::Put(PutRequest { lease: 99, ..put("refusals/l", "") })),
            }]),
        ),
        ("nothing at all", TxnRequest::default()),
    ];
    for (name, request) in cases {
        note(answers, name, stubs.kv.clone().txn(request).await);
    }
    // of all these one wrote: the 128 operations, in one revision
    let wrote = stubs.revision().await - now;
    answers.push(("revisions written", Code::Ok, wrote.to_string()));
}

async fn of_leases_and_the_rest(stubs: &Stubs, answers: &mut Answers) {
    let mut lease = stubs.lease.clone();
    let grant = |id, ttl| LeaseGrantRequest { ttl, id };
    note(answers, "ttl too large", lease.lease_grant(grant(0, 9_000_000_001)).await);
    note(answers, "ttl of zero", lease.lease_grant(grant(0, 0)).await);
    note(answers, "ttl below zero", lease.lease_grant(grant(0, -5)).await);
    note(answers, "grant", lease.lease_grant(grant(815, 100)).await);
    note(answers, "lease exists", lease.lease_grant(grant(815, 100)).await);
    note(answers, "revoke", lease.lease_revoke(LeaseRevokeRequest { id: 815 }).await);
    note(answers, "revoke again", lease.lease_revoke(LeaseRevokeRequest { id: 815 }).await);
    note(answers, "revoke of zero", lease.lease_revoke(LeaseRevokeRequest { id: 0 }).await);
    let ttl = lease.lease_time_to_live(LeaseTimeToLiveRequest { id: 4711, keys: true }).await;
    answers.push(("ttl of none", Code::Ok, ttl.map_or_else(|s| s.to_string(), |a| a.into_inner().ttl.to_string())));
    let one = futures_util::stream::iter([LeaseKeepAliveRequest { id: 4711 }]);
    let kept = match lease.lease_keep_alive(one).await {
        Ok(stream) => stream.into_inner().message().await.map(|a| a.map(|a| a.ttl)),
        Err(status) => Err(status),
    };
    answers.push(("renewal of none", Code::Ok, format!("{:?}", kept.map_err(|s| s.message().to_owned()))));
    let mut maintenance = stubs.maintenance.clone();
    note(answers, "transferee", maintenance.move_leader(MoveLeaderRequest { target_id: 77 }).await);
    let alarm = AlarmRequest { action: AlarmAction::Deactivate as i32, member_id: 5, alarm: 1 };
    note(answers, "no such alarm", maintenance.alarm(alarm).await);
    let mut request = Request::new(get("k"));
    request.metadata_mut().insert("hasleader", "true".parse().expect("ascii"));
    note(answers, "leader required", stubs.kv.clone().range(request).await);
}

/// Sizes, byte for byte. The id of a request is random and has nine or ten bytes, so the largest put has one of two lengths.
async fn of_sizes(stubs: &Stubs, answers: &mut Answers) {
    let mut kv = stubs.kv.clone();
    let raft_bytes = |length: usize, id: u64| Command::Put(put("size", vec![0; length])).encode(id).len();
    let surplus = raft_bytes(LIMIT, u64::MAX) - LIMIT;
    let fits = LIMIT - surplus;
    assert!(raft_bytes(fits, u64::MAX) == LIMIT && raft_bytes(fits + 1, 1 << 62) == LIMIT);
    note(answers, "as large as may be", kv.put(put("size", vec![0; fits])).await);
    note(answers, "a byte too large", kv.put(put("size", vec![0; fits + 2])).await);
    let framed = |length: usize| prost::Message::encoded_len(&put("size", vec![0; length]));
    let received = LIMIT + OVERHEAD - (framed(LIMIT) - LIMIT);
    assert_eq!(framed(received), LIMIT + OVERHEAD);
    note(answers, "as large as is received", kv.put(put("size", vec![0; received])).await);
    note(answers, "more than is received", kv.put(put("size", vec![0; received + 1])).await);
}

async fn ask(stubs: &Stubs) -> Answers {
    let mut answers = Vec::new();
    of_ranges(stubs, &mut answers).await;
    of_writes(stubs, &mut answers).await;
    of_transactions(stubs, &mut answers).await;
    of_leases_and_the_rest(stubs, &mut answers).await;
    of_sizes(stubs, &mut answers).await;
    answers
}

/// What etcd 3.7.1 answers.
fn wanted() -> Vec<(&'static str, Code, &'static str)> {
    use Code::{FailedPrecondition, InvalidArgument, NotFound, Ok, OutOfRange, ResourceExhausted};
    const EMPTY_KEY: &str = "etcdserver: key is not provided";
    const KEY_NOT_FOUND: &str = "etcdserver: key not found";
    const DUPLICATE: &str = "etcdserver: duplicate key given in txn request";
    const TOO_MANY: &str = "etcdserver: too many operations in txn request";
    const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
    const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
    const NO_LEASE: &str = "etcdserver: requested lease not found";
    const SORT: &str = "etcdserver: invalid sort option";
    const TOO_LARGE: &str = "etcdserver: request is too large";
    vec![
        ("compact", Ok, ""),
        ("compact again", OutOfRange, COMPACTED),
        ("compact older", OutOfRange, COMPACTED),
        ("compact the future", OutOfRange, FUTURE),
        ("compact below zero", OutOfRange, COMPACTED),
        ("empty key", InvalidArgument, EMPTY_KEY),
        ("empty key with an end", InvalidArgument, EMPTY_KEY),
        ("unknown order", InvalidArgument, SORT),
        ("unknown order below zero", InvalidArgument, SORT),
        ("unknown target", InvalidArgument, SORT),
        ("compacted", OutOfRange, COMPACTED),
        ("at the compaction", Ok, ""),
        ("future", OutOfRange, FUTURE),
        ("far future", OutOfRange, FUTURE),
        ("below zero", Ok, ""),
        ("future, serializable", OutOfRange, FUTURE),
        ("future, counted", OutOfRange, FUTURE),
        ("end before start", Ok, ""),
        ("limit below zero", Ok, ""),
        ("hash of the future", OutOfRange, FUTURE),
        ("hash of the compacted", OutOfRange, COMPACTED),
        ("put without key", InvalidArgument, EMPTY_KEY),
        ("value given", InvalidArgument, "etcdserver: value is provided"),
        ("lease given", InvalidArgument, "etcdserver: lease is provided"),
        ("no value to keep", InvalidArgument, KEY_NOT_FOUND),
        ("no lease to keep", InvalidArgument, KEY_NOT_FOUND),
        ("unknown lease", NotFound, NO_LEASE),
        ("lease below zero", NotFound, NO_LEASE),
        ("delete without key", InvalidArgument, EMPTY_KEY),
        ("delete of nothing", Ok, ""),
        ("129 operations", InvalidArgument, TOO_MANY),
        ("129 in the other branch", InvalidArgument, TOO_MANY),
        ("129 over two levels", InvalidArgument, TOO_MANY),
        ("128 operations", Ok, ""),
        ("a key twice", InvalidArgument, DUPLICATE),
        ("a key twice, not chosen", InvalidArgument, DUPLICATE),
        ("a put in a delete", InvalidArgument, DUPLICATE),
        ("a put and its delete", InvalidArgument, DUPLICATE),
        ("deletes that overlap", Ok, ""),
        ("across levels", InvalidArgument, DUPLICATE),
        ("a put without key", InvalidArgument, EMPTY_KEY),
        ("a delete without key", InvalidArgument, EMPTY_KEY),
        ("a compare without key", InvalidArgument, EMPTY_KEY),
        ("an empty operation", InvalidArgument, KEY_NOT_FOUND),
        ("a read of the future", OutOfRange, FUTURE),
        ("a read of the compacted", OutOfRange, COMPACTED),
        ("a read of the future beside a put", OutOfRange, FUTURE),
        ("an unknown lease", NotFound, NO_LEASE),
        ("nothing at all", Ok, ""),
        ("revisions written", Ok, "1"),
        ("ttl too large", OutOfRange, "etcdserver: too large lease TTL"),
        ("ttl of zero", Ok, ""),
        ("ttl below zero", Ok, ""),
        ("grant", Ok, ""),
        ("lease exists", FailedPrecondition, "etcdserver: lease already exists"),
        ("revoke", Ok, ""),
        ("revoke again", NotFound, NO_LEASE),
        ("revoke of zero", NotFound, NO_LEASE),
        ("ttl of none", Ok, "-1"),
        ("renewal of none", Ok, "Ok(Some(0))"),
        ("transferee", FailedPrecondition, "etcdserver: bad leader transferee"),
        ("no such alarm", Ok, ""),
        ("leader required", Ok, ""),
        ("as large as may be", Ok, ""),
        ("a byte too large", InvalidArgument, TOO_LARGE),
        ("as large as is received", InvalidArgument, TOO_LARGE),
        ("more than is received", ResourceExhausted, "grpc: received message larger than max (2097153 vs. 2097152)"),
    ]
}

#[test]
fn every_refusal_has_etcds_code_and_text() {
    on_server(async |server| compare("Conclave", &ask(&server.stubs).await));
}

#[tokio::test]
async fn etcd_itself_answers_so() {
    let Ok(endpoint) = std::env::var("CONCLAVE_ETCD") else {
        return println!("skipped: CONCLAVE_ETCD=host:port names no fresh etcd 3.7.1 to ask");
    };
    let stubs = Stubs::connect(&endpoint, harness::PATIENCE).await.expect("connect to etcd");
    compare("etcd", &ask(&stubs).await);
}

fn compare(server: &str, answers: &Answers) {
    let wanted = wanted();
    let mut different = Vec::new();
    for ((name, code, text), (wanted_name, wanted_code, wanted_text)) in answers.iter().zip(&wanted) {
        assert_eq!(name, wanted_name, "the two lists are out of step");
        if (code, text.as_str()) != (wanted_code, *wanted_text) {
            different.push(format!("{name}: {code:?} {text:?}, wanted {wanted_code:?} {wanted_text:?}"));
        }
    }
    assert!(different.is_empty() && answers.len() == wanted.len(), "{server}:\n{}", different.join("\n"));
}
