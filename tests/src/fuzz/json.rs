//! JSON of a client to a message and back: any bytes are refused in one way, however they come, or make a message that JSON gives back.

use api::schema::{METHODS, Message};
use net::gateway::json::{Encoder, Escapes, Found, Malformed, Scanner, decode};

/// Where the first value ends, for bytes that come in pieces of this size; `None` for space alone.
fn scan(input: &[u8], size: usize) -> Result<Option<usize>, String> {
    let mut scanner = Scanner::default();
    let mut done = 0;
    for piece in input.chunks(size) {
        match scanner.feed(piece)? {
            Found::End(at) => return Ok(Some(done + at)),
            Found::More => done += piece.len(),
        }
    }
    scanner.end().map(|is_value| is_value.then_some(done))
}

fn encode(bytes: &[u8], of: &'static Message, size: usize, escapes: Escapes) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(of, escapes, &mut out);
    for piece in bytes.chunks(size) {
        encoder.push(piece, &mut out)?;
    }
    encoder.finish(&mut out)?;
    Ok(out)
}

/// First byte: which method; second: size of pieces, and whether the rest is JSON of its request or protobuf of its response.
pub fn run(data: &[u8]) {
    let [which, how, input @ ..] = data else { return };
    let method = &METHODS[usize::from(*which) % METHODS.len()];
    let size = usize::from(how >> 1) + 1;
    match how & 1 {
        0 => request(input, method.request, size),
        _ => response(input, method.response, size),
    }
}

fn request(input: &[u8], of: &'static Message, size: usize) {
    let found = scan(input, size);
    assert_eq!(found, scan(input, usize::MAX), "however it is cut");
    // what is no JSON is not read any further, but must not end anything either
    let end = found.ok().flatten();
    let value = input[..end.unwrap_or(input.len())].trim_ascii_start();
    let Ok(message) = decode(value, of) else { return };
    if end.is_none() {
        return;
    }
    assert!(message.len() <= 4 * value.len() + 16, "a message is about as long as its JSON");
    // fields of JSON come in any order, those of an answer do not: what was turned once stays as it is
    let Ok(json) = encode(&message, of, size, Escapes::Json) else { return };
    let again = decode(&json, of).expect("what was written can be read");
    let json_again = encode(&again, of, usize::MAX, Escapes::Json).expect("and written again");
    assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&json_again));
}

fn response(input: &[u8], of: &'static Message, size: usize) {
    let whole = encode(input, of, usize::MAX, Escapes::Html);
    assert_eq!(whole, encode(input, of, size, Escapes::Html), "however it is cut");
    let Ok(json) = whole else { return };
    assert!(!json.contains(&b'\n'), "a line is one line");
    assert_eq!(scan(&json, size), Ok(Some(json.len())), "{}", String::from_utf8_lossy(&json));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let at = |path: &str| METHODS.iter().position(|method| method.path == path).unwrap_or_default() as u8;
    let json = |path: &str, text: &str| [&[at(path), 6][..], text.as_bytes()].concat();
    let mut out = vec![
        json(
            "/etcdserverpb.KV/Range",
            r#" {"key":"Zm9v","range_end":"_-8","limit":"1e1","sort_order":"DESCEND","sortTarget":3,"x":[{}]} "#,
        ),
        json(
            "/etcdserverpb.KV/Put",
            r#"{"key":"Zm9v","value":"YmFy\n","lease":-7,"prev_kv":true,"ignore_value":null}"#,
        ),
        json(
            "/etcdserverpb.KV/Txn",
            r#"{"compare":[{"key":"YQ==","version":0}],"success":[{"request_txn":{"failure":[{"requestRange":{"key":"YQ"}},{}]}}]}"#,
        ),
        json(
            "/etcdserverpb.Watch/Watch",
            r#"{"create_request":{"key":"YQ==","filters":["NOPUT",1,"X"],"watch_id":"9223372036854775807"}}"#,
        ),
        json(
            "/etcdserverpb.Auth/UserAdd",
            r#"{"name":"\u00e9\ud83d\ude00\\\"","password":"é","options":{"no_password":false}}"#,
        ),
        json("/etcdserverpb.Cluster/MemberAdd", r#"{"peerURLs":["http://a:1","b"],"isLearner":true}{}"#),
        json("/etcdserverpb.KV/Range", r#"{"key":"\ud800x"}"#),
        json("/etcdserverpb.KV/Range", "[1.5,-2e3,tru"),
    ];
    use prost::Message as _;
    let header = api::etcdserverpb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 };
    let kv = api::mvccpb::KeyValue { key: "a".into(), value: "value".into(), mod_revision: -1, ..Default::default() };
    let range = api::etcdserverpb::RangeResponse {
        header: Some(header),
        kvs: vec![kv.clone(), kv.clone()],
        more: true,
        count: 2,
    };
    let event = api::mvccpb::Event { r#type: 1, kv: Some(kv), prev_kv: None };
    let watch = api::etcdserverpb::WatchResponse { header: Some(header), events: vec![event], ..Default::default() };
    let pieces = |path: &str, bytes: Vec<u8>| [vec![at(path), 9], bytes].concat();
    out.push(pieces("/etcdserverpb.KV/Range", range.encode_to_vec()));
    out.push(pieces("/etcdserverpb.Watch/Watch", watch.encode_to_vec()));
    out
}
