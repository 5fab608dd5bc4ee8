//! A connection that speaks WebSocket: frames to the body of a request, lines of its answer to frames.
//!
//! Both directions go on beside each other. Nothing is read while what came was not taken, and nothing is made while the client takes
//! none of what was. Must end when either side has.

use super::frame::{Decoder, Event, LineFrames, Opcode, Violation, close_code, write};
use crate::door::{Gone, HttpBody, InputPipe, Upgraded};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{LocalBoxStream, empty, iter};
use http::Response;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

/// Bytes that are read at a time.
const READ: usize = 8 << 10;
/// How long a good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(5);
/// All was said.
const NORMAL: u16 = 1000;
/// The other side broke the protocol.
const PROTOCOL_ERROR: u16 = 1002;

/// Serves one request over the connection.
pub(super) async fn serve(io: Upgraded, pipe: InputPipe, answer: LocalBoxFuture<'static, Response<HttpBody>>) {
    let (mut reader, writer) = split(io);
    let controls = Rc::<RefCell<Controls>>::default();
    let writing = write_all(writer, Answer::Waiting(answer), controls.clone());
    let mut writing = std::pin::pin!(writing);
    let good_bye = tokio::select! {
        read = read_all(&mut reader, &pipe, &controls) => match read {
            Ok(payload) => payload,
            // the client is gone: what was under way is dropped, which cancels it
            Err(_) => return,
        },
        written = &mut writing => {
            match written {
                // what the client still sends must not reset the connection before it has read the answer
                Ok(()) => drop(timeout(GOOD_BYE, pass_over(&mut reader)).await),
                Err(error) => tracing::debug!(%error, "WebSocket connection ended"),
            }
            return;
        }
    };
    controls.borrow_mut().close(good_bye);
    // an error here means that the client is gone, or does not take its good-bye
    let _ = timeout(GOOD_BYE, writing).await;
}

/// Control frames that wait to be written between others.
#[derive(Default)]
struct Controls {
    /// Payload of the last ping: earlier ones need no answer any more.
    pong: Option<Bytes>,
    close: Option<Bytes>,
    writer: Option<Waker>,
}

impl Controls {
    fn pong(&mut self, payload: Bytes) {
        self.pong = Some(payload);
        self.writer.take().inspect(Waker::wake_by_ref);
    }

    fn close(&mut self, payload: Bytes) {
        self.close = Some(payload);
        self.writer.take().inspect(Waker::wake_by_ref);
    }
}

/// Reads until the client says good-bye or breaks the protocol: the payload of the last frame that it gets.
async fn read_all(
    reader: &mut ReadHalf<Upgraded>,
    pipe: &InputPipe,
    controls: &RefCell<Controls>,
) -> io::Result<Bytes> {
    let mut decoder = Decoder::default();
    let mut input = BytesMut::new();
    loop {
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Data { piece, ends })) => {
                    poll_fn(|cx| pipe.poll_taken(cx)).await;
                    if !piece.is_empty() {
                        pipe.put(piece);
                    }
                    if ends {
                        // as etcd's proxy does: a number ends with its message
                        poll_fn(|cx| pipe.poll_taken(cx)).await;
                        pipe.put(Bytes::from_static(b"\n"));
                    }
                }
                Ok(Some(Event::Ping(payload))) => controls.borrow_mut().pong(payload),
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(payload))) => return Ok(payload.slice(..payload.len().min(2))),
                Err(Violation) => return Ok(close_code(PROTOCOL_ERROR)),
            }
        }
        input.reserve(READ);
        if reader.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads until the client has closed its side.
async fn pass_over(reader: &mut ReadHalf<Upgraded>) {
    let mut buffer = [0; 1024];
    while reader.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
}

/// The answer to the request.
enum Answer {
    Waiting(LocalBoxFuture<'static, Response<HttpBody>>),
    Coming(LocalBoxStream<'static, Result<Bytes, Gone>>),
}

impl Answer {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        loop {
            match self {
                Self::Waiting(answer) => {
                    *self = Self::Coming(match std::task::ready!(answer.as_mut().poll(cx)).into_body() {
                        HttpBody::Full(bytes) => iter([Ok(bytes), Ok(Bytes::from_static(b"\n"))]).boxed_local(),
                        HttpBody::Stream(stream) => stream,
                        HttpBody::Upgrade(_) => empty().boxed_local(),
                    });
                }
                Self::Coming(stream) => return stream.poll_next_unpin(cx),
            }
        }
    }
}

enum Turn {
    Pong(Bytes),
    Close(Bytes),
    Piece(Bytes),
    Over(Result<(), Gone>),
}

/// Writes the answer, and control frames between its frames.
async fn write_all(
    mut writer: WriteHalf<Upgraded>,
    mut answer: Answer,
    controls: Rc<RefCell<Controls>>,
) -> io::Result<()> {
    let mut frames = LineFrames::default();
    loop {
        let turn = poll_fn(|cx| {
            let mut controls = controls.borrow_mut();
            if let Some(payload) = controls.close.take() {
                return Poll::Ready(Turn::Close(payload));
            }
            if let Some(payload) = controls.pong.take() {
                return Poll::Ready(Turn::Pong(payload));
            }
            controls.writer = Some(cx.waker().clone());
            drop(controls);
            answer.poll_piece(cx).map(|piece| match piece {
                Some(Ok(piece)) => Turn::Piece(piece),
                Some(Err(Gone)) => Turn::Over(Err(Gone)),
                None => Turn::Over(Ok(())),
            })
        });
        let mut out = Vec::new();
        let is_last = match turn.await {
            Turn::Pong(payload) => {
                write(&mut out, Opcode::Pong, true, &payload);
                false
            }
            Turn::Piece(piece) => {
                frames.write(&mut out, &piece);
                false
            }
            Turn::Close(payload) => {
                write(&mut out, Opcode::Close, true, &payload);
                true
            }
            Turn::Over(Ok(())) => {
                frames.finish(&mut out);
                write(&mut out, Opcode::Close, true, &close_code(NORMAL));
                true
            }
            Turn::Over(Err(Gone)) => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        writer.write_all(&out).await?;
        writer.flush().await?;
        if is_last {
            return writer.shutdown().await;
        }
    }
}
