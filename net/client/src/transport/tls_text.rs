//! What is wrong with TLS, in the words of Go's library: scripts and people know those.

use super::io_text::io_text;
use std::io;

/// What became of a handshake or of the first bytes behind it.
pub fn tls_text(why: &io::Error) -> String {
    if why.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".into();
    }
    match why.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(of_tls) => tls::error_text(of_tls),
        None => io_text(why),
    }
}
