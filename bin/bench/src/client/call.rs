//! One call: its messages out and in, and the status at its end.
//!
//! Must not decode messages.

use super::frames::Frames;
use super::status::{CallError, Code};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};

/// The sending side of a call.
pub struct Outbound {
    pub(super) stream: SendStream<Bytes>,
}

impl Outbound {
    /// Sends a framed message; more may follow.
    ///
    /// # Errors
    /// The stream is over.
    pub fn send(&mut self, body: Bytes) -> Result<(), CallError> {
        self.stream.send_data(body, false).map_err(CallError::from)
    }

    /// Sends a framed message and ends this side.
    ///
    /// # Errors
    /// The stream is over.
    pub fn send_last(&mut self, body: Bytes) -> Result<(), CallError> {
        self.stream.send_data(body, true).map_err(CallError::from)
    }
}

/// The receiving side of a call. Dropping it before its end cancels the call.
pub struct Inbound {
    head: Option<ResponseFuture>,
    body: Option<RecvStream>,
    frames: Frames,
}

impl Inbound {
    pub(super) fn new(head: ResponseFuture) -> Self {
        Self { head: Some(head), body: None, frames: Frames::default() }
    }

    /// The body, once the head of the answer is there. `None`: the call ended well without a body.
    async fn body(&mut self) -> Result<Option<&mut RecvStream>, CallError> {
        if let Some(head) = self.head.take() {
            let response = head.await?;
            if response.status() != http::StatusCode::OK {
                return Err(CallError::new(Code::Unknown, format!("HTTP status {}", response.status().as_u16())));
            }
            let ended = response.body().is_end_stream();
            if ended || response.headers().contains_key("grpc-status") {
                CallError::of(response.headers())?;
                return Ok(None);
            }
            self.body = Some(response.into_body());
        }
        Ok(self.body.as_mut())
    }

    /// The next message, `None` after the last one of a call that ended well.
    ///
    /// # Errors
    /// The status of the call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(message) = self.frames.next()? {
                return Ok(Some(message));
            }
            let Some(body) = self.body().await? else { return Ok(None) };
            match body.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    body.flow_control().release_capacity(chunk.len())?;
                    self.frames.push(chunk);
                }
                None => return self.end().await.map(|()| None),
            }
        }
    }

    /// Reads to the end and drops what comes; returns the bytes of all messages with their prefixes.
    ///
    /// # Errors
    /// The status of the call.
    pub async fn discard(mut self) -> Result<u64, CallError> {
        let mut bytes = 0;
        let Some(body) = self.body().await? else { return Ok(0) };
        while let Some(chunk) = body.data().await {
            let len = chunk?.len();
            bytes += len as u64;
            body.flow_control().release_capacity(len)?;
        }
        self.end().await.map(|()| bytes)
    }

    /// Waits for the end of a call whose last message has been taken.
    ///
    /// # Errors
    /// The status of the call.
    pub(super) async fn finish(self) -> Result<(), CallError> {
        self.discard().await.map(drop)
    }

    async fn end(&mut self) -> Result<(), CallError> {
        let Some(mut body) = self.body.take() else { return Ok(()) };
        match body.trailers().await? {
            Some(trailers) => CallError::of(&trailers),
            None => Err(CallError::new(Code::Internal, "server closed the stream without sending trailers".into())),
        }
    }
}
