//! The keys of the v2 API over HTTP, and the pages beside them. What is expected was asked of etcd 3.4.23 too.

use harness::http::{Answer, get, request, request_with_body};
use harness::server::{in_system, on_server, on_server_with};
use harness::{Server, members, soon, until};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn with_v2(test: impl AsyncFnOnce(&Server)) {
    on_server_with(|config| config.enable_v2 = true, test);
}

async fn put(at: SocketAddr, key: &str, form: &str) -> Answer {
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    request_with_body(at, "PUT", &format!("/v2/keys{key}"), &kind, form).await
}

#[test]
fn without_the_flag_there_is_no_such_path() {
    on_server(async |server| {
        assert_eq!(get(server.address(), "/v2/keys").await.code, 404);
    });
}

#[test]
fn a_key_is_set_read_and_deleted() {
    with_v2(async |server| {
        let at = server.address();
        let made = put(at, "/a/b", "value=x+y").await;
        assert_eq!(made.code, 201);
        let body = r#"{"action":"set","node":{"key":"/a/b","value":"x y","modifiedIndex":1,"createdIndex":1}}"#;
        assert_eq!(made.body, format!("{body}\n"));
        assert_eq!(made.header("x-etcd-index"), Some("1"));
        assert_eq!(made.header("content-type"), Some("application/json"));
        for name in ["x-raft-index", "x-raft-term", "x-etcd-cluster-id"] {
            assert!(made.header(name).is_some(), "{name}");
        }
        let read = get(at, "/v2/keys/a?recursive=true").await;
        let node = r#"{"key":"/a/b","value":"x y","modifiedIndex":1,"createdIndex":1}"#;
        let dir = format!(
            r#"{{"action":"get","node":{{"key":"/a","dir":true,"nodes":[{node}],"modifiedIndex":1,"createdIndex":1}}}}"#
        );
        assert_eq!(read.body, format!("{dir}\n"));
        let head = request(at, "HEAD", "/v2/keys/a/b").await;
        assert_eq!((head.code, head.body.as_str(), head.header("content-length")), (200, "", Some("88")));
        let gone = request(at, "DELETE", "/v2/keys/a/b").await;
        assert!(gone.body.contains(r#""prevNode":{"key":"/a/b","value":"x y""#), "{}", gone.body);
        let missing = get(at, "/v2/keys/a/b").await;
        assert_eq!(missing.code, 404);
        assert_eq!(missing.body, "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/a/b\",\"index\":2}\n");
        assert_eq!(missing.header("x-etcd-index"), Some("2"));
    });
}

#[test]
fn refusals_have_etcds_numbers_and_statuses() {
    with_v2(async |server| {
        let at = server.address();
        put(at, "/f", "value=x").await;
        put(at, "/d/k", "value=x").await;
        let cases = [
            ("PUT", "/f?prevExist=false", 412, 105),
            ("PUT", "/f?prevValue=no&value=y", 412, 101),
            ("PUT", "/d", 403, 102),
            ("PUT", "/f/k?value=x", 400, 104),
            ("PUT", "/none?prevExist=true&value=x", 404, 100),
            ("PUT", "/f?ttl=soon", 400, 202),
            ("PUT", "/f?refresh=true&ttl=5&value=x", 400, 211),
            ("PUT", "/f?refresh=true", 400, 212),
            ("PUT", "?value=x", 400, 107),
            ("DELETE", "/d", 403, 102),
            ("DELETE", "/d?dir=true", 403, 108),
            ("DELETE", "?recursive=true", 400, 107),
            ("GET", "/f?recursive=perhaps", 400, 209),
            ("POST", "/f?wait=true", 400, 209),
            ("GET", "/f?waitIndex=x", 400, 203),
            ("PUT", "/f?value=%zz", 400, 210),
        ];
        for (method, target, status, code) in cases {
            let answer = request(at, method, &format!("/v2/keys{target}")).await;
            let expected = format!("{{\"errorCode\":{code},");
            assert!(answer.code == status && answer.body.starts_with(&expected), "{method} {target}: {answer:?}");
        }
        let patched = request(at, "PATCH", "/v2/keys").await;
        assert_eq!((patched.code, patched.header("allow")), (405, Some("head,get,put,post,delete")));
        let moved = get(at, "/v2/keys//f?sorted=true").await;
        assert_eq!((moved.code, moved.header("location")), (301, Some("/v2/keys/f?sorted=true")));
    });
}

/// Begins to wait and gives the socket once the headers are there.
async fn wait(at: SocketAddr, target: &str) -> TcpStream {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let head = format!("GET /v2/keys{target} HTTP/1.1\r\nHost: {at}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    until_says(&mut socket, "\r\n\r\n").await;
    socket
}

/// Reads until these words are there.
async fn until_says(socket: &mut TcpStream, words: &str) -> String {
    let mut read = Vec::new();
    soon(words, async {
        while !String::from_utf8_lossy(&read).contains(words) {
            let mut byte = [0; 1];
            assert_eq!(socket.read(&mut byte).await.unwrap(), 1, "ended before {words}");
            read.push(byte[0]);
        }
    })
    .await;
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn a_watch_waits_and_a_stream_goes_on() {
    with_v2(async |server| {
        let at = server.address();
        let mut once = wait(at, "/a?wait=true").await;
        let mut all = wait(at, "/?wait=true&recursive=true&stream=true").await;
        put(at, "/_hidden", "value=h").await;
        put(at, "/a", "value=1").await;
        put(at, "/a", "value=2").await;
        assert!(until_says(&mut once, "}}\n").await.contains("\"value\":\"1\""));
        assert!(until_says(&mut all, "}}\n").await.contains("\"value\":\"1\""), "hidden keys are no news");
        assert!(until_says(&mut all, "}}\n").await.contains("\"value\":\"2\""));
        let stats = get(at, "/v2/stats/store").await.body;
        assert!(stats.contains("\"setsSuccess\":3,") && stats.ends_with("\"watchers\":1}"), "{stats}");
        drop(all);
        let left = async || get(at, "/v2/stats/store").await.body.ends_with("\"watchers\":0}").then_some(());
        until("the watcher of a client that is gone ends", left).await;
    });
}

#[test]
fn a_watch_that_begins_in_the_past_finds_what_it_missed_or_is_told() {
    with_v2(async |server| {
        let at = server.address();
        for n in 1..=1_003 {
            put(at, "/a", &format!("value={n}")).await;
        }
        let missed = get(at, "/v2/keys/a?wait=true&waitIndex=500").await;
        assert_eq!(missed.header("x-etcd-index"), Some("1003"));
        assert!(missed.body.contains("\"value\":\"500\""), "{}", missed.body);
        let cleared = get(at, "/v2/keys/a?wait=true&waitIndex=3").await;
        let expected = "{\"errorCode\":401,\"message\":\"The event in requested index is outdated and cleared\",\
                        \"cause\":\"the requested history has been cleared [4/3]\",\"index\":1003}\n";
        assert_eq!((cleared.code, cleared.body.as_str()), (400, expected));
    });
}

#[test]
fn long_listings_are_whole() {
    with_v2(async |server| {
        let at = server.address();
        let value = "v".repeat(4_000);
        for n in 0..60 {
            put(at, &format!("/d{}/k{n}", n % 7), &format!("value={value}")).await;
        }
        let all = get(at, "/v2/keys?recursive=true").await;
        assert_eq!(all.body.matches("\"value\"").count(), 60);
        assert!(all.body.ends_with("}]}}\n") && all.body.len() > 240_000);
    });
}

#[test]
fn keys_are_there_after_a_restart_and_end_in_time() {
    in_system(async {
        let server = Server::start(|config| config.enable_v2 = true).await;
        put(server.address(), "/kept", "value=x").await;
        put(server.address(), "/short", "value=x&ttl=1").await;
        let dir = server.stop().await;
        let server = Server::start_in(dir, |config| config.enable_v2 = true).await;
        let at = server.address();
        assert!(get(at, "/v2/keys/kept").await.body.contains("\"modifiedIndex\":1,"));
        until("the key ends", async || (get(at, "/v2/keys/short").await.code == 404).then_some(())).await;
        let expired = get(at, "/v2/keys/short?wait=true&waitIndex=3").await;
        assert!(expired.body.starts_with("{\"action\":\"expire\",\"node\":{\"key\":\"/short\","), "{}", expired.body);
        assert!(get(at, "/v2/stats/store").await.body.contains("\"expireCount\":1,"));
    });
}

#[test]
fn members_agree_whoever_is_asked() {
    in_system(async {
        let dir = TempDir::new().unwrap();
        let mut configs = members::configs(dir.path(), 3, members::Over::Queues);
        configs.iter_mut().for_each(|config| config.enable_v2 = true);
        let nodes = members::start(&configs).await;
        let at: Vec<SocketAddr> = nodes.iter().map(|node| node.addresses()[0]).collect();
        let mut waiting = wait(at[2], "/?wait=true&recursive=true").await;
        for n in 0..30 {
            let answer =
                put(at[n % 3], &format!("/k{n}"), &format!("value={n}&ttl={}", if n < 5 { 1 } else { 600 })).await;
            assert_eq!(answer.code, 201, "{}", answer.body);
        }
        assert!(until_says(&mut waiting, "}}\n").await.contains("\"key\":\"/k0\""));
        for at in &at {
            let read = get(*at, "/v2/keys/k29?quorum=true").await;
            assert_eq!(read.code, 200, "a read of the quorum sees every write that was answered");
        }
        let ended = async || {
            let all = [get(at[0], "/v2/keys").await, get(at[1], "/v2/keys").await, get(at[2], "/v2/keys").await];
            let indices: Vec<_> = all.iter().map(|answer| answer.header("x-etcd-index").map(str::to_owned)).collect();
            indices.iter().all(|index| index.as_deref() == Some("35")).then_some(all)
        };
        let all = until("five keys end on all members", ended).await;
        let without_ttl = |answer: &Answer| {
            let nodes = answer.body.split("\"ttl\":").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
            nodes.collect::<String>()
        };
        assert_eq!(without_ttl(&all[0]), without_ttl(&all[1]));
        assert_eq!(without_ttl(&all[0]), without_ttl(&all[2]));
        let leaders = [0, 1, 2].map(|n| get(at[n], "/v2/stats/leader"));
        let codes: Vec<u16> = futures_util::future::join_all(leaders).await.iter().map(|answer| answer.code).collect();
        assert_eq!(codes.iter().filter(|code| **code == 200).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == 403).count(), 2);
        for node in nodes {
            node.stop().await;
        }
    });
}

#[test]
fn pages_about_the_members_are_etcds() {
    with_v2(async |server| {
        let at = server.address();
        let id = format!("{:x}", server.stubs.status().await.leader);
        let list = get(at, "/v2/members").await;
        let member = list.body.strip_prefix("{\"members\":[").unwrap().strip_suffix("]}\n").unwrap();
        assert!(member.starts_with(&format!("{{\"id\":\"{id}\",\"name\":\"default\",\"peerURLs\":[")), "{member}");
        assert_eq!(get(at, "/v2/members/leader").await.body, format!("{member}\n"));
        assert_eq!(get(at, "/v2/members/other").await.body, "{\"message\":\"Not found\"}");
        assert_eq!(get(at, "/v2/machines").await.body, "http://localhost:2379");
        let own = get(at, "/v2/stats/self").await.body;
        assert!(
            own.starts_with(&format!("{{\"name\":\"default\",\"id\":\"{id}\",\"state\":\"StateLeader\",")),
            "{own}"
        );
        let leader = get(at, "/v2/stats/leader").await.body;
        assert_eq!(leader, format!("{{\"leader\":\"{id}\",\"followers\":{{}}}}"));
        let json = [("Content-Type", "application/json")];
        let add = async |body: &str| request_with_body(at, "POST", "/v2/members", &json, body).await;
        assert_eq!(add("{").await.code, 400);
        assert_eq!(add(r#"{"peerURLs":[]}"#).await.body, "{\"message\":\"no valid URLs given\"}");
        assert_eq!(request(at, "POST", "/v2/members").await.code, 415);
        assert_eq!(request(at, "DELETE", "/v2/members").await.code, 405);
        let unknown = request(at, "DELETE", "/v2/members/abc").await;
        assert_eq!((unknown.code, unknown.body.as_str()), (404, "{\"message\":\"No such member: abc\"}"));
        let added = add(r#"{"peerURLs":["http://127.0.0.1:9"]}"#).await;
        assert!(added.code == 201 && added.body.starts_with("{\"id\":\""), "{}", added.body);
        assert!(
            added.body.ends_with(",\"name\":\"\",\"peerURLs\":[\"http://127.0.0.1:9\"],\"clientURLs\":[]}\n"),
            "{}",
            added.body
        );
    });
}
