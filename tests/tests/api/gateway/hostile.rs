//! Bodies without end, requests that never end, floods of WebSockets: others are served.

use harness::json::{Exchange, frame, post};
use harness::server::{on_server, on_server_with};
use harness::{Server, soon, until};

const PUT: &str = "/v3/kv/put";

async fn still_serves(server: &Server) {
    let answer = soon("an answer in JSON", post(server.address(), PUT, "", r#"{"key":"aw==","value":"dg=="}"#)).await;
    assert_eq!(answer.code, 200, "{}", answer.body);
    soon("a write", server.stubs.put("k", "v")).await;
}

#[test]
fn a_body_without_end_is_refused() {
    on_server(async |server| {
        let mut put = Exchange::stream(server.address(), PUT, "", r#"{"key":"aw==","value":""#).await;
        let chunk = "A".repeat(1 << 20);
        for _ in 0..4 {
            put.send_chunk(&chunk).await;
        }
        put.send(b"0\r\n\r\n").await;
        assert_eq!(put.head().await.code, 429);
        let (body, _) = put.rest().await;
        let text = r#"{"code":8,"message":"grpc: received message larger than max (more than 2861736 bytes of JSON vs. 2097152)"}"#;
        assert_eq!(String::from_utf8_lossy(&body), text);

        // space is no request
        let mut put = Exchange::stream(server.address(), PUT, "", " ").await;
        for _ in 0..4 {
            put.send_chunk(&" ".repeat(1 << 20)).await;
        }
        put.send_chunk(r#"{"key":"aw==","value":"dg=="}"#).await;
        put.send(b"0\r\n\r\n").await;
        assert_eq!(put.head().await.code, 200);
        still_serves(server).await;
    });
}

#[test]
fn requests_in_the_making_are_bounded_together() {
    on_server(async |server| {
        let mut halves = Vec::new();
        for _ in 0..48 {
            let mut put = Exchange::stream(server.address(), PUT, "", r#"{"key":"aw==","value":""#).await;
            put.send_chunk(&"A".repeat(2 << 20)).await;
            halves.push(put);
        }
        // small ones need no room; and large ones find some when the others are gone
        still_serves(server).await;
        drop(halves);
        let large = format!(r#"{{"key":"aw==","value":"{}"}}"#, "A".repeat(1 << 20));
        until("room for a large one", async || {
            (post(server.address(), PUT, "", &large).await.code == 200).then_some(())
        })
        .await;
    });
}

#[test]
fn many_empty_operations_are_too_many() {
    on_server(async |server| {
        let bomb = format!(r#"{{"success":[{}{{}}]}}"#, "{},".repeat(900_000));
        let answer = soon("an answer", post(server.address(), "/v3/kv/txn", "", &bomb)).await;
        let text = r#"{"code":3,"message":"etcdserver: too many operations in txn request"}"#;
        assert_eq!((answer.code, answer.body.as_str()), (400, text));
        let deep = format!("{}{{}}{}", r#"{"success":[{"request_txn":"#.repeat(3000), "}]}".repeat(3000));
        let answer = soon("an answer", post(server.address(), "/v3/kv/txn", "", &deep)).await;
        assert!(answer.code >= 400 && answer.body.starts_with("{\"code\":"), "{}", answer.body);
        still_serves(server).await;
    });
}

#[test]
fn a_flood_of_websockets_leaves_others_served() {
    on_server(async |server| {
        let mut sockets = Vec::new();
        for i in 0..200_usize {
            let (mut socket, answer) = Exchange::websocket(server.address(), "/v3/watch", "").await;
            assert_eq!(answer.code, 101);
            match i % 4 {
                // a frame that announces more than there is memory, and the beginning of it
                0 => {
                    let mut huge = frame(0x81, &[b' '; 70_000]);
                    huge[2..10].copy_from_slice(&(1u64 << 62).to_be_bytes());
                    socket.send(&huge).await;
                }
                // a value that does not end
                1 => {
                    socket.send_frame(0x01, br#"{"create_request":{"key":""#).await;
                    socket.send_frame(0x00, &[b'A'; 70_000]).await;
                }
                // pings whose answers nobody reads
                2 => socket.send(&frame(0x89, b"x").repeat(5_000)).await,
                _ => {}
            }
            sockets.push(socket);
        }
        still_serves(server).await;
        // a value beyond all bounds: nobody waits for its end, and the connection lives
        let mut socket = sockets.pop().expect("an idle one");
        for _ in 0..40 {
            socket.send_frame(0x81, &[b'['; 1000]).await;
        }
        socket.send_frame(0x89, b"alive").await;
        assert_eq!(socket.frame().await, Some((0x8a, b"alive".to_vec())));
        drop(sockets);
        still_serves(server).await;
    });
}

#[test]
fn too_many_calls_are_refused_in_json() {
    on_server_with(
        |config| {
            config.door.max_calls = 8;
            config.connection_threads = 1;
        },
        async |server| {
            let mut watches = Vec::new();
            for _ in 0..8 {
                let create = r#"{"create_request":{"key":"Zm9v"}}"#;
                let mut watch = Exchange::stream(server.address(), "/v3/watch", "", create).await;
                assert_eq!(watch.head().await.code, 200);
                watches.push(watch);
            }
            let answer = post(server.address(), PUT, "", r#"{"key":"aw=="}"#).await;
            let text = r#"{"code":8,"message":"etcdserver: too many requests"}"#;
            assert_eq!((answer.code, answer.body.as_str()), (429, text));
            drop(watches);
            until("room", async || {
                (post(server.address(), PUT, "", r#"{"key":"aw=="}"#).await.code == 200).then_some(())
            })
            .await;
        },
    );
}
