//! Waits for the first bytes of a server.
//!
//! A connection counts as open only when the other side speaks: a server that wants a certificate, or speaks something else, takes the
//! connection and closes it. gRPC clients tell these from a connection that breaks later.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// What the other side did first.
#[derive(Clone, Default)]
pub struct First(Arc<State>);

#[derive(Default)]
struct State {
    seen: Mutex<Option<Result<(), String>>>,
    changed: Notify,
}

impl First {
    /// Comes back with the first bytes.
    ///
    /// # Errors
    /// Why there were none.
    pub async fn bytes(&self) -> Result<(), String> {
        loop {
            let changed = self.0.changed.notified();
            if let Some(seen) = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return seen;
            }
            changed.await;
        }
    }

    fn set(&self, what: Result<(), String>) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() {
            *seen = Some(what);
            self.0.changed.notify_waiters();
        }
    }
}

/// A socket whose first bytes are noticed.
pub struct Noticed<S> {
    /// The socket.
    pub socket: S,
    /// Who is told.
    pub first: First,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noticed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.first.set(Ok(())),
            Poll::Ready(Ok(())) => self.first.set(Err("EOF".into())),
            Poll::Ready(Err(why)) => self.first.set(Err(super::dial::tls_text(why))),
            Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noticed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
