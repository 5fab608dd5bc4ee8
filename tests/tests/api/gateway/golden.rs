//! What etcd 3.7.1 answered to a long list of JSON requests, and that a member answers the same, byte for byte.
//!
//! The list and the answers are `tests/golden/gateway/etcd-3.7.1.txt`. With `CONCLAVE_ETCD=host:port` a running etcd (a fresh one) is
//! asked instead, and with `CONCLAVE_GATEWAY=write` its answers are written down.

use harness::json::Exchange;
use harness::server::on_server;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Headers that are compared.
const HEADERS: [&str; 8] = [
    "content-type",
    "grpc-metadata-content-type",
    "www-authenticate",
    "location",
    "access-control-allow-origin",
    "sec-websocket-version",
    "x-content-type-options",
    "allow",
];

/// Fields that differ from one member to the next.
const OWN: [&str; 13] = [
    "cluster_id",
    "member_id",
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "leader",
    "dbSize",
    "dbSizeInUse",
    "hash",
    "token",
    "peerURLs",
    "clientURLs",
];

/// A request and its answer, as lines of the file.
struct Case<'a> {
    name: &'a str,
    /// Lines of the body after which the connection is given up.
    lines: Option<usize>,
    head: Vec<&'a str>,
    body: String,
    /// Lines of the request, as they stand.
    text: Vec<&'a str>,
    answer: Vec<&'a str>,
}

fn file() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("golden/gateway/etcd-3.7.1.txt")
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut out: Vec<Case<'_>> = Vec::new();
    for line in text.lines() {
        let (sign, rest) = line.split_once(' ').unwrap_or((line, ""));
        if sign == "=" {
            out.push(Case { name: rest, lines: None, head: vec![], body: String::new(), text: vec![], answer: vec![] });
        }
        let Some(case) = out.last_mut() else { continue };
        match sign {
            "lines" => case.lines = rest.parse().ok(),
            ">" => case.head.push(rest),
            "|" => case.body.push_str(rest),
            "<" | ":" => case.answer.push(line),
            _ => {}
        }
        if matches!(sign, "=" | "lines" | ">" | "|") {
            case.text.push(line);
        }
    }
    out
}

/// `{{A*3}}` becomes `AAA`.
fn expanded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let parsed = behind.split_once("}}").and_then(|(inside, after)| {
            let (what, times) = inside.rsplit_once('*')?;
            Some((what, times.parse().ok()?, after))
        });
        let Some((what, times, after)): Option<(&str, usize, &str)> = parsed else { break };
        out.push_str(before);
        out.push_str(&what.repeat(times));
        rest = after;
    }
    out + rest
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match (byte, byte == b'\\') {
            (_, true) => match bytes.next() {
                Some(b'n') => out.push(b'\n'),
                Some(b'r') => out.push(b'\r'),
                Some(b't') => out.push(b'\t'),
                Some(b'x') => {
                    let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                    out.push(u8::from_str_radix(&digits, 16).expect("two digits"));
                }
                Some(other) => out.push(other),
                None => {}
            },
            (byte, false) => out.push(byte),
        }
    }
    out
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => write!(out, "\\x{byte:02x}").expect("into memory"),
        }
    }
    out
}

/// The text with what is a member's own behind `"name":` replaced.
fn masked(mut text: String) -> String {
    for name in OWN {
        let key = format!("\"{name}\":");
        let mut from = 0;
        while let Some(at) = text[from..].find(&key) {
            let value = from + at + key.len();
            let length = match text.as_bytes().get(value) {
                Some(b'"') => text[value + 1..].find('"').map_or(0, |end| end + 2),
                Some(b'[') => text[value..].find(']').map_or(0, |end| end + 1),
                Some(b'0'..=b'9') => text[value..].bytes().take_while(u8::is_ascii_digit).count(),
                _ => 0,
            };
            if length > 0 {
                text.replace_range(value..value + length, "#");
            }
            from = value;
        }
    }
    // a second may pass; and a member's id is long, that of a lease here is not
    let mut text = text.replace("\"TTL\":\"999\"", "\"TTL\":\"1000\"");
    while let Some(at) = text.find("\"ID\":\"").filter(|at| text[at + 6..].find('"').is_some_and(|length| length > 10))
    {
        let length = text[at + 6..].find('"').unwrap_or(0);
        text.replace_range(at + 5..at + 7 + length, "#");
    }
    text
}

/// Asks, and gives the answer as lines of the file.
async fn ask(at: SocketAddr, case: &Case<'_>, token: &mut String) -> Vec<String> {
    let body = unescaped(&expanded(&case.body));
    let mut head = format!("{} HTTP/1.1\r\nHost: {at}\r\n", case.head[0]);
    for header in &case.head[1..] {
        head += &format!("{}\r\n", header.replace("$TOKEN", token));
    }
    if !case.head.iter().any(|header| header.starts_with("Connection:")) {
        head += "Connection: close\r\n";
    }
    if !body.is_empty() || case.head[0].starts_with("POST") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut exchange = Exchange::start(at, &[head.as_bytes(), b"\r\n", &body].concat()).await;
    let answer = exchange.head().await;
    let body = match case.lines {
        _ if case.head[0].starts_with("HEAD") => Vec::new(),
        None => exchange.rest().await.0,
        Some(lines) => {
            let mut all = String::new();
            for _ in 0..lines {
                all += &format!("{}\n", exchange.line().await.unwrap_or_default());
            }
            all.into_bytes()
        }
    };
    if let Some(given) = harness::json::field(&String::from_utf8_lossy(&body), "token") {
        *token = given.to_owned();
    }
    let mut out = vec![format!("< {}", answer.code)];
    for name in HEADERS {
        if let Some(value) = answer.header(name) {
            out.push(format!("< {name}: {value}"));
        }
    }
    out.push(format!(": {}", masked(escaped(&body))));
    out
}

async fn compare(at: SocketAddr) {
    let text = std::fs::read_to_string(file()).expect("the list");
    let mut token = String::new();
    let mut wrong = String::new();
    let all = cases(&text);
    assert!(all.len() > 300, "the list is whole");
    for case in &all {
        let got = ask(at, case, &mut token).await;
        if got != case.answer {
            let (name, want) = (case.name, case.answer.join("\n  "));
            writeln!(wrong, "{name}\n  {want}\nbut\n  {}\n", got.join("\n  ")).expect("into memory");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The file again, with the answers of this server.
async fn write(at: SocketAddr) {
    let text = std::fs::read_to_string(file()).expect("the list");
    let mut token = String::new();
    let mut out: String =
        text.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for case in &cases(&text) {
        let answer = ask(at, case, &mut token).await;
        writeln!(out, "\n{}\n{}", case.text.join("\n"), answer.join("\n")).expect("into memory");
    }
    std::fs::write(file(), out).expect("write the answers");
}

#[test]
fn the_gateway_answers_as_etcd_does() {
    let Ok(etcd) = std::env::var("CONCLAVE_ETCD") else {
        return on_server(async |server| compare(server.address()).await);
    };
    harness::server::in_system(async move {
        let at = etcd.parse().expect("an address and a port");
        match std::env::var("CONCLAVE_GATEWAY").is_ok_and(|what| what == "write") {
            true => write(at).await,
            false => compare(at).await,
        }
    });
}
