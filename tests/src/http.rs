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
}

/// Sends a request and reads to the end.
///
/// # Panics
/// When the server does not speak HTTP.
pub async fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut socket = TcpStream::connect(address).await.expect("connect");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("send");
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.expect("receive");
    parse(&String::from_utf8_lossy(&bytes))
}

/// Sends a GET.
///
/// # Panics
/// As [`request`].
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path).await
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an HTTP answer: {text:?}"));
    let code = head.split(' ').nth(1).and_then(|c| c.parse().ok());
    let code = code.unwrap_or_else(|| panic!("no status code in {head:?}"));
    let headers = head.to_ascii_lowercase();
    let body = if headers.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
    Answer { code, headers, body }
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("size of a chunk");
        if size == 0 {
            break;
        }
        out.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}
