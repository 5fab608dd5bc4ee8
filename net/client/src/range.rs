//! Ends of ranges.

use bytes::Bytes;

/// The first key that does not begin with `prefix`; `\0`, which means no end, when every key would.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end.into();
        }
        end.pop();
    }
    OPEN
}

/// From a key to the last of all.
pub const OPEN: Bytes = Bytes::from_static(b"\0");

/// A key and the end of everything that begins with it. Every key begins with nothing.
pub fn prefix(key: &[u8]) -> (Bytes, Bytes) {
    if key.is_empty() { (OPEN, OPEN) } else { (Bytes::copy_from_slice(key), prefix_end(key)) }
}

/// A key and everything behind it.
pub fn from_key(key: &[u8]) -> (Bytes, Bytes) {
    (if key.is_empty() { OPEN } else { Bytes::copy_from_slice(key) }, OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(prefix_end(b"a"), "b");
        assert_eq!(prefix_end(b"a\xff"), "b");
        assert_eq!(prefix_end(b"\xff\xff"), "\0");
        assert_eq!(prefix(b""), (OPEN, OPEN));
        assert_eq!(from_key(b""), (OPEN, OPEN));
        assert_eq!(from_key(b"k").0, "k");
    }
}
