//! The words of a JSON value whose form is known to be right, with their places, as Go's `protojson` sees them.
//!
//! Strings are decoded here, and refused when they are no text. Whatever form the input has, this must never panic.

use super::go_text::quote;
use std::borrow::Cow;

/// A word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    ObjectOpen,
    ObjectClose,
    ListOpen,
    ListClose,
    /// The key of a field, decoded.
    Name(Cow<'a, str>),
    String(Cow<'a, str>),
    Number,
    Bool(bool),
    Null,
    /// Nothing is left.
    End,
}

/// A word and where it stands.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) word: Word<'a>,
    /// Its bytes as they stand in the input.
    pub(super) raw: &'a [u8],
    /// Place of the first of them.
    pub(super) at: usize,
}

/// Reads words one after the other.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// The next word.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn next(&mut self) -> Result<Token<'a>, String> {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b','));
        let at = self.at;
        let Some(first) = self.input.get(at) else { return Ok(Token { word: Word::End, raw: b"", at }) };
        let word = match first {
            b'{' => self.one(Word::ObjectOpen),
            b'}' => self.one(Word::ObjectClose),
            b'[' => self.one(Word::ListOpen),
            b']' => self.one(Word::ListClose),
            b'"' => {
                let (text, length) = self.string()?;
                self.at += length;
                let raw = &self.input[at..self.at];
                self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
                if self.input.get(self.at) == Some(&b':') {
                    self.at += 1;
                    return Ok(Token { word: Word::Name(text), raw, at });
                }
                return Ok(Token { word: Word::String(text), raw, at });
            }
            _ => {
                self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_'));
                match &self.input[at..self.at] {
                    b"true" => Word::Bool(true),
                    b"false" => Word::Bool(false),
                    b"null" => Word::Null,
                    b"" => return Err(self.syntax_error(at, &format!("invalid value {}", char::from(*first)))),
                    _ => Word::Number,
                }
            }
        };
        Ok(Token { word, raw: &self.input[at..self.at], at })
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        self.at += self.input[self.at..].iter().take_while(|byte| wanted(**byte)).count();
    }

    fn one(&mut self, word: Word<'a>) -> Word<'a> {
        self.at += 1;
        word
    }

    /// The string that begins here, and how many bytes it takes.
    fn string(&self) -> Result<(Cow<'a, str>, usize), String> {
        let inside = &self.input[self.at + 1..];
        let plain = inside.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
        let Ok(head) = std::str::from_utf8(&inside[..plain]) else { return Err(self.not_utf8()) };
        if inside.get(plain) == Some(&b'"') {
            return Ok((head.into(), plain + 2));
        }
        let mut text = head.to_owned();
        let mut at = plain;
        loop {
            match inside.get(at) {
                None => return Err("unexpected EOF".into()),
                Some(b'"') => return Ok((text.into(), at + 2)),
                Some(b'\\') => at += self.escape(&inside[at..], &mut text)?,
                Some(byte @ 0..=0x1f) => {
                    let text = format!("invalid character {} in string", super::go_text::quote_char(*byte));
                    return Err(self.syntax_error(self.at, &text));
                }
                Some(_) => {
                    let rest = &inside[at..];
                    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
                    let Ok(part) = std::str::from_utf8(&rest[..plain]) else { return Err(self.not_utf8()) };
                    text.push_str(part);
                    at += plain;
                }
            }
        }
    }

    /// Decodes the escape that `bytes` begin with; gives its length.
    fn escape(&self, bytes: &[u8], text: &mut String) -> Result<usize, String> {
        let plain = match bytes.get(1) {
            None => return Err("unexpected EOF".into()),
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(*c),
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(bytes, text),
            Some(_) => return Err(self.wrong_escape(&bytes[..2])),
        };
        text.push(plain);
        Ok(2)
    }

    fn code_point(&self, bytes: &[u8], text: &mut String) -> Result<usize, String> {
        let hex = |part: &[u8]| u32::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
        let Some(first) = bytes.get(..6) else { return Err("unexpected EOF".into()) };
        let Some(high) = hex(&first[2..]) else { return Err(self.wrong_escape(first)) };
        if let Some(c) = char::from_u32(high) {
            text.push(c);
            return Ok(6);
        }
        // one half of a pair
        let Some(second) = bytes.get(6..12) else { return Err("unexpected EOF".into()) };
        let low = hex(&second[2..]).filter(|_| second.starts_with(b"\\u"));
        let pair = low.and_then(|low| char::decode_utf16([high as u16, low as u16]).next()?.ok());
        match pair {
            Some(c) if c != char::REPLACEMENT_CHARACTER => {
                text.push(c);
                Ok(12)
            }
            _ => Err(self.wrong_escape(second)),
        }
    }

    fn wrong_escape(&self, bytes: &[u8]) -> String {
        self.syntax_error(self.at, &format!("invalid escape code {} in string", quote(bytes)))
    }

    fn not_utf8(&self) -> String {
        self.syntax_error(self.at, "invalid UTF-8 in string")
    }

    /// `(line 1:8)`: lines and characters count from one.
    pub(super) fn position(&self, at: usize) -> String {
        let before = &self.input[..at];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let chunks = before[begin..].utf8_chunks();
        let characters: usize = chunks.map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
        format!("(line {line}:{})", characters + 1)
    }

    pub(super) fn syntax_error(&self, at: usize, text: &str) -> String {
        format!("syntax error {}: {text}", self.position(at))
    }

    /// That a word does not belong where it stands.
    pub(super) fn unexpected(&self, token: &Token<'_>) -> String {
        self.syntax_error(token.at, &format!("unexpected token {}", String::from_utf8_lossy(token.raw)))
    }
}
