//! From bytes to typed calls and back, for the methods that are more than passed on.

use futures_util::Stream;
use prost::Message;
use std::future::Future;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Answers one request with one message. `limit` is the largest request in bytes.
pub(super) async fn unary<Q, A, F>(
    request: http::Request<Body>,
    limit: usize,
    handler: impl FnMut(Request<Q>) -> F + Send,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Response<A>, Status>> + Send,
{
    grpc::<Q, A>(limit).unary(tower::service_fn(handler), request).await
}

/// Answers one request with a stream.
pub(super) async fn answers<Q, A, F, S>(
    request: http::Request<Body>,
    limit: usize,
    handler: impl FnMut(Request<Q>) -> F + Send,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Response<S>, Status>> + Send,
    S: Stream<Item = Result<A, Status>> + Send + 'static,
{
    grpc::<Q, A>(limit).server_streaming(tower::service_fn(handler), request).await
}

/// Requests and answers side by side.
pub(super) async fn talk<Q, A, F, S>(
    request: http::Request<Body>,
    limit: usize,
    handler: impl FnMut(Request<Streaming<Q>>) -> F + Send,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Response<S>, Status>> + Send,
    S: Stream<Item = Result<A, Status>> + Send + 'static,
{
    grpc::<Q, A>(limit).streaming(tower::service_fn(handler), request).await
}

fn grpc<Q, A>(limit: usize) -> Grpc<ProstCodec<A, Q>>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(limit).max_encoding_message_size(usize::MAX)
}
