//! Finds the end of a JSON value in bytes that come piece by piece, and refuses what is no JSON in the words of Go's
//! `encoding/json`.
//!
//! Holds no bytes, only how deep it is. Strings are looked at for their ends alone: whether they are UTF-8 is found out later.

use super::go_text::quote_char;

/// Objects and lists inside each other: Go's bound.
const MAX_DEPTH: usize = 10_000;

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All bytes belong to the value (or are space in front of it), which goes on.
    More,
    /// The value ends in front of the byte at this place.
    End(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Object,
    List,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A value must follow; in a list that has just begun also its end.
    Value {
        or_end: bool,
    },
    /// A key must follow; in an object that has just begun also its end.
    Key {
        or_end: bool,
    },
    Colon,
    AfterValue,
    String {
        is_key: bool,
    },
    Escape {
        is_key: bool,
    },
    /// So many hexadecimal digits of `\u` are missing.
    Hex {
        is_key: bool,
        missing: u8,
    },
    /// The rest of `true`, `false` or `null`.
    Literal {
        word: &'static str,
        at: usize,
    },
    Number(Number),
    /// The value is over.
    Over,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    Exponent,
    Sign,
    ExponentDigits,
}

/// Looks for the end of one value.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    within: Vec<Within>,
    begun: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Value { or_end: false }, within: Vec::new(), begun: false }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl Scanner {
    /// True when something besides space has come.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes the next bytes. Behind [`Found::End`] or an error nothing more may be given.
    ///
    /// # Errors
    /// What is wrong, as Go says it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Found, String> {
        let mut at = 0;
        while at < bytes.len() {
            // the bulk of a request are its strings
            if let State::String { .. } = self.state {
                let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
                at += bytes[at..].iter().take_while(|byte| plain(byte)).count();
                if at == bytes.len() {
                    break;
                }
            }
            if self.step(bytes[at])? {
                return Ok(Found::End(at));
            }
            at += 1;
            if matches!(self.state, State::Over) {
                return Ok(Found::End(at));
            }
        }
        Ok(Found::More)
    }

    /// No byte follows. True when what came is a value, false when nothing but space has come.
    ///
    /// # Errors
    /// The value is cut off.
    pub fn end(&mut self) -> Result<bool, String> {
        if !self.begun {
            return Ok(false);
        }
        match self.step(b' ') {
            Ok(true) => Ok(true),
            _ if matches!(self.state, State::Over) => Ok(true),
            _ => Err("unexpected EOF".into()),
        }
    }

    /// Takes a byte; true when the value ended in front of it.
    fn step(&mut self, byte: u8) -> Result<bool, String> {
        match self.state {
            State::Value { or_end } => self.value(byte, or_end)?,
            State::Key { .. } | State::Colon | State::AfterValue if is_space(byte) => {}
            State::Key { or_end } => match byte {
                b'"' => self.state = State::String { is_key: true },
                b'}' if or_end => self.close(),
                _ => return Err(unexpected(byte, "looking for beginning of object key string")),
            },
            State::Colon => match byte {
                b':' => self.state = State::Value { or_end: false },
                _ => return Err(unexpected(byte, "after object key")),
            },
            State::AfterValue => self.after_value(byte)?,
            State::String { is_key } => match byte {
                b'"' if is_key => self.state = State::Colon,
                b'"' => self.value_ended(),
                b'\\' => self.state = State::Escape { is_key },
                0..=0x1f => return Err(unexpected(byte, "in string literal")),
                _ => {}
            },
            State::Escape { is_key } => match byte {
                b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.state = State::String { is_key },
                b'u' => self.state = State::Hex { is_key, missing: 4 },
                _ => return Err(unexpected(byte, "in string escape code")),
            },
            State::Hex { is_key, missing } => {
                if !byte.is_ascii_hexdigit() {
                    return Err(unexpected(byte, "in \\u hexadecimal character escape"));
                }
                let left = missing - 1;
                self.state = if left == 0 { State::String { is_key } } else { State::Hex { is_key, missing: left } };
            }
            State::Literal { word, at } => {
                let expected = word.as_bytes()[at];
                if byte != expected {
                    let context = format!("in literal {word} (expecting {})", quote_char(expected));
                    return Err(unexpected(byte, &context));
                }
                if at + 1 == word.len() {
                    self.value_ended();
                } else {
                    self.state = State::Literal { word, at: at + 1 };
                }
            }
            State::Number(number) => return self.number(number, byte),
            State::Over => return Ok(true),
        }
        Ok(false)
    }

    fn value(&mut self, byte: u8, or_end: bool) -> Result<(), String> {
        if is_space(byte) {
            return Ok(());
        }
        self.begun = true;
        match byte {
            b']' if or_end => self.close(),
            b'{' => self.open(byte, Within::Object, State::Key { or_end: true })?,
            b'[' => self.open(byte, Within::List, State::Value { or_end: true })?,
            b'"' => self.state = State::String { is_key: false },
            b'-' => self.state = State::Number(Number::Minus),
            b'0' => self.state = State::Number(Number::Zero),
            b'1'..=b'9' => self.state = State::Number(Number::Digits),
            b't' => self.state = State::Literal { word: "true", at: 1 },
            b'f' => self.state = State::Literal { word: "false", at: 1 },
            b'n' => self.state = State::Literal { word: "null", at: 1 },
            _ => return Err(unexpected(byte, "looking for beginning of value")),
        }
        Ok(())
    }

    fn open(&mut self, byte: u8, within: Within, state: State) -> Result<(), String> {
        self.within.push(within);
        if self.within.len() > MAX_DEPTH {
            return Err(unexpected(byte, "exceeded max depth"));
        }
        self.state = state;
        Ok(())
    }

    fn close(&mut self) {
        self.within.pop();
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.state = if self.within.is_empty() { State::Over } else { State::AfterValue };
    }

    fn after_value(&mut self, byte: u8) -> Result<(), String> {
        match (self.within.last(), byte) {
            (Some(Within::Object), b',') => self.state = State::Key { or_end: false },
            (Some(Within::Object), b'}') | (Some(Within::List), b']') => self.close(),
            (Some(Within::List), b',') => self.state = State::Value { or_end: false },
            (Some(Within::Object), _) => return Err(unexpected(byte, "after object key:value pair")),
            (Some(Within::List), _) => return Err(unexpected(byte, "after array element")),
            (None, _) => self.state = State::Over,
        }
        Ok(())
    }

    /// A byte in or behind a number; true when it is behind one that nothing encloses.
    fn number(&mut self, number: Number, byte: u8) -> Result<bool, String> {
        let next = match (number, byte) {
            (Number::Minus, b'0') => Number::Zero,
            (Number::Minus, b'1'..=b'9') => Number::Digits,
            (Number::Minus, _) => return Err(unexpected(byte, "in numeric literal")),
            (Number::Digits, b'0'..=b'9') => Number::Digits,
            (Number::Zero | Number::Digits, b'.') => Number::Dot,
            (Number::Dot | Number::Fraction, b'0'..=b'9') => Number::Fraction,
            (Number::Dot, _) => return Err(unexpected(byte, "after decimal point in numeric literal")),
            (Number::Zero | Number::Digits | Number::Fraction, b'e' | b'E') => Number::Exponent,
            (Number::Exponent, b'+' | b'-') => Number::Sign,
            (Number::Exponent | Number::Sign | Number::ExponentDigits, b'0'..=b'9') => Number::ExponentDigits,
            (Number::Exponent | Number::Sign, _) => return Err(unexpected(byte, "in exponent of numeric literal")),
            (Number::Zero | Number::Digits | Number::Fraction | Number::ExponentDigits, _) => {
                self.value_ended();
                return match self.state {
                    State::Over => Ok(true),
                    _ => self.step(byte),
                };
            }
        };
        self.state = State::Number(next);
        Ok(false)
    }
}

fn unexpected(byte: u8, context: &str) -> String {
    format!("invalid character {} {context}", quote_char(byte))
}
