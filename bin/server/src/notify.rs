//! Tells the service manager that the member serves (systemd's `Type=notify`).
//!
//! Must never fail the start: without a manager there is nobody to tell.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `READY=1` to `NOTIFY_SOCKET`, if there is one.
///
/// # Errors
/// What the socket says.
pub fn ready() -> std::io::Result<()> {
    match std::env::var("NOTIFY_SOCKET") {
        Ok(path) if !path.is_empty() => send(&path, b"READY=1"),
        _ => Ok(()),
    }
}

fn send(path: &str, text: &[u8]) -> std::io::Result<()> {
    let to = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("conclave-notify-{}", std::process::id());
        let named = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let receivers = [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&named).unwrap(), format!("@{abstract_name}")),
        ];
        for (receiver, at) in receivers {
            send(&at, b"READY=1").unwrap();
            let mut buf = [0; 16];
            let n = receiver.recv(&mut buf).unwrap();
            assert_eq!(&buf[..n], b"READY=1");
        }
    }
}
