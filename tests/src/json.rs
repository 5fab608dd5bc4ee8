//! A client of the JSON gateway over HTTP/1.1 and WebSocket, byte by byte: answers are seen as they come.
//!
//! Must never check what it sends: wrong bytes are a purpose of it.

use crate::http::Answer;
use crate::soon;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request under way, and what has come of its answer.
#[derive(Debug)]
pub struct Exchange {
    socket: TcpStream,
    /// Bytes that were read and not looked at.
    raw: Vec<u8>,
    /// Bytes of the body, out of their chunks, that were not taken.
    body: Vec<u8>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The head has not come.
    Unknown,
    Chunked,
    /// So many bytes are missing.
    Length(usize),
    Over,
}

impl Exchange {
    /// Connects and sends these bytes.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start(at: SocketAddr, bytes: &[u8]) -> Self {
        let socket = TcpStream::connect(at).await.expect("connect");
        let mut exchange = Self { socket, raw: Vec::new(), body: Vec::new(), form: Form::Unknown };
        exchange.send(bytes).await;
        exchange
    }

    /// A POST whose body comes in chunks, the first of which is this.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub async fn stream(at: SocketAddr, path: &str, headers: &str, first: &str) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {at}\r\nTransfer-Encoding: chunked\r\n{headers}\r\n");
        let mut exchange = Self::start(at, head.as_bytes()).await;
        exchange.send_chunk(first).await;
        exchange
    }

    /// Sends more bytes.
    ///
    /// # Panics
    /// When the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("send");
    }

    /// Sends more bytes; false when the server has closed the connection.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok()
    }

    /// Sends a chunk of a body; an empty one ends it.
    ///
    /// # Panics
    /// As [`Self::send`].
    pub async fn send_chunk(&mut self, text: &str) {
        self.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await;
    }

    /// Reads what is there; false at the end.
    async fn read(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let length = soon("bytes of an answer", self.socket.read(&mut buffer)).await.unwrap_or(0);
        self.raw.extend_from_slice(&buffer[..length]);
        length > 0
    }

    /// The head of the answer, without a body.
    ///
    /// # Panics
    /// When none comes, or none that is HTTP.
    pub async fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.raw.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            assert!(self.read().await, "no head: {:?}", String::from_utf8_lossy(&self.raw));
        };
        let head = String::from_utf8_lossy(&self.raw[..end]).into_owned();
        self.raw.drain(..end + 4);
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        let answer = Answer { code, headers: head.to_ascii_lowercase(), body: String::new(), bytes: Vec::new() };
        let length = answer.header("content-length").map(|length| length.parse().expect("a length"));
        self.form = match length {
            Some(length) => Form::Length(length),
            None if answer.header("transfer-encoding") == Some("chunked") => Form::Chunked,
            None => Form::Over,
        };
        answer
    }

    /// Moves what has come into the body. False when more bytes are needed.
    fn unpack(&mut self) -> bool {
        match self.form {
            Form::Unknown | Form::Over => true,
            Form::Length(0) => {
                self.form = Form::Over;
                true
            }
            Form::Length(missing) => {
                let here = missing.min(self.raw.len());
                self.body.extend(self.raw.drain(..here));
                self.form = Form::Length(missing - here);
                here > 0
            }
            Form::Chunked => {
                let Some(at) = self.raw.windows(2).position(|window| window == b"\r\n") else { return false };
                let size = std::str::from_utf8(&self.raw[..at]).expect("a size");
                let size = usize::from_str_radix(size, 16).expect("a size");
                if self.raw.len() < at + 2 + size + 2 {
                    return false;
                }
                self.body.extend_from_slice(&self.raw[at + 2..at + 2 + size]);
                self.raw.drain(..at + 2 + size + 2);
                if size == 0 {
                    self.form = Form::Over;
                }
                true
            }
        }
    }

    /// The next line of the body, without its end; `None` when the body ends first.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.body.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.body.drain(..=at).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.form == Form::Over || (!self.unpack() && !self.read().await) {
                return None;
            }
        }
    }

    /// The rest of the body. The second value is false when the connection broke first.
    pub async fn rest(&mut self) -> (Vec<u8>, bool) {
        loop {
            if self.form == Form::Over {
                return (std::mem::take(&mut self.body), true);
            }
            if !self.unpack() && !self.read().await {
                return (std::mem::take(&mut self.body), false);
            }
        }
    }

    /// Bytes of the body that have come, which are thrown away.
    ///
    /// # Panics
    /// When nothing comes.
    pub async fn some(&mut self) -> usize {
        while self.body.is_empty() {
            assert!(self.unpack() || self.read().await, "the body goes on");
        }
        std::mem::take(&mut self.body).len()
    }

    /// The head of a WebSocket handshake's answer.
    ///
    /// # Panics
    /// As [`Self::head`].
    pub async fn websocket(at: SocketAddr, path: &str, headers: &str) -> (Self, Answer) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        let mut exchange = Self::start(at, head.as_bytes()).await;
        let answer = exchange.head().await;
        (exchange, answer)
    }

    /// Sends a frame as a client must: masked. `first` is its first byte.
    ///
    /// # Panics
    /// As [`Self::send`].
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload)).await;
    }

    /// The next frame of the server: its first byte and its payload; `None` when the connection ends first.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, short, rest @ ..] = &self.raw[..] {
                let long = match short {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                };
                if rest.len() >= long {
                    let length = rest[..long].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                    let length = if long == 0 { usize::from(*short) } else { length };
                    if rest.len() >= long + length {
                        let found = (*first, rest[long..long + length].to_vec());
                        self.raw.drain(..2 + long + length);
                        return Some(found);
                    }
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The next message of the server as text.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn message(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let (first, payload) = self.frame().await.expect("a frame");
            assert_eq!(first & 0x0f, u8::from(text.is_empty()), "a text, or more of it");
            text.extend(payload);
            if first & 0x80 != 0 {
                return String::from_utf8(text).expect("text");
            }
        }
    }
}

/// A frame of a client.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(short as u8 | 0x80),
        middle @ 126..=0xffff => {
            out.push(126 | 0x80);
            out.extend((middle as u16).to_be_bytes());
        }
        long => {
            out.push(127 | 0x80);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

/// Sends a POST and reads its answer to the end.
///
/// # Panics
/// When the server does not speak HTTP.
pub async fn post(at: SocketAddr, path: &str, headers: &str, body: &str) -> Answer {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
    let mut exchange = Exchange::start(at, head.as_bytes()).await;
    let answer = exchange.head().await;
    let (bytes, _) = exchange.rest().await;
    Answer { body: String::from_utf8_lossy(&bytes).into_owned(), bytes, ..answer }
}

/// What stands behind the name of a field, up to the next quote, comma or brace.
pub fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let behind = json.split_once(&format!("\"{name}\":"))?.1.trim_start_matches('"');
    behind.split(['"', ',', '}', ']']).next()
}
