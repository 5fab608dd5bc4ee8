//! JSON over WebSocket: what a browser does, and what it must not.

use crate::auth::{enable, try_login};
use harness::json::{Exchange, frame};
use harness::server::{on_server, on_server_with};
use harness::{Server, soon};

const TEXT: u8 = 0x81;
const FOO: &[u8] = br#"{"create_request":{"key":"Zm9v"}}"#;

async fn open(server: &Server, path: &str, headers: &str) -> Exchange {
    let (socket, answer) = Exchange::websocket(server.address(), path, headers).await;
    assert_eq!((answer.code, answer.header("sec-websocket-accept")), (101, Some("s3pplmbitxaq9kygzzhzrbk+xoo=")));
    socket
}

/// Payload of a close frame.
fn close(code: u16) -> Option<(u8, Vec<u8>)> {
    Some((0x88, code.to_be_bytes().to_vec()))
}

#[test]
fn a_browser_watches() {
    on_server(async |server| {
        let mut socket = open(server, "/v3/watch?method=PUT", "Origin: http://a.example\r\n").await;
        socket.send_frame(TEXT, FOO).await;
        assert!(socket.message().await.ends_with(r#""created":true}}"#));
        // large messages come in frames
        server.stubs.put("foo", vec![b'x'; 300_000]).await;
        let message = socket.message().await;
        assert!(message.len() > 400_000 && message.ends_with("}}]}}"), "{} bytes", message.len());

        // a request in two frames, with a ping between them, and one in two messages
        socket.send_frame(0x01, br#"{"create_request":{"k"#).await;
        socket.send_frame(0x89, b"are you there?").await;
        assert_eq!(socket.frame().await, Some((0x8a, b"are you there?".to_vec())));
        socket.send_frame(0x80, br#"ey":"YmFy"}}"#).await;
        assert!(socket.message().await.contains(r#""watch_id":"1""#));
        socket.send_frame(TEXT, br#"{"create_request":"#).await;
        socket.send_frame(0x82, br#"{"key":"YmF6"}}"#).await;
        assert!(socket.message().await.contains(r#""watch_id":"2""#));

        socket.send_frame(0x88, &[3, 0xe8, b'b', b'y', b'e']).await;
        assert_eq!(socket.frame().await, close(1000));
        assert_eq!(socket.frame().await, None, "and that is the end");
    });
}

#[test]
fn an_answer_that_ends_closes_the_connection() {
    on_server(async |server| {
        let mut socket = open(server, "/v3/lease/keepalive", "").await;
        socket.send_frame(TEXT, br#"{"ID":5}"#).await;
        assert!(socket.message().await.ends_with(r#""ID":"5"}}"#));

        for (path, request, answer) in [
            ("/v3/kv/range", &b"{}"[..], r#"{"code":3,"message":"etcdserver: key is not provided"}"#),
            ("/v3/nothing", b"{}", r#"{"code":5,"message":"Not Found"}"#),
        ] {
            let mut socket = open(server, path, "").await;
            socket.send_frame(TEXT, request).await;
            assert_eq!(socket.message().await, answer);
            assert_eq!(socket.frame().await, close(1000));
            assert_eq!(socket.frame().await, None);
        }
    });
}

#[test]
fn a_token_comes_as_a_protocol_or_in_a_cookie() {
    on_server_with(
        |config| config.bcrypt_cost = 4,
        async |server| {
            enable(&server.stubs).await;
            let token = try_login(&server.stubs, "root", "root").await.expect("a token");
            for headers in
                [format!("Sec-WebSocket-Protocol: Bearer, {token}\r\n"), format!("Cookie: a=b; token={token}\r\n")]
            {
                let (mut socket, answer) = Exchange::websocket(server.address(), "/v3/watch", &headers).await;
                let protocol = headers.starts_with("Sec").then_some("bearer");
                assert_eq!((answer.code, answer.header("sec-websocket-protocol")), (101, protocol));
                socket.send_frame(TEXT, FOO).await;
                assert!(socket.message().await.ends_with(r#""created":true}}"#), "{headers}");
            }
            // other headers of the handshake are not those of the request
            let mut socket = open(server, "/v3/watch", &format!("Authorization: {token}\r\n")).await;
            socket.send_frame(TEXT, FOO).await;
            assert!(socket.message().await.contains("user name is empty"));
        },
    );
}

#[test]
fn a_broken_protocol_is_the_end() {
    on_server(async |server| {
        let mut unmasked = frame(TEXT, b"{}");
        unmasked.drain(2..6);
        unmasked[1] &= 0x7f;
        for wrong in [unmasked, frame(0xc1, b"{}"), frame(0x83, b"{}"), frame(0x80, b"{}"), frame(0x09, b"")] {
            let mut socket = open(server, "/v3/watch", "").await;
            socket.send(&wrong).await;
            assert_eq!(socket.frame().await, close(1002), "{wrong:?}");
            assert_eq!(socket.frame().await, None);
        }
        soon("a write", server.stubs.put("k", "v")).await;
    });
}
