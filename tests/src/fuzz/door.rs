//! Raw bytes to the door of a whole member, over a Unix socket: it answers or closes, in bounded time, and lives on.
//!
//! The member is shared by all inputs of a process: only its death or silence counts, never what it answers.

use crate::request::{all, put, put_op, txn};
use crate::server::quick_config;
use crate::wire::{END_HEADERS, END_STREAM, PREFACE, call_headers, frame, kind, message};
use embed::{ExitCell, Node};
use prost::Message;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest that a connection may live after its client has said its last word.
const PATIENCE: Duration = Duration::from_secs(20);

struct Member {
    socket: PathBuf,
    exit: ExitCell,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

static MEMBER: Mutex<Option<Member>> = Mutex::new(None);

fn member() -> MutexGuard<'static, Option<Member>> {
    let mut slot = MEMBER.lock().unwrap_or_else(PoisonError::into_inner);
    slot.get_or_insert_with(start);
    slot
}

fn start() -> Member {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let socket = dir.path().join("socket");
            let mut config = quick_config("default", &dir.path().join("data"));
            config.client_urls = vec![format!("unix://{}", socket.display())];
            let node = Node::start(config).await.expect("the member starts");
            tell.send((socket, node.exit())).expect("somebody waits for it");
            // dropped without a word it stops as well
            let _ = stopped.await;
            node.stop().await;
        });
    });
    let (socket, exit) = told.recv().expect("the member starts");
    Member { socket, exit, stop, thread }
}

/// Ends the member, if one runs, and removes its folder.
pub fn close() {
    let member = MEMBER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Member { stop, thread, .. }) = member {
        let _ = stop.send(());
        thread.join().expect("the member stops");
    }
}

/// First byte: with or without a sound beginning; second byte: length of the pieces.
pub fn run(data: &[u8]) {
    let [shape, piece, rest @ ..] = data else { return };
    let member = member();
    let member = member.as_ref().expect("just started");
    let mut stream = UnixStream::connect(&member.socket).expect("the member listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let mut bytes = Vec::new();
    if shape % 2 == 1 {
        bytes.extend_from_slice(PREFACE);
        bytes.extend(frame(kind::SETTINGS, 0, 0, &[]));
    }
    bytes.extend_from_slice(rest);
    for piece in bytes.chunks(usize::from(*piece) * 16 + 1) {
        match stream.write_all(piece) {
            Ok(()) => {}
            // the member has closed: its right
            Err(why) if why.kind() == ErrorKind::WouldBlock => panic!("the member takes no bytes"),
            Err(_) => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(why) if why.kind() == ErrorKind::WouldBlock => panic!("the member keeps a finished connection open"),
        _ => {}
    }
    assert_eq!(member.exit.get(), None, "the member died");
}

fn call(stream: u32, path: &str, body: &[u8]) -> Vec<u8> {
    let mut out = frame(kind::HEADERS, END_HEADERS, stream, &call_headers(path));
    out.extend(frame(kind::DATA, END_STREAM, stream, &message(body)));
    out
}

pub fn seeds() -> Vec<Vec<u8>> {
    let kv = |name: &str| format!("/etcdserverpb.KV/{name}");
    let body = all().encode_to_vec();
    let calls = [
        call(1, &kv("Range"), &body),
        call(3, &kv("Put"), &put("k", "v").encode_to_vec()),
        call(5, &kv("Txn"), &txn(vec![put_op("a", "b")]).encode_to_vec()),
        call(7, "/etcdserverpb.Watch/Watch", b"\x0a\x03\x0a\x01k"),
        call(9, "/etcdserverpb.Lease/LeaseGrant", b"\x08\x3c"),
        call(11, "/etcdserverpb.Maintenance/Status", b""),
        call(13, "/etcdserverpb.Cluster/MemberList", b""),
        call(15, &kv("RangeStream"), &body),
    ];
    let with = |first: &[u8], rest: &[u8]| [first, rest].concat();
    let mut out: Vec<Vec<u8>> = calls.iter().map(|c| with(&[1, 255], c)).collect();
    out.push(with(&[1, 2], &calls.concat()));
    let mut odd = frame(kind::PING, 0, 0, &[7; 8]);
    odd.extend(frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]));
    odd.extend(frame(kind::HEADERS, 0, 1, &call_headers(&kv("Range"))));
    odd.extend(frame(kind::CONTINUATION, END_HEADERS, 1, &[]));
    odd.extend(frame(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    odd.extend(frame(2, 0, 3, &[0, 0, 0, 1, 5]));
    odd.extend(frame(kind::GOAWAY, 0, 0, &[0; 8]));
    out.push(with(&[1, 255], &odd));
    out.push(b"\x00\xffGET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    out.push(
        b"\x00\x01POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
            .to_vec(),
    );
    out.push(b"\x00\xff\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    out
}
