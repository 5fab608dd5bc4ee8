//! gRPC calls over bare HTTP/2, read piece by piece: a client that takes a big answer without holding it, or does not take it.
//!
//! Must never keep a message: fields are counted as they pass, bytes go into a checksum.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A connection of its own.
#[derive(Clone)]
pub struct Raw {
    send: SendRequest<Bytes>,
}

/// A call under way: the requests' side and, once headers came, the answers'.
pub struct Call {
    /// Where further messages of a stream go.
    pub requests: SendStream<Bytes>,
    answer: h2::client::ResponseFuture,
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// `grpc-status`; `None` when the stream was reset or the connection went.
    pub code: Option<u32>,
    /// `grpc-message`, or what the transport said.
    pub text: String,
    /// What was read.
    pub seen: Seen,
}

impl Ended {
    /// True for OK.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// True for etcd's refusal of load, with the code of its table or the one it sends.
    pub fn is_refused(&self) -> bool {
        matches!(self.code, Some(2 | 8)) && self.text == "etcdserver: too many requests"
    }
}

/// What passed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whole messages.
    pub messages: u64,
    /// Bytes of messages.
    pub bytes: u64,
    /// Largest message.
    pub largest: u64,
    /// Checksum over all bytes of messages, in order.
    pub crc: u32,
    /// Top-level fields by number, up to 15.
    pub fields: [u64; 16],
}

impl Raw {
    /// Connects with these windows.
    ///
    /// # Errors
    /// What the socket or the handshake said.
    pub async fn connect(address: SocketAddr, window: u32) -> Result<Self, String> {
        let socket = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        // an answer is pulled in pieces of the window: Nagle's wait would be measured otherwise
        socket.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut builder = Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(window).max_frame_size(64 << 10);
        let (send, connection) = builder.handshake(socket).await.map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            // the caller sees the end of its calls
            let _ = connection.await;
        });
        Ok(Self { send: send.ready().await.map_err(|e| e.to_string())? })
    }

    /// Sends a request; with `last` nothing follows it.
    ///
    /// # Errors
    /// What the transport said.
    pub async fn call(&mut self, path: &str, request: &impl Message, last: bool) -> Result<Call, String> {
        let head = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|e| e.to_string())?;
        let mut ready = self.send.clone().ready().await.map_err(|e| e.to_string())?;
        let (answer, mut requests) = ready.send_request(head, false).map_err(|e| e.to_string())?;
        requests.send_data(framed(request), last).map_err(|e| e.to_string())?;
        Ok(Call { requests, answer })
    }

    /// A unary or server-streaming call, read to its end.
    pub async fn run(&mut self, path: &str, request: &impl Message) -> Ended {
        match self.call(path, request, true).await {
            Ok(call) => call.drain(|_| true).await,
            Err(text) => Ended { text, ..Ended::default() },
        }
    }
}

/// A message with its gRPC prefix.
pub fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut out = Vec::with_capacity(5 + body.len());
    out.push(0);
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out.into()
}

impl Call {
    /// Reads until the end, or until `go_on` says that enough was seen (asked after each piece).
    pub async fn drain(self, mut go_on: impl FnMut(&Seen) -> bool) -> Ended {
        let lost = |why: h2::Error, seen: Seen| Ended { code: None, text: why.to_string(), seen };
        // kept until the end: dropping it would reset an open stream
        let Self { requests: _requests, answer } = self;
        let response = match answer.await {
            Ok(response) => response,
            Err(why) => return lost(why, Seen::default()),
        };
        if let Some(code) = status(response.headers()) {
            return Ended { code: Some(code), text: text(response.headers()), seen: Seen::default() };
        }
        let mut body: RecvStream = response.into_body();
        let mut scan = Scan::default();
        while let Some(piece) = body.data().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(why) => return lost(why, scan.seen),
            };
            scan.push(&piece);
            // the peer may go: then the next piece tells
            let _ = body.flow_control().release_capacity(piece.len());
            if !go_on(&scan.seen) {
                return Ended { code: Some(0), text: String::new(), seen: scan.seen };
            }
        }
        match body.trailers().await {
            Ok(Some(trailers)) => Ended { code: status(&trailers), text: text(&trailers), seen: scan.seen },
            Ok(None) => Ended { code: None, text: "no trailers".into(), seen: scan.seen },
            Err(why) => lost(why, scan.seen),
        }
    }
}

fn status(headers: &http::HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn text(headers: &http::HeaderMap) -> String {
    headers.get("grpc-message").map(|m| String::from_utf8_lossy(m.as_bytes()).into_owned()).unwrap_or_default()
}

/// Where in the stream of messages a scan stands.
#[derive(Debug, Default)]
struct Scan {
    seen: Seen,
    /// Bytes of a prefix, tag or length that is not whole yet.
    part: Vec<u8>,
    /// Bytes left of the message.
    message: u64,
    /// Bytes left of a field's payload.
    payload: u64,
}

impl Scan {
    fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.message == 0 && self.payload == 0 {
                self.prefix(&mut piece);
            } else if self.payload > 0 {
                let n = self.payload.min(piece.len() as u64);
                self.count(&piece[..n as usize]);
                self.payload -= n;
                piece = &piece[n as usize..];
            } else {
                self.count(&piece[..1]);
                self.part.push(piece[0]);
                piece = &piece[1..];
                self.field();
            }
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.seen.crc = crc32c::crc32c_append(self.seen.crc, bytes);
        self.seen.bytes += bytes.len() as u64;
        self.message -= bytes.len() as u64;
        if self.message == 0 {
            self.seen.messages += 1;
        }
    }

    fn prefix(&mut self, piece: &mut &[u8]) {
        self.part.push(piece[0]);
        *piece = &piece[1..];
        if let [_, a, b, c, d] = self.part[..] {
            self.message = u64::from(u32::from_be_bytes([a, b, c, d]));
            self.seen.largest = self.seen.largest.max(self.message);
            self.seen.messages += u64::from(self.message == 0);
            self.part.clear();
        }
    }

    /// Looks whether tag (and length) of a field are whole.
    fn field(&mut self) {
        let mut rest = &self.part[..];
        let Ok(tag) = prost::encoding::decode_varint(&mut rest) else { return };
        let Ok(value) = prost::encoding::decode_varint(&mut rest) else { return };
        self.seen.fields[((tag >> 3) & 15) as usize] += 1;
        // length-delimited is all that has a payload here; the rest are varints
        self.payload = if tag & 7 == 2 { value } else { 0 };
        self.part.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_whatever_the_cuts() {
        let one = b"\0\0\0\0\x09\x0a\x02xy\x12\x01z\x18\x01";
        let two = b"\0\0\0\0\0\0\0\0\0\x03\x12\x01a";
        let wire = [&one[..], &two[..]].concat();
        let mut whole = Scan::default();
        whole.push(&wire);
        assert_eq!((whole.seen.messages, whole.seen.bytes, whole.seen.largest), (3, 12, 9));
        assert_eq!(whole.seen.fields[..4], [0, 1, 2, 1]);
        for cut in 1..wire.len() {
            let mut scan = Scan::default();
            wire.chunks(cut).for_each(|piece| scan.push(piece));
            assert_eq!(scan.seen, whole.seen, "cut {cut}");
        }
    }
}
