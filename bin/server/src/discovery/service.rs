//! The few calls to a discovery service, each within its time.

use super::ServiceSettings;
use api::etcdserverpb as pb;
use bytes::Bytes;
use daemon::registry::RegistryError;
use proxy::upstream::{ClientTls, Context, Pool, Repeat, UpstreamConfig};
use std::time::Duration;
use tonic::{Status, Streaming};

/// A client of the service.
pub(super) struct Service {
    pool: Pool,
    context: Context,
    login: Option<(String, String)>,
    patience: Duration,
}

impl Service {
    /// Begins to connect.
    pub(super) fn new(settings: &ServiceSettings) -> Result<Self, RegistryError> {
        let some = |length: Duration| Some(length).filter(|length| !length.is_zero());
        let mut config = UpstreamConfig::new(settings.endpoints.clone());
        config.tls = settings.tls.as_ref().map(ClientTls::read).transpose().map_err(RegistryError::Settings)?;
        config.dial_timeout = some(settings.dial_timeout).unwrap_or(config.dial_timeout);
        config.keepalive_time = some(settings.keepalive_time);
        config.keepalive_timeout = some(settings.keepalive_timeout).unwrap_or(config.keepalive_timeout);
        let patience = some(settings.request_timeout).unwrap_or(Duration::from_secs(5));
        Ok(Self { pool: Pool::start(config), context: Context::default(), login: settings.login.clone(), patience })
    }

    /// Gets a token, when there is a user.
    pub(super) async fn log_in(&mut self) -> Result<(), Status> {
        let Some((name, password)) = self.login.clone() else { return Ok(()) };
        let request = pb::AuthenticateRequest { name, password };
        let path = "/etcdserverpb.Auth/Authenticate";
        let answer: pb::AuthenticateResponse =
            self.in_time(self.pool.unary(path, &Context::default(), request, Repeat::Safe)).await?;
        self.context = Context::with_token(&answer.token).map_err(Status::internal)?;
        Ok(())
    }

    /// Reads a key, or all that begin with one.
    pub(super) async fn read(&self, key: &str, range_end: Bytes) -> Result<pb::RangeResponse, Status> {
        let request = pb::RangeRequest { key: key.to_owned().into(), range_end, ..Default::default() };
        self.in_time(self.pool.unary("/etcdserverpb.KV/Range", &self.context, request, Repeat::Safe)).await
    }

    /// Writes a key. The same again does no harm.
    pub(super) async fn write(&self, key: &str, value: &str) -> Result<(), Status> {
        let request =
            pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        let put = self.pool.unary::<_, pb::PutResponse>("/etcdserverpb.KV/Put", &self.context, request, Repeat::Safe);
        self.in_time(put).await.map(drop)
    }

    /// Watches all that begin with a key. The sender must be kept for as long as it is listened to.
    pub(super) async fn watch(&self, create: pb::WatchCreateRequest) -> Result<Streaming<pb::WatchResponse>, Status> {
        let union = pb::watch_request::RequestUnion::CreateRequest(create);
        let first = pb::WatchRequest { request_union: Some(union) };
        // the stream of requests stays open behind the only one
        let requests = futures_util::StreamExt::chain(
            futures_util::stream::once(std::future::ready(first)),
            futures_util::stream::pending(),
        );
        self.in_time(self.pool.talk("/etcdserverpb.Watch/Watch", &self.context, requests)).await
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let answer = tokio::time::timeout(self.patience, call).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded")))
    }
}
