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
pub struct FirstBytes(Arc<State>);

#[derive(Default)]
struct State {
    seen: Mutex<Option<Result<(), String>>>,
    changed: Notify,
}

impl FirstBytes {
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

/// Largest frame before anything else is agreed.
const LARGEST: usize = 16_384;
/// Length of a frame's head.
const HEAD: usize = 9;

/// HTTP/2 begins with a frame: a server that speaks something else begins with what cannot be one. An alert of TLS is shorter than its head.
fn frame(bytes: &[u8]) -> Result<(), String> {
    let [high, middle, low, ..] = bytes else { return Ok(()) };
    if [*high, *middle, *low].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)) <= LARGEST {
        return Ok(());
    }
    Err(if bytes.len() < HEAD {
        "unexpected EOF"
    } else if bytes.starts_with(b"HTTP/1.1") {
        "http2: failed reading the frame payload: http2: frame too large, \
         note that the frame header looked like an HTTP/1.1 header"
    } else {
        "http2: frame too large"
    }
    .into())
}

/// A socket whose first bytes are noticed.
pub struct Noticed<S> {
    /// The socket.
    pub socket: S,
    /// Who is told.
    pub first: FirstBytes,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noticed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.first.set(frame(&buf.filled()[before..])),
            Poll::Ready(Ok(())) => self.first.set(Err("EOF".into())),
            Poll::Ready(Err(why)) => self.first.set(Err(super::tls_text::tls_text(why))),
            Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noticed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.noticed_write(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.noticed_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> Noticed<S> {
    /// Who cannot write any more may still read why: an alert lies before the end of the stream, and a broken socket always has an end.
    fn noticed_write<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(why)) = &done else { return done };
        let mut byte = [0];
        match Pin::new(&mut self.socket).poll_read(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(alert)) => self.first.set(Err(super::tls_text::tls_text(&alert))),
            Poll::Ready(Ok(())) => self.first.set(Err(super::tls_text::tls_text(why))),
        }
        done
    }
}

impl<S> Drop for Noticed<S> {
    fn drop(&mut self) {
        // whoever waits must not wait for a socket that is gone
        self.first.set(Err("EOF".into()));
    }
}
