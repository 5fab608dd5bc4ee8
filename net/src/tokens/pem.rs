//! Key files: the first block of a PEM file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What kind of key it is called, and its bytes.
pub(super) fn first_block(file: &[u8]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(file).ok()?;
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    // headers of old key files say that they are encrypted; such a key is of no use here
    if body.contains(':') {
        return None;
    }
    let body: String = body.split_whitespace().collect();
    Some((label.to_owned(), STANDARD.decode(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_is_read_and_nothing_else() {
        let file = b"words\n-----BEGIN PUBLIC KEY-----\nAQID\n BA==\n-----END PUBLIC KEY-----\n-----BEGIN X-----\n-----END X-----";
        assert_eq!(first_block(file), Some(("PUBLIC KEY".into(), vec![1, 2, 3, 4])));
        let cut = b"-----BEGIN PUBLIC KEY-----\nAQID";
        let encrypted =
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END RSA PRIVATE KEY-----";
        for broken in [&cut[..], &encrypted[..], b"", b"\xff", b"-----BEGIN A-----\n!\n-----END A-----"] {
            assert_eq!(first_block(broken), None);
        }
    }
}
