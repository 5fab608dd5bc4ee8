//! `:authority` is opaque text: whatever a client puts there, its calls are served, and its header table stays in step.
//!
//! A client of its own, because none of the libraries would send most of this.

use crate::echo::{Server, start};
use net::door::{DoorLimits, ListenSpec};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEADERS: u8 = 1;
const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

fn plain() -> Server {
    start(&DoorLimits::default(), ListenSpec::plain(1))
}

/// Pseudo-random numbers; a failing run is repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn number(out: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let full = (1 << bits) - 1;
    if number < full {
        return out.push(first | number as u8);
    }
    out.push(first | full as u8);
    let mut rest = number - full;
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    number(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// An HPACK encoder that uses every form there is, in turn or at random.
#[derive(Default)]
struct Encoder {
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl Encoder {
    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 32;
        self.table.push_front((name.to_vec(), value.to_vec()));
        while self.table.iter().map(size).sum::<usize>() > 4096 {
            self.table.pop_back();
        }
    }

    fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], random: &mut Random) {
        let known = self.table.iter().position(|(n, v)| n == name && v == value);
        match known {
            Some(at) if random.below(4) > 0 => return number(out, 0x80, 7, 62 + at),
            _ => {}
        }
        let (first, bits) = [(0x40, 6), (0x40, 6), (0x00, 4), (0x10, 4)][random.below(4)];
        let named = self.table.iter().position(|(n, _)| n == name);
        match named {
            Some(at) if random.below(2) == 0 => number(out, first, bits, 62 + at),
            _ if name == b":authority" && random.below(2) == 0 => number(out, first, bits, 1),
            _ => {
                number(out, first, bits, 0);
                text(out, name);
            }
        }
        text(out, value);
        if first == 0x40 {
            self.insert(name, value);
        }
    }
}

struct Client {
    socket: TcpStream,
    encoder: Encoder,
    stream: u32,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let mut socket = TcpStream::connect(server.addr).await.expect("connects");
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sends");
        socket.write_all(&frame(SETTINGS, 0, 0, b"")).await.expect("sends");
        Self { socket, encoder: Encoder::default(), stream: 1 }
    }

    /// Sends a call with this block and an empty message; returns the stream.
    async fn call(&mut self, block: &[u8], cut: usize) -> u32 {
        let stream = self.stream;
        self.stream += 2;
        let mut out = Vec::new();
        if cut == 0 || cut >= block.len() {
            out.extend(frame(HEADERS, 4, stream, block));
        } else {
            out.extend(frame(HEADERS, 0, stream, &block[..cut]));
            out.extend(frame(CONTINUATION, 4, stream, &block[cut..]));
        }
        out.extend(frame(DATA, 1, stream, b"\0\0\0\0\0"));
        self.socket.write_all(&out).await.expect("sends");
        stream
    }

    /// The answer's message; whatever else comes is an error, which is described.
    async fn answer(&mut self, stream: u32) -> Result<Vec<u8>, String> {
        loop {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await.map_err(|e| e.to_string())?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.socket.read_exact(&mut payload).await.map_err(|e| e.to_string())?;
            let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match head[3] {
                DATA if of == stream => return Ok(payload[5..].to_vec()),
                SETTINGS if head[4] == 0 => {
                    self.socket.write_all(&frame(SETTINGS, 1, 0, b"")).await.map_err(|e| e.to_string())?;
                }
                HEADERS if of == stream && head[4] & 1 != 0 => return Err(format!("only headers: {payload:?}")),
                3 | 7 => return Err(format!("refused: {:?}", &payload)),
                _ => {}
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

const ODD: [&[u8]; 9] = [
    b"#initially=[http://127.0.0.1:2379]",
    b"%2Ftmp%2Fc.sock",
    b"/tmp/c.sock",
    b"",
    b"two words",
    b"\xc3\xa9tcd",
    b"\xff\xfe",
    b"::1",
    b"a:b:c",
];

/// Headers of a call that gives its token back.
fn block(encoder: &mut Encoder, authority: &[u8], token: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut pseudo: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/test.Echo/Token"), (b":authority", authority)];
    for at in (1..4).rev() {
        pseudo.swap(at, random.below(at + 1));
    }
    for (name, value) in pseudo {
        match (name, value) {
            (b":authority", b"") if random.below(2) == 0 => out.push(0x81),
            _ => encoder.field(&mut out, name, value, random),
        }
    }
    encoder.field(&mut out, b"content-type", b"application/grpc", random);
    encoder.field(&mut out, b"te", b"trailers", random);
    encoder.field(&mut out, b"token", token, random);
    out
}

#[tokio::test]
async fn every_authority_is_served() {
    let server = plain();
    for authority in ODD.into_iter().chain([&b"localhost:2379"[..]]) {
        let mut client = Client::connect(&server).await;
        for round in 0..3 {
            let block = block(&mut client.encoder, authority, b"mine", &mut Random(round));
            let stream = client.call(&block, 0).await;
            let answer = client.answer(stream).await;
            assert_eq!(answer, Ok(b"mine".to_vec()), "{:?}", String::from_utf8_lossy(authority));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_header_tables_stay_in_step_whatever_is_sent() {
    let server = plain();
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut client = Client::connect(&server).await;
        for call in 0..80 {
            let authority = match random.below(3) {
                0 => b"localhost".to_vec(),
                1 => ODD[random.below(ODD.len())].to_vec(),
                // distinct ones push others out of the table
                _ => format!("/tmp/{call}/{}", "x".repeat(random.below(300))).into_bytes(),
            };
            let token = format!("token {}", random.below(8) * random.below(400));
            let block = block(&mut client.encoder, &authority, token.as_bytes(), &mut random);
            let cut = random.below(3) * random.below(block.len());
            let stream = client.call(&block, cut).await;
            let answer = client.answer(stream).await;
            assert_eq!(answer, Ok(token.into_bytes()), "seed {seed}, call {call}");
        }
    }
    server.stop().await;
}
