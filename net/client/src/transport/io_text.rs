//! Errors of the system in the words of Go's library. Must never hide one.

use std::io;

/// An error of the system in Go's words: small letters, no number.
pub fn io_text(why: &io::Error) -> String {
    let text = why.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
