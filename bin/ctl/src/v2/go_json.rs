//! Texts as Go's JSON has them. Must never be used to read any.

use serde_json::Value;

/// A string as Go's JSON has it.
pub fn go_string(text: &str) -> String {
    let plain = Value::String(text.to_owned()).to_string();
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
