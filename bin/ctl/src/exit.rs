//! How a command ends badly: etcdctl's exit codes, what is said, and what a person may do about it.
//!
//! Must never end the process: only `main` does.

use crate::client::Failure;
use crate::client::hint::hint;

/// Anything without a code of its own.
pub const ERROR: u8 = 1;
/// The connection.
pub const BAD_CONNECTION: u8 = 2;
/// Lines read from standard input.
pub const INVALID_INPUT: u8 = 3;
/// A known flag with a value that is not offered.
pub const BAD_FEATURE: u8 = 4;
/// Cut off by the server or by a signal.
pub const INTERRUPTED: u8 = 5;
/// Arguments.
pub const BAD_ARGS: u8 = 128;

/// An end that is not success.
#[derive(Debug)]
pub struct Exit {
    /// Exit code.
    pub code: u8,
    /// Said after `Error: `; nothing is said without it.
    pub text: Option<String>,
    /// What to do next: shown to a person only.
    pub hint: Option<String>,
}

impl Exit {
    /// Ends with a text.
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: Some(text.into()), hint: None }
    }

    /// Wrong arguments.
    pub fn args(text: impl Into<String>) -> Self {
        Self::new(BAD_ARGS, text)
    }

    /// Everything has been said already.
    pub fn silent(code: u8) -> Self {
        Self { code, text: None, hint: None }
    }

    /// The failure of a call, with words around it: `{}` is replaced by its text.
    pub fn wrapped(code: u8, words: &str, why: &Failure) -> Self {
        Self { code, text: Some(words.replace("{}", &why.to_string())), hint: hint(why) }
    }

    /// The failure of a call, with this code.
    pub fn failed(code: u8, why: &Failure) -> Self {
        Self { code, text: Some(why.to_string()), hint: hint(why) }
    }
}

impl From<Failure> for Exit {
    fn from(why: Failure) -> Self {
        Self::failed(ERROR, &why)
    }
}
