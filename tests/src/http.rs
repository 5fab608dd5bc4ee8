//! Plain HTTP/1.1 over a socket: no client library between a test and the bytes.
//!
//! Must never follow, retry or keep alive: one connection per request.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub code: u16,
    /// Header lines, lower case.
    pub headers: String,
    /// Body.
    pub body: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends a request and reads to the end.
///
/// # Panics
/// When the server does not speak HTTP.
pub async fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    request_with(address, method, path, &[]).await
}

/// As [`request`], with more headers.
///
/// # Panics
/// As [`request`].
pub async fn request_with(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    request_with_body(address, method, path, headers, "").await
}

/// As [`request_with`], with a body.
///
/// # Panics
/// As [`request`].
pub async fn request_with_body(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut socket = TcpStream::connect(address).await.expect("connect");
    let length = body.len();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    head += body;
    socket.write_all(head.as_bytes()).await.expect("send");
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.expect("receive");
    parse(&bytes)
}

/// Sends a GET.
///
/// # Panics
/// As [`request`].
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path).await
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("not an HTTP answer: {:?}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]);
    let body = &answer[end + 4..];
    let code = head.split(' ').nth(1).and_then(|c| c.parse().ok());
    let code = code.unwrap_or_else(|| panic!("no status code in {head:?}"));
    let headers = head.to_ascii_lowercase();
    let bytes = if headers.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
    Answer { code, headers, body: String::from_utf8_lossy(&bytes).into_owned(), bytes }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = body.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&body[..at]).expect("size of a chunk");
        let size = usize::from_str_radix(size.trim(), 16).expect("size of a chunk");
        if size == 0 {
            break;
        }
        let chunk = &body[at + 2..];
        out.extend_from_slice(&chunk[..size]);
        body = chunk[size..].strip_prefix(b"\r\n").unwrap_or_default();
    }
    out
}
