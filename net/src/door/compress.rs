//! gzip of gRPC messages, as grpc-go has it registered: inflating within the bounds of a plain message, compressing within the
//! time a round has for it.
//!
//! Pure: takes bytes, gives bytes. Texts are grpc-go's. Must never inflate more than one byte above the bound.

use super::answer::Message;
use super::status::{Code, Status};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Read as _, Write as _};

/// How the messages of a call may be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Identity,
    /// Compressed, those that say so.
    Gzip,
}

/// First bytes of a gzip member: its magic number and the one method there is.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes of the shortest header.
const GZIP_HEADER: usize = 10;

/// The message that was compressed, of `most` bytes at most.
///
/// # Errors
/// grpc-go's status for what is broken or too large.
pub(super) fn inflate(compressed: &[u8], most: usize) -> Result<Bytes, Status> {
    let internal = |text: String| Status::new(Code::Internal, text);
    if let Some(why) = header_error(compressed) {
        return Err(internal(format!("grpc: failed to decompress the message: {why}")));
    }
    let mut out = Vec::with_capacity(compressed.len().saturating_mul(2).min(most));
    let read = MultiGzDecoder::new(compressed).take(most as u64 + 1).read_to_end(&mut out);
    if let Err(error) = read {
        return Err(internal(format!("grpc: failed to read decompressed data: {}", body_error(&error))));
    }
    if out.len() > most {
        let text = format!("grpc: received message after decompression larger than max {most}");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    Ok(out.into())
}

fn header_error(compressed: &[u8]) -> Option<&'static str> {
    match compressed.len() {
        0 => Some("EOF"),
        1..GZIP_HEADER => Some("unexpected EOF"),
        _ if compressed.starts_with(&GZIP_MAGIC) => None,
        _ => Some("gzip: invalid header"),
    }
}

/// Go's words where there are some.
fn body_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        _ if error.to_string().contains("checksum") => "gzip: invalid checksum".to_owned(),
        _ if error.to_string().contains("header") => "gzip: invalid header".to_owned(),
        _ => format!("flate: {error}"),
    }
}

/// A message on its way out.
pub(super) struct Outgoing {
    pub(super) is_compressed: bool,
    pub(super) message: Message,
}

impl Outgoing {
    /// A message as it is.
    pub(super) fn plain(message: Message) -> Self {
        Self { is_compressed: false, message }
    }

    /// A message compressed, when that is possible: not for an empty one, and not for a piece of one.
    pub(super) fn gzip(message: Message) -> Self {
        match compressed(&message) {
            Some(bytes) => Self { is_compressed: true, message: bytes.into() },
            None => Self::plain(message),
        }
    }

    /// The frames to write.
    pub(super) fn into_frames(self, write: impl FnMut(Bytes)) {
        self.message.into_frames(self.is_compressed, write);
    }
}

fn compressed(message: &Message) -> Option<Bytes> {
    let pieces = match message {
        Message::One(bytes) => std::slice::from_ref(bytes),
        Message::Many(pieces) => pieces,
        Message::First(..) | Message::More(_) => return None,
    };
    if message.is_empty() {
        return None;
    }
    // the fastest: a loop serves others too
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2 + 64), Compression::fast());
    // writing into memory does not fail; if it did, the message would leave as it is
    for piece in pieces {
        encoder.write_all(piece).ok()?;
    }
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipped(bytes: &[u8]) -> Bytes {
        compressed(&Message::One(Bytes::copy_from_slice(bytes))).expect("compressed")
    }

    #[test]
    fn a_message_survives_the_round_in_whichever_pieces() {
        let pieces = vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")];
        let bytes = compressed(&Message::Many(pieces)).expect("compressed");
        assert_eq!(inflate(&bytes, 3).expect("inflates"), "abc");
        assert_eq!(inflate(&[zipped(b"ab"), zipped(b"c")].concat(), 3).expect("inflates"), "abc", "two members");
    }

    #[test]
    fn empty_messages_and_pieces_leave_as_they_are() {
        assert!(!Outgoing::gzip(Message::One(Bytes::new())).is_compressed);
        assert!(!Outgoing::gzip(Message::First(10, Bytes::from_static(b"a"))).is_compressed);
        assert!(!Outgoing::gzip(Message::More(Bytes::from_static(b"a"))).is_compressed);
    }

    #[test]
    fn a_bomb_is_refused_at_the_bound() {
        let bomb = zipped(&vec![0; 64 << 20]);
        assert!(bomb.len() < 400 << 10);
        let status = inflate(&bomb, 1 << 20).expect_err("too large");
        assert_eq!(status.code, Code::ResourceExhausted);
        assert_eq!(status.message, "grpc: received message after decompression larger than max 1048576");
        assert_eq!(inflate(&zipped(&[7; 100]), 100).expect("fits").len(), 100);
        assert!(inflate(&zipped(&[7; 101]), 100).is_err());
    }

    #[test]
    fn what_is_no_gzip_gets_grpc_gos_words() {
        let said = |bytes: &[u8]| inflate(bytes, 100).expect_err("refused").message.into_owned();
        assert_eq!(said(b""), "grpc: failed to decompress the message: EOF");
        assert_eq!(said(b"\x1f\x8b"), "grpc: failed to decompress the message: unexpected EOF");
        assert_eq!(said(b"0123456789"), "grpc: failed to decompress the message: gzip: invalid header");
        let good = zipped(b"abc");
        assert_eq!(said(&good[..good.len() - 3]), "grpc: failed to read decompressed data: unexpected EOF");
        let mut wrong = good.to_vec();
        let crc = wrong.len() - 8;
        wrong[crc] ^= 1;
        assert_eq!(said(&wrong), "grpc: failed to read decompressed data: gzip: invalid checksum");
    }

    #[test]
    fn random_bytes_behind_a_header_never_panic() {
        let mut state = 7u64;
        for _ in 0..2000 {
            let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
            for _ in 0..60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.push((state >> 56) as u8);
            }
            if let Ok(out) = inflate(&bytes, 1000) {
                assert!(out.len() <= 1000);
            }
        }
    }
}
