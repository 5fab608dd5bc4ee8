//! From a JSON value to the bytes of a message, as Go's `protojson` does it with unknown fields passed over.
//!
//! Must not recurse: how deep a value goes is the client's choice.

use super::assemble::Assembly;
use super::scalar;
use super::token::{Token, Tokens, Word};
use api::schema::{Field, Kind, Message};
use bytes::Bytes;

/// What is open around the place that is read.
enum Frame {
    /// A message: its fields and groups that were seen, as bits. A nested one is closed with its frame.
    Message { of: &'static Message, seen: u64, groups: u64 },
    /// A list of this field.
    List(&'static Field),
}

/// The message that a JSON value stands for. `value` must be one, as a [`Scanner`](super::Scanner) found it.
///
/// # Errors
/// What is wrong with it, in Go's words.
pub fn decode(value: &[u8], of: &'static Message) -> Result<Bytes, String> {
    Decoder { tokens: Tokens::new(value), out: Assembly::default(), frames: Vec::new() }
        .run(of)
        .map_err(|why| format!("proto: {why}"))
}

struct Decoder<'a> {
    tokens: Tokens<'a>,
    out: Assembly,
    frames: Vec<Frame>,
}

impl Decoder<'_> {
    fn run(mut self, of: &'static Message) -> Result<Bytes, String> {
        let first = self.tokens.next()?;
        self.enter(&first, of)?;
        loop {
            match self.frames.last_mut() {
                None => return Ok(self.out.finish()),
                Some(Frame::List(field)) => {
                    let field = *field;
                    self.element(field)?;
                }
                Some(Frame::Message { of, .. }) => {
                    let of = *of;
                    self.field(of)?;
                }
            }
        }
    }

    /// A message begins with this word.
    fn enter(&mut self, token: &Token<'_>, of: &'static Message) -> Result<(), String> {
        if token.word != Word::ObjectOpen {
            return Err(self.tokens.unexpected(token));
        }
        self.frames.push(Frame::Message { of, seen: 0, groups: 0 });
        Ok(())
    }

    fn leave(&mut self) {
        let was_message = matches!(self.frames.pop(), Some(Frame::Message { .. }));
        if was_message && !self.frames.is_empty() {
            self.out.close();
        }
    }

    /// The next element of a list.
    fn element(&mut self, field: &'static Field) -> Result<(), String> {
        let token = self.tokens.next()?;
        match (&token.word, field.kind) {
            (Word::ListClose, _) => {
                self.leave();
                Ok(())
            }
            (_, Kind::Message(of)) => self.nested(&token, field, of),
            _ => self.scalar(&token, field),
        }
    }

    /// The next field of a message.
    fn field(&mut self, of: &'static Message) -> Result<(), String> {
        let name = self.tokens.next()?;
        let found = match &name.word {
            Word::ObjectClose => {
                self.leave();
                return Ok(());
            }
            // the value is there as a whole: its end before its last brace means that the caller did not look
            Word::End => return Err("unexpected EOF".into()),
            Word::Name(text) => of.field_named(text),
            _ => return Err(self.tokens.unexpected(&name)),
        };
        let Some((at, field)) = found else { return self.skip() };
        let raw = String::from_utf8_lossy(name.raw);
        let bit = 1u64 << at;
        let Some(Frame::Message { seen, groups, .. }) = self.frames.last_mut() else { return Ok(()) };
        if *seen & bit != 0 {
            return Err(format!("{}: duplicate field {raw}", self.tokens.position(name.at)));
        }
        *seen |= bit;
        let value = self.tokens.next()?;
        if value.word == Word::Null {
            return Ok(());
        }
        if let Some(group) = field.oneof {
            let bit = 1u64 << group;
            if *groups & bit != 0 {
                let full = of.oneofs[group as usize];
                let place = self.tokens.position(name.at);
                return Err(format!("{place}: error parsing {raw}, oneof {full} is already set"));
            }
            *groups |= bit;
        }
        match field.kind {
            _ if field.repeated && value.word != Word::ListOpen => Err(self.tokens.unexpected(&value)),
            _ if field.repeated => {
                self.frames.push(Frame::List(field));
                Ok(())
            }
            Kind::Message(of) => self.nested(&value, field, of),
            _ => self.scalar(&value, field),
        }
    }

    fn nested(&mut self, token: &Token<'_>, field: &Field, of: &'static Message) -> Result<(), String> {
        self.enter(token, of)?;
        self.out.open(field.number);
        Ok(())
    }

    fn scalar(&mut self, token: &Token<'_>, field: &Field) -> Result<(), String> {
        if self.put(token, field).is_some() {
            return Ok(());
        }
        let place = self.tokens.position(token.at);
        let raw = String::from_utf8_lossy(token.raw);
        Err(format!("{place}: invalid value for {} field {}: {raw}", field.kind.name(), field.json_name))
    }

    /// Writes a value; `None` when the field holds no such thing.
    fn put(&mut self, token: &Token<'_>, field: &Field) -> Option<()> {
        // what a field holds by itself is left out where that can be told from nothing
        let always = field.repeated || field.oneof.is_some();
        let number = match field.kind {
            Kind::Bool => match token.word {
                Word::Bool(value) => u64::from(value),
                _ => return None,
            },
            Kind::Int32 => i64::from(scalar::integer::<i32>(token)?) as u64,
            Kind::Int64 => scalar::integer::<i64>(token)? as u64,
            Kind::Uint32 => u64::from(scalar::integer::<u32>(token)?),
            Kind::Uint64 => scalar::integer(token)?,
            Kind::Enum(of) => match scalar::enumeration(token, of)? {
                Some(value) => i64::from(value) as u64,
                None => return Some(()),
            },
            Kind::String => {
                let Word::String(text) = &token.word else { return None };
                if always || !text.is_empty() {
                    self.out.slice(field.number, text.as_bytes());
                }
                return Some(());
            }
            Kind::Bytes => {
                let bytes = scalar::bytes(token)?;
                if always || !bytes.is_empty() {
                    self.out.slice(field.number, &bytes);
                }
                return Some(());
            }
            Kind::Message(_) => return None,
        };
        if always || number != 0 {
            self.out.varint(field.number, number);
        }
        Some(())
    }

    /// Passes over a value that nobody asks for. Its strings must be text all the same.
    fn skip(&mut self) -> Result<(), String> {
        let mut open = 0usize;
        loop {
            match self.tokens.next()?.word {
                Word::ObjectOpen | Word::ListOpen => open += 1,
                Word::ObjectClose | Word::ListClose => open = open.saturating_sub(1),
                Word::End => return Err("unexpected EOF".into()),
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}
