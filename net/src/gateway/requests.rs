//! The messages of a request's body, one after the other: JSON values with anything or nothing between them, as Go's decoder takes them.
//!
//! A value is bounded and counted while it grows, and gone when its message is made. A client that stops in the middle of one is not
//! waited for; one that is silent between two of them is.

use super::json::{Found, Scanner, decode};
use crate::door::{Code, DoorLimits, HttpInput, LoopHandle, RequestRoom, Status};
use api::schema::Message;
use bytes::{Buf, Bytes, BytesMut};
use std::time::Duration;
use tokio::time::timeout;

/// What comes next.
pub(super) enum NextMessage {
    /// A message.
    Message(Bytes),
    /// Nothing more.
    End,
    /// Something that is none.
    Refused(Status),
    /// The client is gone.
    Gone,
}

/// Bounds of messages.
struct Bounds {
    json: usize,
    message: usize,
    idle: Duration,
    busy: Status,
}

/// Reads the messages of a body.
pub(super) struct Requests {
    input: HttpInput,
    of: &'static Message,
    bounds: Bounds,
    room: RequestRoom,
    /// What was read and belongs to no message yet.
    rest: Bytes,
}

/// Bytes that are read and thrown away behind a value, so that a client that still writes hears the answer.
const MOST_PASSED_OVER: usize = 64 << 20;

impl Requests {
    pub(super) fn new(handle: &LoopHandle, input: HttpInput, of: &'static Message) -> Self {
        let limits: &DoorLimits = handle.limits();
        let bounds = Bounds {
            json: limits.max_json_request(),
            message: limits.max_recv_message,
            idle: limits.body_idle,
            busy: limits.busy.clone(),
        };
        Self { input, of, bounds, room: handle.request_room(), rest: Bytes::new() }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> NextMessage {
        let next = self.read().await;
        self.room.clear();
        next
    }

    async fn read(&mut self) -> NextMessage {
        let mut scanner = Scanner::default();
        let mut value = BytesMut::new();
        loop {
            if self.rest.is_empty() {
                match self.piece(scanner.has_begun()).await {
                    Ok(Some(piece)) => self.rest = piece,
                    Ok(None) => {
                        return match scanner.end() {
                            Ok(true) => self.message(&value),
                            Ok(false) => NextMessage::End,
                            Err(why) => NextMessage::Refused(invalid(why)),
                        };
                    }
                    Err(next) => return next,
                }
            }
            let found = match scanner.feed(&self.rest) {
                Ok(found) => found,
                Err(why) => return NextMessage::Refused(invalid(why)),
            };
            let taken = match found {
                Found::End(at) => at,
                Found::More => self.rest.len(),
            };
            let mut part = self.rest.split_to(taken);
            if value.is_empty() {
                part.advance(part.iter().take_while(|byte| byte.is_ascii_whitespace()).count());
            }
            let length = value.len() + part.len();
            if length > self.bounds.json {
                return NextMessage::Refused(self.too_large(&format!("more than {} bytes of JSON", self.bounds.json)));
            }
            match found {
                Found::End(_) if value.is_empty() => return self.message(&part),
                _ if !self.room.grow(length) => return NextMessage::Refused(self.bounds.busy.clone()),
                _ => value.extend_from_slice(&part),
            }
            if let Found::End(_) = found {
                return self.message(&value);
            }
        }
    }

    /// The next bytes. Inside a value they must come in time.
    async fn piece(&mut self, in_time: bool) -> Result<Option<Bytes>, NextMessage> {
        let piece = match in_time {
            true => timeout(self.bounds.idle, self.input.piece()).await.map_err(|_| {
                let text = "the request message did not arrive in time";
                NextMessage::Refused(Status::new(Code::DeadlineExceeded, text))
            })?,
            false => self.input.piece().await,
        };
        piece.transpose().map_err(|_| NextMessage::Gone)
    }

    fn message(&self, value: &[u8]) -> NextMessage {
        match decode(value, self.of) {
            Ok(message) if message.len() > self.bounds.message => {
                NextMessage::Refused(self.too_large(&message.len().to_string()))
            }
            Ok(message) => NextMessage::Message(message),
            Err(why) => NextMessage::Refused(invalid(why)),
        }
    }

    fn too_large(&self, what: &str) -> Status {
        let text = format!("grpc: received message larger than max ({what} vs. {})", self.bounds.message);
        Status::new(Code::ResourceExhausted, text)
    }

    /// Reads on and throws away, until the client has said everything. False when it is gone.
    pub(super) async fn pass_over_rest(&mut self) -> bool {
        let mut passed = 0;
        self.rest.clear();
        if self.input.is_pipe() {
            return true;
        }
        while passed < MOST_PASSED_OVER {
            match timeout(self.bounds.idle, self.input.piece()).await {
                Ok(Some(Ok(piece))) => passed += piece.len(),
                Ok(Some(Err(_))) => return false,
                Ok(None) | Err(_) => return true,
            }
        }
        true
    }
}

fn invalid(why: String) -> Status {
    Status::new(Code::InvalidArgument, why)
}
