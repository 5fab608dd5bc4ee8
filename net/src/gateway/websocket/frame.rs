//! Frames of WebSocket (RFC 6455), the server's side: bytes in, events out; and frames to send.
//!
//! Pure. Holds no payload but that of a control frame, which has 125 bytes at most.

use bytes::{Buf, Bytes, BytesMut};

/// The client breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Some of a message; `ends` with its last piece.
    Data { piece: Bytes, ends: bool },
    /// To be answered with the same payload.
    Ping(Bytes),
    /// Nobody asked.
    Pong,
    /// The client says good-bye; to be answered with the same payload.
    Close(Bytes),
}

/// Largest payload of a control frame.
const MAX_CONTROL: u64 = 125;

/// A frame whose payload comes.
#[derive(Debug)]
struct Payload {
    opcode: Opcode,
    is_last: bool,
    left: u64,
    mask: [u8; 4],
    /// Bytes of it that came.
    at: usize,
}

/// Takes frames apart.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    payload: Option<Payload>,
    /// A message has begun and is not over.
    in_message: bool,
}

impl Decoder {
    /// What the next bytes are; `None` when more of them must come. Takes from `input` what it has understood.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
        if self.payload.is_none() {
            let Some((payload, length)) = self.head(input)? else { return Ok(None) };
            input.advance(length);
            self.payload = Some(payload);
        }
        let Some(payload) = &mut self.payload else { return Ok(None) };
        let is_control = payload.opcode as u8 >= 8;
        let here = u64::try_from(input.len()).map_or(payload.left, |here| here.min(payload.left));
        if (is_control && here < payload.left) || (here == 0 && payload.left > 0) {
            return Ok(None);
        }
        let mut piece = input.split_to(here as usize);
        for (at, byte) in piece.iter_mut().enumerate() {
            *byte ^= payload.mask[(payload.at + at) % 4];
        }
        payload.at = (payload.at + piece.len()) % 4;
        payload.left -= here;
        let (opcode, ends) = (payload.opcode, payload.left == 0 && payload.is_last);
        if payload.left == 0 {
            self.payload = None;
        }
        let piece = piece.freeze();
        Ok(Some(match opcode {
            Opcode::Ping => Event::Ping(piece),
            Opcode::Pong => Event::Pong,
            Opcode::Close => Event::Close(piece),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                self.in_message = !ends;
                Event::Data { piece, ends }
            }
        }))
    }

    /// The head of a frame, and its length.
    fn head(&self, input: &[u8]) -> Result<Option<(Payload, usize)>, Violation> {
        let [first, second, rest @ ..] = input else { return Ok(None) };
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation),
        };
        let (is_last, has_reserved, is_masked) = (first & 0x80 != 0, first & 0x70 != 0, second & 0x80 != 0);
        let short = u64::from(second & 0x7f);
        let is_control = opcode as u8 >= 8;
        let is_out_of_turn = !is_control && (opcode == Opcode::Continuation) != self.in_message;
        if has_reserved || !is_masked || is_out_of_turn || (is_control && (!is_last || short > MAX_CONTROL)) {
            return Err(Violation);
        }
        let (left, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (short, rest),
        };
        if left > i64::MAX as u64 {
            return Err(Violation);
        }
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some((Payload { opcode, is_last, left, mask: *mask, at: 0 }, input.len() - rest.len())))
    }
}

/// Writes a frame.
pub(super) fn write(out: &mut Vec<u8>, opcode: Opcode, is_last: bool, payload: &[u8]) {
    out.push(opcode as u8 | if is_last { 0x80 } else { 0 });
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Payload of a close frame with a code.
pub(super) fn close_code(code: u16) -> Bytes {
    Bytes::copy_from_slice(&code.to_be_bytes())
}

/// Makes messages of lines that come piece by piece.
#[derive(Debug, Default)]
pub(super) struct LineFrames {
    in_line: bool,
}

impl LineFrames {
    /// Writes the frames of the next piece.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, mut piece: &[u8]) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.part(out, &piece[..end], true);
            piece = &piece[end + 1..];
        }
        self.part(out, piece, false);
    }

    /// Nothing follows: a line without an end is one too.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.part(out, b"", true);
    }

    /// An empty line is no message.
    fn part(&mut self, out: &mut Vec<u8>, bytes: &[u8], ends: bool) {
        if bytes.is_empty() && !(self.in_line && ends) {
            return;
        }
        let opcode = if self.in_line { Opcode::Continuation } else { Opcode::Text };
        write(out, opcode, ends, bytes);
        self.in_line = !ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of a client.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, Opcode::Continuation, false, payload);
        out[0] = first;
        out[1] |= 0x80;
        let at = out.len() - payload.len();
        let mask = [1, 2, 3, 4];
        out.splice(at..at, mask);
        out[at + 4..].iter_mut().enumerate().for_each(|(i, byte)| *byte ^= mask[i % 4]);
        out
    }

    /// Events of bytes that come in pieces of this size, pieces of data put together.
    fn events(bytes: &[u8], size: usize) -> Result<Vec<Event>, Violation> {
        let (mut decoder, mut input, mut out) = (Decoder::default(), BytesMut::new(), Vec::<Event>::new());
        for piece in bytes.chunks(size) {
            input.extend_from_slice(piece);
            while let Some(event) = decoder.next(&mut input)? {
                match (out.last_mut(), event) {
                    (Some(Event::Data { piece, ends: ends @ false }), Event::Data { piece: more, ends: now }) => {
                        *piece = [&piece[..], &more].concat().into();
                        *ends = now;
                    }
                    (_, event) => out.push(event),
                }
            }
        }
        Ok(out)
    }

    #[test]
    fn frames_are_understood_however_they_are_cut() {
        let long = vec![b'x'; 70_000];
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x80, b"o"),
            frame(0x89, b"ping"),
            frame(0x8a, b""),
            frame(0x82, &long),
            frame(0x81, b""),
            frame(0x88, &[3, 232]),
        ]
        .concat();
        let data = |text: &[u8]| Event::Data { piece: Bytes::copy_from_slice(text), ends: true };
        for size in [1, 2, 7, 4096, usize::MAX] {
            let want = vec![
                data(b"one"),
                data(b"two"),
                Event::Ping("ping".into()),
                Event::Pong,
                data(&long),
                data(b""),
                Event::Close(close_code(1000)),
            ];
            assert_eq!(events(&bytes, size), Ok(want), "pieces of {size}");
        }
    }

    #[test]
    fn a_broken_protocol_is_noticed() {
        let unmasked = vec![0x81, 1, b'a'];
        let long_control = frame(0x89, &[0; 126]);
        let endless = [&[0x82, 0xff][..], &[0xff; 8], &[0; 4]].concat();
        for (what, bytes) in [
            ("no mask", unmasked),
            ("reserved bit", frame(0xc1, b"a")),
            ("unknown kind", frame(0x83, b"a")),
            ("a control frame in pieces", frame(0x09, b"a")),
            ("a long control frame", long_control),
            ("a continuation of nothing", frame(0x80, b"a")),
            ("a message inside another", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
            ("a length beyond all bounds", endless),
        ] {
            assert_eq!(events(&bytes, usize::MAX), Err(Violation), "{what}");
        }
    }

    #[test]
    fn each_line_is_a_message() {
        let mut lines = LineFrames::default();
        let mut out = Vec::new();
        for piece in [&b"a\n\nb"[..], b"", b"c\nd"] {
            lines.write(&mut out, piece);
        }
        lines.finish(&mut out);
        assert_eq!(out, [0x81, 1, b'a', 0x01, 1, b'b', 0x80, 1, b'c', 0x01, 1, b'd', 0x80, 0]);
    }
}
