//! A connection that has left HTTP/1.1 for another protocol: the bytes as they come and go.

use super::io::Io;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a connection whose HTTP is over.
pub struct Upgraded(Io);

/// Goes on with a connection behind an answer of 101. The connection is closed when the future ends.
pub type UpgradeFn = Box<dyn FnOnce(Upgraded) -> LocalBoxFuture<'static, ()>>;

impl Upgraded {
    /// `ahead` was read behind the request.
    pub(super) fn new(mut io: Io, ahead: Bytes) -> Self {
        io.ahead = [ahead, std::mem::take(&mut io.ahead)].concat().into();
        Self(io)
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
