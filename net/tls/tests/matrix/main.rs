//! Certificates of every kind as a server's and as a client's, against Go's verdict on each.
//!
//! `expected.txt` has what is said here; where Go says something else, a line beginning with `go` has that. How it is made
//! again: `docs/testing.md`, "Certificates". Skipped, with a line that says so, where there is no `openssl`.

mod pki;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, ServerConnection, SupportedProtocolVersion, version};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tls::verify::{Roots, ServerVerifier};
use tls::{Own, TlsSettings, TlsVersion, error_text, provider, server_config};

const EXPECTED: &str = include_str!("expected.txt");

/// The files, kept when the environment says where.
fn folder() -> Option<(PathBuf, Option<tempfile::TempDir>)> {
    let (path, temporary) = match std::env::var_os("CERTIFICATES_DIR") {
        Some(path) => (PathBuf::from(path), None),
        None => {
            let temporary = tempfile::tempdir().expect("a folder");
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix");
    if pki::make(&path, &keys, &[]).is_none() {
        eprintln!("SKIPPED: there is no `openssl` on this machine");
        return None;
    }
    Some((path, temporary))
}

fn roots(folder: &Path, name: &str) -> Roots {
    let mut roots = Roots::default();
    let pem = std::fs::read(folder.join(format!("{name}.leaf.pem"))).expect("an authority");
    let der = rustls::pki_types::CertificateDer::from_pem_slice(&pem).expect("PEM");
    // an authority that cannot be read is trusted by nobody, in Go too
    let _ = roots.add(&der);
    roots
}

static ONLY_12: &[&SupportedProtocolVersion] = &[&version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];

struct Shown<'a> {
    folder: &'a Path,
    name: &'a str,
    trust: &'a str,
    newest: TlsVersion,
}

impl Shown<'_> {
    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    fn own(&self) -> Result<Own, String> {
        let file = |ending| std::fs::read(self.path(self.name, ending)).expect("a file");
        Own::from_pem(&file("pem"), &file("key")).map_err(|why| format!("load: {why}"))
    }

    /// Of a server that shows `pair`, and asks for certificates of `ca` when one is given.
    fn settings(&self, pair: &str, ca: Option<&str>) -> TlsSettings {
        TlsSettings {
            cert_file: Some(self.path(pair, "pem")),
            key_file: Some(self.path(pair, "key")),
            trusted_ca_file: ca.map(|ca| self.path(ca, "leaf.pem")),
            max_version: Some(self.newest),
            ..TlsSettings::default()
        }
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.newest == TlsVersion::V1_2 { ONLY_12 } else { ONLY_13 }
    }

    /// What the client says of this certificate as a server's.
    fn as_server(&self) -> String {
        if let Err(why) = self.own() {
            return why;
        }
        let server = match server_config(&self.settings(self.name, None), &[]) {
            Ok(server) => server.config,
            Err(why) => return format!("load: {why}"),
        };
        let client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(self.versions())
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(roots(self.folder, self.trust))))
            .with_no_client_auth();
        shake(server, client).1
    }

    /// What the server says of this certificate as a client's.
    fn as_client(&self) -> String {
        let own = match self.own() {
            Ok(own) => own,
            Err(why) => return why,
        };
        let server = match server_config(&self.settings("good", Some(self.trust)), &[]) {
            Ok(server) => server.config,
            Err(why) => return format!("trusted file: {why}"),
        };
        let client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(self.versions())
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(roots(self.folder, "ca"))))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified)));
        shake(server, client).0
    }
}

/// A handshake in memory: what the server says of it, and what the client says.
fn shake(server: rustls::ServerConfig, client: ClientConfig) -> (String, String) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    let mut said = ["taken".to_owned(), "taken".to_owned()];
    let tell = |why: rustls::Error| without_time(&error_text(&why));
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        server.read_tls(&mut wire.as_slice()).expect("memory");
        if let Err(why) = server.process_new_packets() {
            said[0] = tell(why);
            break;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        client.read_tls(&mut wire.as_slice()).expect("memory");
        if let Err(why) = client.process_new_packets() {
            said[1] = tell(why);
            break;
        }
    }
    let is_over = !client.is_handshaking() && !server.is_handshaking();
    assert!(is_over || said.iter().any(|text| text != "taken"), "neither taken nor refused");
    let [server, client] = said;
    (server, client)
}

fn without_time(text: &str) -> String {
    let Some((before, rest)) = text.split_once("current time ") else { return text.to_owned() };
    let after = rest.split_once(' ').map_or("", |(_, after)| after);
    format!("{before}current time T {after}")
}

fn page(folder: &Path, newest: TlsVersion) -> String {
    let mut page = String::new();
    for one in pki::SHOWN {
        let shown = Shown { folder, name: one.name, trust: one.trust, newest };
        let _ = writeln!(page, "{}\n  server: {}\n  client: {}", one.name, shown.as_server(), shown.as_client());
    }
    page
}

/// The expected page without what Go says.
fn expected() -> String {
    let ours = EXPECTED.lines().filter(|line| !line.starts_with('#') && !line.trim_start().starts_with("go "));
    ours.fold(String::new(), |page, line| page + line + "\n")
}

#[test]
fn certificates_are_taken_and_refused_as_by_go() {
    let Some((folder, _kept)) = folder() else { return };
    let page = page(&folder, TlsVersion::V1_3);
    if let Some(path) = std::env::var_os("CERTIFICATES_SAID") {
        std::fs::write(path, &page).expect("the page is written");
    }
    let wrong: Vec<String> = page
        .lines()
        .zip(expected().lines())
        .filter(|(is, wanted)| is != wanted)
        .map(|(is, wanted)| format!("is:     {is}\nwanted: {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(page.lines().count(), expected().lines().count());
    assert_eq!(self::page(&folder, TlsVersion::V1_2), page, "TLS 1.2 gives the same verdicts");
}

/// So that the program that asks Go knows what to ask: a line for each certificate, with what is trusted.
#[test]
#[ignore = "writes the list for the comparison with Go"]
fn list() {
    let lines = pki::SHOWN.iter().fold(String::new(), |all, one| format!("{all}{} {}\n", one.name, one.trust));
    std::fs::write(std::env::var_os("CERTIFICATES_LIST").expect("where to"), lines).expect("the list is written");
}
