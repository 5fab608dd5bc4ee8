//! HTTP/2 frames by hand, for what no client library would send.
//!
//! Must never check what it sends: wrong bytes are its purpose.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What every HTTP/2 client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// RST_STREAM.
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// WINDOW_UPDATE.
    pub const WINDOW_UPDATE: u8 = 8;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM, and ACK of SETTINGS and PING.
pub const END_STREAM: u8 = 1;
/// END_HEADERS.
pub const END_HEADERS: u8 = 4;

/// A frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream.
    pub stream: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A header block of literals, without compression.
pub fn header_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.push(0);
        for text in [name, value] {
            integer(&mut out, text.len());
            out.extend(text.as_bytes());
        }
    }
    out
}

/// A length with a prefix of seven bits.
fn integer(out: &mut Vec<u8>, value: usize) {
    if value < 127 {
        return out.push(value as u8);
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Headers of a gRPC call.
pub fn call_headers(path: &str) -> Vec<u8> {
    header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// A gRPC message with its prefix.
pub fn message(body: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

/// A bare connection.
pub struct Wire {
    socket: TcpStream,
}

impl Wire {
    /// A connection on which nothing was said yet.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn silent(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.expect("connect") }
    }

    /// A connection with preface and settings sent.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn open(address: SocketAddr, settings: &[u8]) -> Self {
        let mut wire = Self::silent(address).await;
        wire.send(PREFACE).await;
        wire.send(&frame(kind::SETTINGS, 0, 0, settings)).await;
        wire
    }

    /// Sends bytes; false when the server has closed.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok()
    }

    /// Says that nothing more comes.
    pub async fn finish(&mut self) {
        // the server may have closed already
        let _ = self.socket.shutdown().await;
    }

    /// Sends a whole unary call.
    pub async fn call(&mut self, stream: u32, path: &str, body: &[u8]) -> bool {
        let mut out = frame(kind::HEADERS, END_HEADERS, stream, &call_headers(path));
        out.extend(frame(kind::DATA, END_STREAM, stream, &message(body)));
        self.send(&out).await
    }

    /// The next frame; none when the server has closed.
    pub async fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Frames until one fits; none when the server closes first or nothing comes for ten seconds.
    pub async fn receive_until(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let search = async {
            loop {
                let frame = self.receive().await?;
                if fits(&frame) {
                    return Some(frame);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), search).await.ok().flatten()
    }

    /// Reads until the server closes; false when it does not within ten seconds.
    pub async fn closes(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), self.socket.read_to_end(&mut rest)).await.is_ok()
    }
}
