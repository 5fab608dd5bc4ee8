//! Calls by path and bytes: for tests that ask every method alike.
//!
//! Must never interpret a message.

use bytes::{Buf, BufMut, Bytes};
use futures_util::{StreamExt, stream};
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// What came first on a stream.
#[derive(Debug)]
pub enum FirstAnswer {
    /// A message.
    Message(Bytes),
    /// The end, without an error.
    End,
    /// Nothing for as long as was waited.
    Nothing,
}

/// Messages as their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

fn request<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("token", token.parse().expect("a token is plain text"));
    }
    request
}

async fn ready(channel: &Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|why| Status::unknown(why.to_string()))?;
    Ok(client)
}

/// Calls a unary method.
///
/// # Errors
/// The server's.
pub async fn unary(channel: &Channel, path: &'static str, body: Bytes, token: Option<&str>) -> Result<Bytes, Status> {
    let mut client = ready(channel).await?;
    let answer = client.unary(request(body, token), PathAndQuery::from_static(path), Raw).await?;
    Ok(answer.into_inner())
}

/// Calls a method with one request and reads to the end. A stream and a single call look the same here.
///
/// # Errors
/// The server's.
pub async fn drain(channel: &Channel, path: &'static str, body: Bytes) -> Result<(), Status> {
    let mut client = ready(channel).await?;
    let requests = stream::iter([body]);
    let mut answers =
        client.streaming(request(requests, None), PathAndQuery::from_static(path), Raw).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

/// Opens a stream with one request and waits for what comes first. A method with a stream of requests gets no end of them.
///
/// # Errors
/// The server's.
pub async fn first_of_stream(
    channel: &Channel,
    path: &'static str,
    body: Bytes,
    token: Option<&str>,
    is_bidi: bool,
    patience: Duration,
) -> Result<FirstAnswer, Status> {
    let mut client = ready(channel).await?;
    let one = stream::once(async move { body });
    let requests = if is_bidi { one.chain(stream::pending()).boxed() } else { one.boxed() };
    let first = async {
        let answer = client.streaming(request(requests, token), PathAndQuery::from_static(path), Raw).await?;
        match answer.into_inner().message().await? {
            Some(message) => Ok(FirstAnswer::Message(message)),
            None => Ok(FirstAnswer::End),
        }
    };
    tokio::time::timeout(patience, first).await.unwrap_or(Ok(FirstAnswer::Nothing))
}
