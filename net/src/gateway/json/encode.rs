//! From the bytes of a message to JSON, piece by piece: nothing of the message is kept but the beginning of a field that is not whole
//! yet, and of a long value in bytes not even that.
//!
//! Fields must come in the order of their numbers, as every encoder writes them; JSON has them in that order too. Names are those of
//! the proto file, 64-bit numbers are strings, what has its default value is left out: Go's `protojson` as etcd sets it.

use super::go_text::push_string;
use api::schema::{Field, Kind, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};

/// The bytes are not those of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Which characters of a string are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// Those that JSON asks for.
    Json,
    /// Those of markup too.
    Html,
}

/// A message whose bytes come.
#[derive(Debug)]
struct Frame {
    of: &'static Message,
    /// Bytes of it that have not come; `None` for the outermost one, which the caller ends.
    left: Option<usize>,
    /// Index of the last field, and whether its list is open.
    last: Option<usize>,
    in_list: bool,
    has_fields: bool,
}

/// Makes JSON of a message as its bytes come.
#[derive(Debug)]
pub struct Encoder {
    html: bool,
    frames: Vec<Frame>,
    /// The beginning of what is not whole.
    rest: BytesMut,
    /// Bytes of a long value that have not come, while they are written in base64.
    value_left: Option<usize>,
}

/// Tag, and length or number, of a field.
enum Head {
    Number(u32, u64),
    Slice(u32, usize),
}

const MAX_NESTING: usize = 10_000;

impl Encoder {
    /// For one message.
    pub fn new(of: &'static Message, escapes: Escapes, out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        let frame = Frame { of, left: None, last: None, in_list: false, has_fields: false };
        Self { html: escapes == Escapes::Html, frames: vec![frame], rest: BytesMut::new(), value_left: None }
    }

    /// Takes the next bytes and writes what they come to.
    ///
    /// # Errors
    /// They are not those of the message: what was written is of no use.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        loop {
            if self.value_left.is_some() {
                if !self.value(&mut rest, out) {
                    break;
                }
                continue;
            }
            while self.frames.len() > 1 && self.frames.last().is_some_and(|frame| frame.left == Some(0)) {
                self.close(out);
            }
            let before = rest.len();
            if !self.field(&mut rest, out)? {
                break;
            }
            debug_assert!(rest.len() < before, "a field takes bytes");
        }
        self.rest = rest;
        Ok(())
    }

    /// The message is over.
    ///
    /// # Errors
    /// Some of it has not come.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if !self.rest.is_empty() || self.frames.len() != 1 || self.value_left.is_some() {
            return Err(Malformed);
        }
        self.close(out);
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(frame) = self.frames.pop() {
            if frame.in_list {
                out.push(b']');
            }
            out.push(b'}');
        }
    }

    /// Writes one field, or goes into one. False when its bytes have not come.
    fn field(&mut self, rest: &mut BytesMut, out: &mut Vec<u8>) -> Result<bool, Malformed> {
        let Some((head, head_len)) = head(rest)? else { return Ok(false) };
        let (number, needs) = match head {
            Head::Number(number, _) => (number, 0),
            Head::Slice(number, length) => (number, length),
        };
        let frame = self.frames.last_mut().ok_or(Malformed)?;
        let size = head_len.saturating_add(needs);
        if frame.left.is_some_and(|left| left < size) {
            return Err(Malformed);
        }
        let found = frame.of.field_numbered(number);
        let (kind, length) = match (found.map(|(_, field)| field.kind), &head) {
            (Some(Kind::Message(of)), Head::Slice(_, length)) => {
                let (at, field) = found.ok_or(Malformed)?;
                take(frame, size);
                rest.advance(head_len);
                frame.name(at, field, out)?;
                return self.enter(of, *length, out);
            }
            (Some(Kind::Bytes), Head::Slice(_, length)) if *length > 0 || is_always(found) => {
                let (at, field) = found.ok_or(Malformed)?;
                take(frame, size);
                rest.advance(head_len);
                frame.name(at, field, out)?;
                out.push(b'"');
                self.value_left = Some(*length);
                return Ok(true);
            }
            (kind, _) => (kind, needs),
        };
        if rest.len() < size {
            return Ok(false);
        }
        take(frame, size);
        rest.advance(head_len);
        let slice = rest.split_to(length);
        let Some((at, field)) = found else { return Ok(true) };
        match (kind, head) {
            (Some(Kind::String), Head::Slice(..)) => {
                let text = std::str::from_utf8(&slice).map_err(|_| Malformed)?;
                if !text.is_empty() || is_always(found) {
                    frame.name(at, field, out)?;
                    push_string(out, text, self.html);
                }
            }
            (Some(Kind::Bytes), Head::Slice(..)) => {}
            (Some(Kind::String | Kind::Bytes | Kind::Message(_)), _) | (None, _) => return Err(Malformed),
            (Some(kind), Head::Number(_, value)) => {
                if value != 0 || is_always(found) {
                    frame.name(at, field, out)?;
                    number_of(kind, value, out);
                }
            }
            // numbers of a list, one behind the other
            (Some(kind), Head::Slice(..)) => {
                let mut packed = &slice[..];
                while !packed.is_empty() {
                    let (value, length) = varint(packed)?.ok_or(Malformed)?;
                    packed = &packed[length..];
                    frame.name(at, field, out)?;
                    number_of(kind, value, out);
                }
            }
        }
        Ok(true)
    }

    fn enter(&mut self, of: &'static Message, length: usize, out: &mut Vec<u8>) -> Result<bool, Malformed> {
        if self.frames.len() >= MAX_NESTING {
            return Err(Malformed);
        }
        out.push(b'{');
        self.frames.push(Frame { of, left: Some(length), last: None, in_list: false, has_fields: false });
        Ok(true)
    }

    /// Writes what has come of a value in base64, three bytes at a time. False when more must come.
    fn value(&mut self, rest: &mut BytesMut, out: &mut Vec<u8>) -> bool {
        let Some(left) = self.value_left else { return true };
        let is_all = rest.len() >= left;
        let now = if is_all { left } else { rest.len() / 3 * 3 };
        let at = out.len();
        out.resize(at + now.div_ceil(3) * 4, 0);
        // the room is exactly what the padded form takes
        let written = STANDARD.encode_slice(&rest[..now], &mut out[at..]).unwrap_or(0);
        out.truncate(at + written);
        rest.advance(now);
        if is_all {
            out.push(b'"');
        }
        self.value_left = (!is_all).then_some(left - now);
        is_all
    }
}

impl Frame {
    /// Writes what goes in front of a value: commas, the field's name, the brackets of lists.
    fn name(&mut self, at: usize, field: &Field, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.last == Some(at) {
            // only a list may come twice
            if !self.in_list {
                return Err(Malformed);
            }
            out.push(b',');
            return Ok(());
        }
        if self.last.is_some_and(|last| last > at) {
            return Err(Malformed);
        }
        if std::mem::replace(&mut self.in_list, field.repeated) {
            out.push(b']');
        }
        if std::mem::replace(&mut self.has_fields, true) {
            out.push(b',');
        }
        self.last = Some(at);
        out.push(b'"');
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(if field.repeated { b"\":[" } else { b"\":" });
        Ok(())
    }
}

/// Bytes of a frame have come, or will within the field that was begun.
fn take(frame: &mut Frame, bytes: usize) {
    if let Some(left) = &mut frame.left {
        *left -= bytes;
    }
}

/// Whether a field is written with its default value too.
fn is_always(found: Option<(usize, &'static Field)>) -> bool {
    found.is_some_and(|(_, field)| field.repeated || field.oneof.is_some())
}

fn number_of(kind: Kind, value: u64, out: &mut Vec<u8>) {
    let text = match kind {
        Kind::Bool => if value == 0 { "false" } else { "true" }.to_owned(),
        Kind::Int64 => format!("\"{}\"", value as i64),
        Kind::Uint64 => format!("\"{value}\""),
        Kind::Uint32 => (value as u32).to_string(),
        Kind::Enum(of) => match of.values.iter().find(|(_, number)| *number == value as i32) {
            Some((name, _)) => format!("\"{name}\""),
            None => (value as i32).to_string(),
        },
        _ => (value as i32).to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Tag and length or number at the beginning of `bytes`, and how many bytes they take; `None` when they have not come.
fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let Some((tag, tag_len)) = varint(bytes)? else { return Ok(None) };
    let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
    let Some((value, value_len)) = varint(&bytes[tag_len..])? else { return Ok(None) };
    let head = match tag & 7 {
        0 => Head::Number(number, value),
        2 => Head::Slice(number, usize::try_from(value).map_err(|_| Malformed)?),
        // no message here has fields of fixed size
        _ => return Err(Malformed),
    };
    Ok(Some((head, tag_len + value_len)))
}

/// A varint at the beginning of `bytes` and its length; `None` when it has not come as a whole.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() >= 10 { Err(Malformed) } else { Ok(None) }
}
