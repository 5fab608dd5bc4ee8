//! tonic stubs of every service, on one connection.
//!
//! Must never retry a request: what a test sends, it sends once.

use api::etcdserverpb::cluster_client::ClusterClient;
use api::etcdserverpb::kv_client::KvClient;
use api::etcdserverpb::lease_client::LeaseClient;
use api::etcdserverpb::maintenance_client::MaintenanceClient;
use api::etcdserverpb::watch_client::WatchClient;
use api::etcdserverpb::{
    AlarmAction, AlarmMember, AlarmRequest, AlarmType, HashKvRequest, HashKvResponse, PutResponse, RangeRequest,
    RangeResponse, SnapshotRequest, StatusRequest, StatusResponse, TxnRequest, TxnResponse,
};
use api::health::health_client::HealthClient;
use api::v3electionpb::election_client::ElectionClient;
use api::v3lockpb::lock_client::LockClient;
use std::fmt::Debug;
use std::time::{Duration, Instant};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// Every service of a member.
#[derive(Clone)]
pub struct Stubs {
    /// The connection.
    pub channel: Channel,
    /// KV.
    pub kv: KvClient<Channel>,
    /// Watch.
    pub watch: WatchClient<Channel>,
    /// Lease.
    pub lease: LeaseClient<Channel>,
    /// Maintenance.
    pub maintenance: MaintenanceClient<Channel>,
    /// Cluster.
    pub cluster: ClusterClient<Channel>,
    /// gRPC health.
    pub health: HealthClient<Channel>,
    /// Lock.
    pub lock: LockClient<Channel>,
    /// Election.
    pub election: ElectionClient<Channel>,
}

impl Stubs {
    /// Connects, trying again while nobody listens yet.
    ///
    /// # Errors
    /// The last refusal when `patience` is over.
    pub async fn connect(address: &str, patience: Duration) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| e.to_string())?;
        let start = Instant::now();
        loop {
            match endpoint.connect().await {
                Ok(channel) => return Ok(Self::on(channel)),
                Err(why) if start.elapsed() > patience => return Err(format!("connect to {address}: {why:?}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// On a connection that stands.
    pub fn on(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            health: HealthClient::new(channel.clone()),
            lock: LockClient::new(channel.clone()),
            election: ElectionClient::new(channel.clone()),
            channel,
        }
    }

    /// Puts, and returns the answer.
    ///
    /// # Panics
    /// When refused.
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> PutResponse {
        self.kv.clone().put(crate::request::put(key, value)).await.expect("put").into_inner()
    }

    /// Reads a range.
    ///
    /// # Errors
    /// The server's.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.kv.clone().range(request).await.map(Response::into_inner)
    }

    /// Runs a transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        self.kv.clone().txn(request).await.map(Response::into_inner)
    }

    /// Deletes; the number of keys and the revision.
    ///
    /// # Panics
    /// When refused.
    pub async fn delete(&self, key: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> (i64, i64) {
        let request = crate::request::delete(key, end);
        let answer = self.kv.clone().delete_range(request).await.expect("delete").into_inner();
        (answer.deleted, answer.header.expect("a header").revision)
    }

    /// Status of the member.
    ///
    /// # Panics
    /// When refused.
    pub async fn status(&self) -> StatusResponse {
        self.maintenance.clone().status(StatusRequest {}).await.expect("status").into_inner()
    }

    /// Revision of the store.
    ///
    /// # Panics
    /// When refused.
    pub async fn revision(&self) -> i64 {
        let answer = self.range(crate::request::get("no such key")).await.expect("range");
        answer.header.expect("a header").revision
    }

    /// HashKV at a revision.
    ///
    /// # Errors
    /// The server's.
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse, Status> {
        self.maintenance.clone().hash_kv(HashKvRequest { revision }).await.map(Response::into_inner)
    }

    /// Standing alarms after an action.
    ///
    /// # Panics
    /// When refused.
    pub async fn alarm(&self, action: AlarmAction, member_id: u64, alarm: AlarmType) -> Vec<AlarmMember> {
        let request = AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 };
        self.maintenance.clone().alarm(request).await.expect("alarm").into_inner().alarms
    }

    /// All chunks of a snapshot: bytes, and what each message says remains.
    ///
    /// # Errors
    /// The server's.
    pub async fn snapshot(&self) -> Result<(Vec<u8>, Vec<u64>), Status> {
        self.snapshot_as(None).await
    }

    /// As [`Self::snapshot`], in a format that is asked for.
    ///
    /// # Errors
    /// The server's.
    pub async fn snapshot_as(&self, format: Option<&'static str>) -> Result<(Vec<u8>, Vec<u64>), Status> {
        let mut request = Request::new(SnapshotRequest {});
        if let Some(format) = format {
            request.metadata_mut().insert("conclave-snapshot-format", MetadataValue::from_static(format));
        }
        let mut stream = self.maintenance.clone().snapshot(request).await?.into_inner();
        let (mut all, mut remaining) = (Vec::new(), Vec::new());
        while let Some(part) = stream.message().await? {
            all.extend_from_slice(&part.blob);
            remaining.push(part.remaining_bytes);
        }
        Ok((all, remaining))
    }
}

/// Compares a refusal with code and text, both exactly.
///
/// # Panics
/// When it differs, or when there is none.
#[track_caller]
pub fn expect_status<T: Debug>(name: &str, answer: Result<T, Status>, code: Code, text: &str) {
    match answer {
        Ok(answer) => panic!("{name}: expected {code:?} \"{text}\", got an answer: {answer:?}"),
        Err(status) => assert_eq!((status.code(), status.message()), (code, text), "{name}"),
    }
}
