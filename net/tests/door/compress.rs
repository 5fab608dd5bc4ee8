//! gzip of messages, both ways: as grpc-go does it, and bounded against bombs.

use crate::client::{connect, echo};
use crate::echo::{Server, start};
use crate::wire::{grpc, h2_to};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use h2::client::SendRequest;
use http::{HeaderMap, Response};
use net::door::{DoorLimits, ListenSpec};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const BOUND: usize = 2 << 20;

fn plain() -> Server {
    start(&DoorLimits { max_recv_message: BOUND, ..Default::default() }, ListenSpec::plain(1))
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out).expect("gzip");
    out
}

fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[flag][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// Messages of a body, with their flags.
fn messages(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut out = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        out.push((*flag, rest[..length].to_vec()));
        body = &rest[length..];
    }
    out
}

/// Sends a call with `grpc-encoding: gzip`.
async fn call(client: &mut SendRequest<Bytes>, path: &str, body: Vec<u8>) -> (Response<()>, Vec<u8>, HeaderMap) {
    let request = grpc(path).header("grpc-encoding", "gzip").body(()).expect("request");
    let (response, mut tx) = client.clone().ready().await.expect("ready").send_request(request, false).expect("sends");
    let mut body = Bytes::from(body);
    while !body.is_empty() {
        tx.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| tx.poll_capacity(cx)).await;
        let Some(Ok(room)) = room else { break };
        let part = body.split_to(room.min(body.len()));
        if tx.send_data(part, body.is_empty()).is_err() {
            break;
        }
    }
    let (head, mut rx) = response.await.expect("answers").into_parts();
    let mut out = Vec::new();
    while let Some(chunk) = rx.data().await {
        let chunk = chunk.expect("good");
        rx.flow_control().release_capacity(chunk.len()).expect("releases");
        out.extend_from_slice(&chunk);
    }
    let trailers = rx.trailers().await.expect("good").unwrap_or_default();
    (Response::from_parts(head, ()), out, trailers)
}

fn status<'a>(head: &'a Response<()>, trailers: &'a HeaderMap) -> (&'a str, String) {
    let of = |name: &str| head.headers().get(name).or(trailers.get(name)).map(|v| v.to_str().expect("text"));
    (of("grpc-status").expect("a status"), of("grpc-message").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn compressed_calls_get_compressed_answers() {
    let server = plain();
    let mut client = h2_to(server.addr).await;
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for message in [&b"x"[..], &[7; 300_000], &noise] {
        for path in ["/test.Echo/Inline", "/test.Echo/Hop"] {
            let (head, body, trailers) = call(&mut client, path, framed(1, &zipped(message))).await;
            assert_eq!(status(&head, &trailers), ("0", String::new()));
            assert_eq!(head.headers()["grpc-encoding"], "gzip");
            let [(1, packed)] = &messages(&body)[..] else { panic!("not one compressed message") };
            assert_eq!(unzipped(packed), message);
        }
    }
    // a message may come as it is, and an empty one leaves so
    let (_, body, _) = call(&mut client, "/test.Echo/Inline", framed(0, b"plain")).await;
    assert_eq!(unzipped(&messages(&body)[0].1), b"plain");
    let (_, body, trailers) = call(&mut client, "/test.Echo/Inline", framed(1, &zipped(b""))).await;
    assert_eq!((messages(&body), &trailers["grpc-status"]), (vec![(0, vec![])], &"0".parse().expect("value")));
    server.stop().await;
}

#[tokio::test]
async fn streams_are_compressed_message_by_message() {
    let server = plain();
    let mut client = h2_to(server.addr).await;
    let sent: Vec<Vec<u8>> = (0..50).map(|n| vec![n; usize::from(n) * 1000]).collect();
    let body: Vec<u8> = sent.iter().flat_map(|message| framed(1, &zipped(message))).collect();
    let (head, body, trailers) = call(&mut client, "/test.Echo/Parrot", body).await;
    assert_eq!(status(&head, &trailers), ("0", String::new()));
    let got: Vec<Vec<u8>> =
        messages(&body).into_iter().map(|(flag, bytes)| if flag == 1 { unzipped(&bytes) } else { bytes }).collect();
    assert_eq!(got, sent);
    server.stop().await;
}

#[tokio::test]
async fn a_bomb_is_refused_with_grpc_gos_words() {
    let server = plain();
    let mut client = h2_to(server.addr).await;
    let bomb = framed(1, &zipped(&vec![0; 256 << 20]));
    assert!(bomb.len() < BOUND);
    let text = format!("grpc: received message after decompression larger than max {BOUND}");
    for path in ["/test.Echo/Inline", "/test.Echo/Parrot"] {
        let (head, _, trailers) = call(&mut client, path, bomb.clone()).await;
        assert_eq!(status(&head, &trailers), ("8", text.clone()), "{path}");
    }
    let largest = vec![0; BOUND];
    let (head, _, trailers) =
        call(&mut client, "/test.Echo/Never", framed(1, &zipped(&[&largest[..], b"0"].concat()))).await;
    assert_eq!(status(&head, &trailers), ("8", text));
    let (head, body, trailers) = call(&mut client, "/test.Echo/Inline", framed(1, &zipped(&largest))).await;
    assert_eq!(status(&head, &trailers).0, "0");
    assert_eq!(messages(&body)[0].1.len(), BOUND, "more than a round compresses leaves as it is");
    server.stop().await;
}

#[tokio::test]
async fn others_are_served_while_a_thousand_bombs_go_off() {
    let server = plain();
    let mut client = h2_to(server.addr).await;
    let bomb = framed(1, &zipped(&vec![0; BOUND]));
    let mut bombs = Vec::new();
    for _ in 0..1000 {
        let request = grpc("/test.Echo/Token").header("grpc-encoding", "gzip").body(()).expect("request");
        let (response, mut tx) =
            client.clone().ready().await.expect("ready").send_request(request, false).expect("sends");
        tx.send_data(bomb.clone().into(), true).expect("sends");
        bombs.push(response);
        client = client.ready().await.expect("ready");
    }
    // calls of others are answered between two bombs, not behind all of them: one of these is on the same loop
    let channels = [connect(server.addr).await, connect(server.addr).await];
    let start = Instant::now();
    let mut answered = 0;
    let all = futures_util::future::join_all(bombs);
    tokio::pin!(all);
    loop {
        tokio::select! {
            answers = &mut all => {
                assert_eq!(answers.len(), 1000);
                break;
            }
            answers = async {
                let [first, second] = &channels;
                tokio::join!(echo(first, "/test.Echo/Hop", "me too"), echo(second, "/test.Echo/Hop", "me too"))
            } => {
                assert_eq!(answers.0.expect("answers"), "me too");
                assert_eq!(answers.1.expect("answers"), "me too");
                answered += 1;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(120), "the bombs take too long");
    }
    assert!(answered > 20, "only {answered} calls were answered meanwhile");
    server.stop().await;
}
