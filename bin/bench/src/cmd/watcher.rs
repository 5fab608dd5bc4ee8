//! One watch stream: creating watchers on it, and reading its answers.
//!
//! Must treat a cancelled watcher as a failure: no command here cancels one.

use crate::client::{CallError, Channel, Code, Encoder, Inbound, Method, Outbound};
use api::etcdserverpb::watch_request::RequestUnion;
use api::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use prost::Message;

/// A watch stream.
pub(crate) struct Watcher {
    outbound: Outbound,
    inbound: Inbound,
    encoder: Encoder,
}

impl Watcher {
    pub(crate) async fn open(channel: &Channel) -> Result<Self, CallError> {
        let (outbound, inbound) = channel.duplex(Method::Watch).await?;
        Ok(Self { outbound, inbound, encoder: Encoder::default() })
    }

    /// Asks for a watcher without waiting for the answer.
    pub(crate) fn ask(&mut self, create: WatchCreateRequest) -> Result<(), CallError> {
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let body = self.encoder.frame(&request);
        self.outbound.send(body)
    }

    /// Creates a watcher of which no event can be waiting yet.
    pub(crate) async fn create(&mut self, create: WatchCreateRequest) -> Result<(), CallError> {
        self.ask(create)?;
        let answer = self.next().await?;
        if answer.created {
            return Ok(());
        }
        Err(CallError::new(Code::Internal, "the answer to a new watcher does not say that it was created".into()))
    }

    /// The next answer.
    pub(crate) async fn next(&mut self) -> Result<WatchResponse, CallError> {
        let ended = || CallError::new(Code::Unavailable, "the server ended the watch stream".into());
        let answer = self.inbound.next().await?.ok_or_else(ended)?;
        let answer = WatchResponse::decode(answer).map_err(CallError::undecodable)?;
        if answer.canceled {
            let why = format!("watcher cancelled: {} (compacted {})", answer.cancel_reason, answer.compact_revision);
            return Err(CallError::new(Code::OutOfRange, why));
        }
        Ok(answer)
    }
}
