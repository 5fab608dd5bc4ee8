//! Calls over the pool: which member gets one, and what happens when its connection breaks.
//!
//! Must never send a call again that may have had an effect.

use super::metadata::Context;
use super::pool::Pool;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http::uri::PathAndQuery;
use hyper::body::Frame;
use prost::Message;
use std::error::Error;
use std::pin::Pin;
use std::task::{self, Poll};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::ServiceExt;

/// Whether a call may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It reads, or does the same thing twice.
    Safe,
    /// Nobody knows what became of the first.
    Never,
}

/// Says that the member is gone, as gRPC clients do.
const GONE: &str = "error reading from server: EOF";

impl Pool {
    /// One answer for one request.
    ///
    /// # Errors
    /// The member's refusal; `Unavailable` when no member can be reached, or the connection broke and `repeat` forbids another try.
    pub async fn unary<Q, A>(
        &self,
        path: &'static str,
        context: &Context,
        message: Q,
        repeat: Repeat,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.check_size(&message)?;
        // each endpoint may break once under a read, and all of them may be dialled anew
        let mut tries = 2 * self.endpoints().len().max(1);
        loop {
            let (_, channel) = self.next().await?;
            let mut grpc = self.grpc(channel);
            let request = with(context, message.clone());
            let answer = match ready(&mut grpc).await {
                Ok(()) => grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await,
                Err(why) => Err(why),
            };
            let why = match answer {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(why) => why,
            };
            tries -= 1;
            let may_repeat = broke(&why) && (repeat == Repeat::Safe || was_never_sent(&why));
            if !may_repeat || tries == 0 {
                return Err(told(why));
            }
        }
    }

    /// Many answers for one request.
    ///
    /// # Errors
    /// As [`Self::unary`], without another try.
    pub async fn answers<Q, A>(&self, path: &'static str, context: &Context, message: Q) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let (_, channel) = self.next().await?;
        let mut grpc = self.grpc(channel);
        ready(&mut grpc).await.map_err(told)?;
        let path = PathAndQuery::from_static(path);
        let answers = grpc.server_streaming(with(context, message), path, ProstCodec::<Q, A>::default()).await;
        answers.map(tonic::Response::into_inner).map_err(told)
    }

    /// Requests and answers side by side.
    ///
    /// # Errors
    /// As [`Self::answers`].
    pub async fn talk<Q, A>(
        &self,
        path: &'static str,
        context: &Context,
        requests: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let (_, channel) = self.next().await?;
        let mut grpc = self.grpc(channel);
        ready(&mut grpc).await.map_err(told)?;
        let path = PathAndQuery::from_static(path);
        let answers = grpc.streaming(with(context, requests), path, ProstCodec::<Q, A>::default()).await;
        answers.map(tonic::Response::into_inner).map_err(told)
    }

    /// Passes a call on as it is, whatever it is, and its answer back.
    pub async fn pass(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (_, channel) = match self.next().await {
            Ok(found) => found,
            Err(why) => return why.into_http(),
        };
        let (mut head, body) = request.into_parts();
        head.version = http::Version::HTTP_2;
        head.extensions.clear();
        match channel.oneshot(http::Request::from_parts(head, body)).await {
            Ok(answer) => answer.map(|body| Body::new(Passed { body, is_over: false })),
            Err(_) => Status::unavailable(GONE).into_http(),
        }
    }

    fn grpc(&self, channel: Channel) -> Grpc<Channel> {
        Grpc::new(channel).max_decoding_message_size(self.config().max_receive).max_encoding_message_size(usize::MAX)
    }

    fn check_size(&self, message: &impl Message) -> Result<(), Status> {
        let (size, most) = (message.encoded_len(), self.config().max_send);
        if size > most {
            let why = format!("trying to send message larger than max ({size} vs. {most})");
            return Err(Status::resource_exhausted(why));
        }
        Ok(())
    }
}

fn with<T>(context: &Context, body: T) -> Request<T> {
    let mut request = Request::new(body);
    context.write(request.metadata_mut());
    request
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|why| Status::from_error(Box::new(why)))
}

/// Whether the connection is gone: a member's own refusals come without a source.
fn broke(status: &Status) -> bool {
    status.source().is_some() && !matches!(status.code(), Code::DeadlineExceeded | Code::OutOfRange)
}

/// Whether the connection was gone before the call: the connector of a channel gives its socket away once, and says so with this error.
fn was_never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(why) = cause {
        if why.downcast_ref::<std::io::Error>().is_some_and(|why| why.kind() == std::io::ErrorKind::NotConnected) {
            return true;
        }
        cause = why.source();
    }
    false
}

/// What a client is told: code, text and details of the member's refusal, nothing of the connection to it.
pub(crate) fn told(status: Status) -> Status {
    if broke(&status) {
        return Status::unavailable(GONE);
    }
    Status::with_details(status.code(), status.message(), Bytes::copy_from_slice(status.details()))
}

/// The body of an answer. When the member's connection breaks under it, it ends with a status instead of a reset.
struct Passed {
    body: Body,
    is_over: bool,
}

impl hyper::body::Body for Passed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Err(_)) = frame else { return Poll::Ready(frame) };
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        // a text of ours always fits into a header
        let _ = Status::unavailable(GONE).add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }
}
