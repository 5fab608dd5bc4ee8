//! One line of an answer. Must never decide what stands in it.

/// A line of text.
pub fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}
