//! Which call is answered how: typed by one of the services, or passed on as it is.
//!
//! Must never pass on a service that etcd does not have.

mod serve;

use crate::cluster::Members;
use crate::kv::Kv;
use crate::lease::Leases;
use crate::pages::CallCounts;
use crate::upstream::Pool;
use crate::watch::Watches;
use api::etcdserverpb as pb;
use std::sync::Arc;
use tonic::body::Body;
use tonic::{Request, Status, Streaming};

/// Room in a message besides the request that `max_message` bounds.
const OVERHEAD: usize = 512 << 10;

/// Services of etcd: what is not answered here is passed on.
const SERVICES: [&str; 9] = [
    "etcdserverpb.KV",
    "etcdserverpb.Watch",
    "etcdserverpb.Lease",
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Auth",
    "v3lockpb.Lock",
    "v3electionpb.Election",
    "grpc.health.v1.Health",
];

/// Every call comes here.
pub(crate) struct Calls {
    pub(crate) pool: Pool,
    pub(crate) kv: Arc<Kv>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) members: Arc<Members>,
    /// Largest request in bytes.
    pub(crate) max_message: usize,
    /// A line for each call.
    pub(crate) log: bool,
    pub(crate) counts: Arc<CallCounts>,
}

impl Calls {
    /// Answers a call.
    pub(crate) async fn answer(self: Arc<Self>, request: http::Request<Body>, peer: String) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        if self.log {
            let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or((&path, ""));
            tracing::info!(
                "grpc.service" = service,
                "grpc.method" = method,
                "peer.address" = peer,
                "received a gRPC request"
            );
        }
        match self.counts.begin(&path) {
            None => self.serve(request, &path).await,
            Some(counted) => {
                let request = counted.request(request);
                let answer = self.serve(request, &path).await;
                counted.answer(answer)
            }
        }
    }

    async fn serve(self: Arc<Self>, request: http::Request<Body>, path: &str) -> http::Response<Body> {
        let Some(name) = path.strip_prefix("/etcdserverpb.") else { return self.pass(request, path).await };
        match name {
            "KV/Range" | "KV/Put" | "KV/DeleteRange" | "KV/Txn" | "KV/Compact" | "KV/RangeStream" => {
                self.keys(request, name).await
            }
            "Watch/Watch" => {
                let handler = move |request: Request<Streaming<pb::WatchRequest>>| {
                    let watches = self.watches.clone();
                    async move { crate::watch::serve(&watches, request).await }
                };
                serve::talk(request, OVERHEAD, handler).await
            }
            "Lease/LeaseKeepAlive" => {
                let handler = move |request: Request<Streaming<pb::LeaseKeepAliveRequest>>| {
                    let leases = self.leases.clone();
                    async move { crate::lease::serve(&leases, request) }
                };
                serve::talk(request, OVERHEAD, handler).await
            }
            "Lease/LeaseRevoke" => {
                let leases = &self.leases;
                serve::unary(request, OVERHEAD, |request| leases.revoke(request)).await
            }
            "Lease/LeaseTimeToLive" => {
                let leases = &self.leases;
                serve::unary(request, OVERHEAD, |request| leases.time_to_live(request)).await
            }
            "Cluster/MemberList" => {
                let members = &self.members;
                serve::unary(request, OVERHEAD, |request| members.list(request)).await
            }
            _ => self.pass(request, path).await,
        }
    }

    async fn keys(&self, request: http::Request<Body>, name: &str) -> http::Response<Body> {
        let (kv, limit) = (&self.kv, self.max_message + OVERHEAD);
        match name {
            "KV/Range" => serve::unary(request, limit, |request| kv.range(request)).await,
            "KV/Put" => serve::unary(request, limit, |request| kv.put(request)).await,
            "KV/DeleteRange" => serve::unary(request, limit, |request| kv.delete_range(request)).await,
            "KV/Txn" => serve::unary(request, limit, |request| kv.txn(request)).await,
            "KV/Compact" => serve::unary(request, limit, |request| kv.compact(request)).await,
            _ => serve::answers(request, limit, |request| kv.range_stream(request)).await,
        }
    }

    async fn pass(&self, request: http::Request<Body>, path: &str) -> http::Response<Body> {
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if !SERVICES.contains(&service) {
            return Status::unimplemented(format!("unknown service {service}")).into_http();
        }
        // whoever may do what can have changed with any of these
        let changes_rights = service == "etcdserverpb.Auth" && !path.ends_with("/Authenticate");
        let answer = self.pool.pass(request).await;
        if changes_rights {
            self.kv.forget_all();
        }
        answer
    }
}
