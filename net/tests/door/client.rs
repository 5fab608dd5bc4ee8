//! A tonic client that sends raw bytes to any method.

use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt};
use std::net::SocketAddr;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

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

pub async fn connect(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).expect("uri").connect().await.expect("connects")
}

async fn ready(channel: &Channel) -> tonic::client::Grpc<Channel> {
    let mut grpc = tonic::client::Grpc::new(channel.clone())
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    grpc.ready().await.expect("ready");
    grpc
}

pub async fn unary(channel: &Channel, path: &'static str, request: Request<Bytes>) -> Result<Bytes, Status> {
    let path = http::uri::PathAndQuery::from_static(path);
    ready(channel).await.unary(request, path, Raw).await.map(tonic::Response::into_inner)
}

pub async fn echo(channel: &Channel, path: &'static str, body: impl Into<Bytes>) -> Result<Bytes, Status> {
    unary(channel, path, Request::new(body.into())).await
}

pub async fn server_stream(channel: &Channel, path: &'static str, body: Bytes) -> Result<Streaming<Bytes>, Status> {
    let path = http::uri::PathAndQuery::from_static(path);
    let mut grpc = ready(channel).await;
    grpc.server_streaming(Request::new(body), path, Raw).await.map(tonic::Response::into_inner)
}

pub async fn bidi(
    channel: &Channel,
    path: &'static str,
    messages: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    let path = http::uri::PathAndQuery::from_static(path);
    let mut grpc = ready(channel).await;
    grpc.streaming(Request::new(messages.boxed()), path, Raw).await.map(tonic::Response::into_inner)
}
