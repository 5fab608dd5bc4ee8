//! The body of a plain HTTP request as it comes: read piece by piece by whoever wants it, and held back by not being read.
//!
//! Must never hold more than one piece.

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::{Body as _, Incoming};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The client is gone, or what it sends is no body; of an answer: it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side is gone")]
pub struct Gone;

/// The body of a request.
pub struct HttpInput(Kind);

enum Kind {
    Nothing,
    H1(Incoming),
    H2(RecvStream),
    Pipe(Rc<RefCell<PipeState>>),
}

#[derive(Default)]
struct PipeState {
    piece: Option<Bytes>,
    /// Nothing more comes.
    ended: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The other end of a body that is made inside the process. Dropped, the body ends.
pub struct InputPipe(Rc<RefCell<PipeState>>);

impl HttpInput {
    /// A body without a byte.
    pub fn nothing() -> Self {
        Self(Kind::Nothing)
    }

    pub(super) fn h1(body: Incoming) -> Self {
        Self(if body.is_end_stream() { Kind::Nothing } else { Kind::H1(body) })
    }

    pub(super) fn h2(body: RecvStream) -> Self {
        Self(if body.is_end_stream() { Kind::Nothing } else { Kind::H2(body) })
    }

    /// A body made inside the process.
    pub fn pipe() -> (InputPipe, Self) {
        let state = Rc::<RefCell<PipeState>>::default();
        (InputPipe(state.clone()), Self(Kind::Pipe(state)))
    }

    /// The next piece; `None` behind the last one.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        match &mut self.0 {
            Kind::Nothing => Poll::Ready(None),
            Kind::H1(body) => loop {
                let Some(frame) = std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) else {
                    return Poll::Ready(None);
                };
                match frame.map(|frame| frame.into_data()) {
                    Ok(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                    // trailers mean nothing here
                    Ok(Err(_)) => {}
                    Err(_) => return Poll::Ready(Some(Err(Gone))),
                }
            },
            Kind::H2(body) => body.poll_data(cx).map(|piece| {
                let piece = piece?.map_err(|_| Gone);
                if let Ok(piece) = &piece {
                    // an error means that the client is gone, which the next look tells
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                Some(piece)
            }),
            Kind::Pipe(state) => {
                let mut state = state.borrow_mut();
                if let Some(piece) = state.piece.take() {
                    state.writer.take().inspect(Waker::wake_by_ref);
                    return Poll::Ready(Some(Ok(piece)));
                }
                if state.ended {
                    return Poll::Ready(None);
                }
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// True for a body that is made inside the process: it may go on for as long as its client likes, who waits for answers meanwhile.
    pub fn is_pipe(&self) -> bool {
        matches!(self.0, Kind::Pipe(_))
    }

    /// As [`Self::poll_piece`].
    pub async fn piece(&mut self) -> Option<Result<Bytes, Gone>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }
}

impl InputPipe {
    /// Waits until the last piece was taken, or nobody takes any.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.piece.is_none() || state.abandoned {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands on a piece. The one before it must have been taken.
    pub fn put(&self, piece: Bytes) {
        let mut state = self.0.borrow_mut();
        state.piece = Some(piece);
        state.reader.take().inspect(Waker::wake_by_ref);
    }
}

impl Drop for HttpInput {
    fn drop(&mut self) {
        if let Kind::Pipe(state) = &self.0 {
            let mut state = state.borrow_mut();
            state.abandoned = true;
            state.writer.take().inspect(Waker::wake_by_ref);
        }
    }
}

impl Drop for InputPipe {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        state.ended = true;
        state.reader.take().inspect(Waker::wake_by_ref);
    }
}
