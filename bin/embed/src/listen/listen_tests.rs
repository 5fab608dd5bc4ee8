//! Real sockets on loopback: sharing and errors.

use super::*;

fn one(url: &str) -> Result<Vec<Listen>, ListenError> {
    bind(&[url.to_owned()], None, SocketOptions::default())
}

fn port(listen: &Listen) -> u16 {
    match &listen.listener {
        Listener::Tcp(tcp) => tcp.local_addr().unwrap().port(),
        Listener::Unix(_) => 0,
    }
}

#[test]
fn a_taken_port_is_named() {
    let first = one("http://127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", port(&first[0]));
    let why = one(&url).err().unwrap().to_string();
    assert!(why.contains(&format!("127.0.0.1:{}: address already in use", port(&first[0]))), "{why}");
    let options = SocketOptions { reuse_port: true, ..SocketOptions::default() };
    let shared = bind(&["http://127.0.0.1:0".into()], None, options).unwrap();
    let url = format!("http://127.0.0.1:{}", port(&shared[0]));
    bind(&[url], None, options).unwrap();
}

#[test]
fn tls_urls_need_a_certificate_and_share_sockets() {
    assert!(matches!(one("https://127.0.0.1:0"), Err(ListenError::NoTls(_))));
    assert!(matches!(secure(&["https://127.0.0.1:0".into()], None), Err(ListenError::NoTls(_))));
    let dir = tempfile::tempdir().unwrap();
    let settings =
        TlsSettings { auto: Some(AutoTls { dir: dir.path().join("fixtures"), years: 1 }), ..TlsSettings::default() };
    let urls = ["http://127.0.0.1:0".into(), "https://127.0.0.1:0".into(), "https://[::1]:0".into()];
    let tls = secure(&urls, Some(&settings)).unwrap();
    let listens = bind(&urls, tls.as_ref(), SocketOptions::default()).unwrap();
    let shape: Vec<_> = listens.iter().map(|l| (l.spec.number, l.spec.plain, l.spec.tls.is_some())).collect();
    assert_eq!(shape, [(0, true, true), (1, false, true)]);
    let made = std::fs::read(dir.path().join("fixtures/cert.pem")).unwrap();
    secure(&urls, Some(&settings)).unwrap();
    assert_eq!(std::fs::read(dir.path().join("fixtures/cert.pem")).unwrap(), made, "the certificate is kept");
}

#[test]
fn unix_sockets_replace_dead_ones_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let url = format!("unix://{}", path.display());
    let first = one(&url).unwrap();
    assert!(matches!(one(&url), Err(ListenError::InUse(_))));
    drop(first);
    one(&url).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(one(&url), Err(ListenError::NotASocket(_))));
}
