//! The list of members that clients are shown: the proxies themselves, so that clients which follow the list stay with them.

mod registry;

use crate::upstream::{Context, Pool, Repeat};
use api::etcdserverpb as pb;
pub(crate) use registry::{Proxies, Registration, follow, register};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The part of the Cluster service that is not passed on.
pub(crate) struct Members {
    pool: Pool,
    /// Empty when the cluster is asked.
    advertised: String,
    proxies: Arc<Proxies>,
}

impl Members {
    pub(crate) fn new(pool: Pool, advertised: String, proxies: Arc<Proxies>) -> Self {
        Self { pool, advertised, proxies }
    }

    /// Registered proxies; this one alone when there are none; the members when it has no address to show.
    pub(crate) async fn list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        if self.advertised.is_empty() {
            let context = Context::of(request.metadata());
            let path = "/etcdserverpb.Cluster/MemberList";
            let answer = self.pool.unary(path, &context, request.into_inner(), Repeat::Safe).await?;
            return Ok(Response::new(answer));
        }
        let mut members = self.proxies.members();
        if members.is_empty() {
            members.push(pb::Member {
                name: host_name(),
                client_urls: vec![self.advertised.clone()],
                ..Default::default()
            });
        }
        Ok(Response::new(pb::MemberListResponse { members, ..Default::default() }))
    }
}

/// The name of this machine; empty when nobody knows it.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
