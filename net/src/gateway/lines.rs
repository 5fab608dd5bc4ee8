//! Messages of a stream as lines of JSON, made piece by piece while they are taken.
//!
//! Holds one message at most. A line ends in a newline and has none inside.

use super::json::{Encoder, Escapes, Malformed};
use super::reply::status_json;
use crate::door::{Code, Gone, LocalStream, Message as Sent, Status};
use api::schema::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Bytes of a message that become a piece of a line: in base64 they are 64 KiB.
const PIECE: usize = 48 << 10;

/// The lines of a stream.
pub(super) struct Lines {
    stream: Rc<RefCell<LocalStream>>,
    of: &'static Message,
    line: Option<Line>,
    over: bool,
}

/// A line that is not whole.
struct Line {
    encoder: Encoder,
    pieces: VecDeque<Bytes>,
    /// Bytes of the message that the stream has not given.
    missing: usize,
}

/// What the first item of a stream says about the answer.
pub(super) enum FirstItem {
    /// There are lines; the first piece of them.
    Piece(Bytes),
    /// The stream failed before its first message; the line that says so.
    Failed(Code, Bytes),
    /// It ended before its first message.
    Nothing,
}

impl Lines {
    pub(super) fn new(stream: Rc<RefCell<LocalStream>>, of: &'static Message) -> Self {
        Self { stream, of, line: None, over: false }
    }

    /// The first piece.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<FirstItem, Gone>> {
        let next = ready!(self.stream.borrow_mut().poll_next_unpin(cx));
        Poll::Ready(match next {
            Some(Ok(message)) => self.begin(message).map(FirstItem::Piece),
            Some(Err(Status { code: Code::Ok, .. })) | None => Ok(FirstItem::Nothing),
            Some(Err(status)) => Ok(FirstItem::Failed(status.code, self.last(&status))),
        })
    }

    /// The next piece; `None` behind the last line.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if self.line.as_ref().is_some_and(|line| !line.pieces.is_empty()) {
                return Poll::Ready(Some(self.go_on(Vec::new())));
            }
            let next = ready!(self.stream.borrow_mut().poll_next_unpin(cx));
            let piece = match next {
                Some(Ok(message)) if self.line.is_some() => self.more(message),
                Some(Ok(message)) => self.begin(message),
                Some(Err(Status { code: Code::Ok, .. })) | None => {
                    self.over = true;
                    continue;
                }
                // in the middle of a line nothing can be said any more
                Some(Err(_)) if self.line.is_some() => Err(Gone),
                Some(Err(status)) => Ok(self.last(&status)),
            };
            if matches!(&piece, Ok(piece) if piece.is_empty()) {
                continue;
            }
            return Poll::Ready(Some(piece));
        }
    }

    fn begin(&mut self, message: Sent) -> Result<Bytes, Gone> {
        let missing = match &message {
            Sent::First(total, piece) => total.saturating_sub(piece.len()),
            Sent::One(_) | Sent::Many(_) | Sent::More(_) => 0,
        };
        let mut out = b"{\"result\":".to_vec();
        let encoder = Encoder::new(self.of, Escapes::Html, &mut out);
        self.line = Some(Line { encoder, pieces: message.into_pieces().into(), missing });
        self.go_on(out)
    }

    fn more(&mut self, message: Sent) -> Result<Bytes, Gone> {
        if let Some(line) = &mut self.line {
            line.missing = line.missing.saturating_sub(message.len());
            line.pieces.extend(message.into_pieces());
        }
        self.go_on(Vec::new())
    }

    /// Writes the next piece of the line, behind what `out` has already.
    fn go_on(&mut self, mut out: Vec<u8>) -> Result<Bytes, Gone> {
        let Some(line) = &mut self.line else { return Ok(out.into()) };
        let mut room = PIECE;
        while let Some(piece) = line.pieces.front_mut().filter(|_| room > 0) {
            let part = piece.split_to(piece.len().min(room));
            room -= part.len();
            if piece.is_empty() {
                line.pieces.pop_front();
            }
            line.encoder.push(&part, &mut out).map_err(|Malformed| broken(self.of))?;
        }
        if line.pieces.is_empty() && line.missing == 0 {
            let line = self.line.take().ok_or(Gone)?;
            line.encoder.finish(&mut out).map_err(|Malformed| broken(self.of))?;
            out.extend_from_slice(b"}\n");
        }
        Ok(out.into())
    }

    /// The last line: why the stream failed.
    fn last(&mut self, status: &Status) -> Bytes {
        self.over = true;
        let mut out = b"{\"error\":".to_vec();
        out.extend_from_slice(&status_json(status, true));
        out.extend_from_slice(b"}\n");
        out.into()
    }
}

fn broken(of: &Message) -> Gone {
    tracing::error!(message = of.name, "a message of a stream is not that of its method");
    Gone
}
