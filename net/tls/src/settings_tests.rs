//! Handshakes in memory with good, renewed and revoked certificates; files that cannot be used.

use crate::verify::Certificate;
use crate::{TlsError, TlsSettings, TlsVersion, server_config};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use std::path::Path;
use std::sync::Arc;

#[test]
fn unusable_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut tls = TlsSettings { cert_file: Some("/nowhere.pem".into()), ..TlsSettings::default() };
    let words = |tls: &TlsSettings| server_config(tls, &[]).err().unwrap().to_string();
    assert!(words(&tls).contains("--key-file"));
    tls.key_file = Some("/nowhere.key".into());
    assert!(words(&tls).contains("cannot read certificate /nowhere.pem"));
    let pki = Pki::new(dir.path());
    tls = pki.tls();
    std::fs::write(dir.path().join("server.key"), pki.client(9).1).unwrap();
    assert!(words(&tls).contains("does not belong to certificate"), "{}", words(&tls));
}

#[test]
fn suites_and_versions() {
    let with = |suites: &[&str], min: TlsVersion, max: Option<TlsVersion>| TlsSettings {
        cipher_suites: suites.iter().map(|s| (*s).to_owned()).collect(),
        min_version: min,
        max_version: max,
        ..TlsSettings::default()
    };
    let old = TlsVersion::V1_2;
    let mixed = ["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];
    with(&mixed, old, None).check().unwrap();
    with(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"], old, None).check().unwrap();
    assert!(matches!(with(&mixed[..1], old, None).check(), Err(TlsError::WeakSuites)));
    assert!(matches!(with(&["foo"], old, None).check(), Err(TlsError::UnknownSuite(_))));
    assert!(matches!(with(&mixed, TlsVersion::V1_3, None).check(), Err(TlsError::FixedSuites)));
    assert!(matches!(with(&[], TlsVersion::V1_3, Some(old)).check(), Err(TlsError::VersionRange)));
}

/// An authority of its own, a server certificate and client certificates.
struct Pki {
    dir: std::path::PathBuf,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Pki {
    fn new(dir: &Path) -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let pki = Self { dir: dir.to_owned(), issuer };
        std::fs::write(dir.join("ca.pem"), pki.issuer.pem()).unwrap();
        pki.renew_server(1);
        pki
    }

    fn signed(&self, serial: u64) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn renew_server(&self, serial: u64) {
        let (cert, key) = self.signed(serial);
        std::fs::write(self.dir.join("server.pem"), cert).unwrap();
        std::fs::write(self.dir.join("server.key"), key).unwrap();
    }

    fn client(&self, serial: u64) -> (String, String) {
        self.signed(serial)
    }

    fn revoke(&self, serials: &[u64]) {
        let now = rcgen::date_time_ymd(2026, 1, 1);
        let revoked = |serial: &u64| rcgen::RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = rcgen::CertificateRevocationListParams {
            this_update: now,
            next_update: rcgen::date_time_ymd(2036, 1, 1),
            crl_number: 1u64.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        std::fs::write(self.dir.join("crl"), list.der()).unwrap();
    }

    fn tls(&self) -> TlsSettings {
        TlsSettings {
            cert_file: Some(self.dir.join("server.pem")),
            key_file: Some(self.dir.join("server.key")),
            ..TlsSettings::default()
        }
    }
}

/// Shakes hands in memory; the serial number of the server's certificate, or the server's reason.
fn shake(config: &Arc<rustls::ServerConfig>, pki: &Pki, client: Option<(String, String)>) -> Result<String, String> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.issuer.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(crate::provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let settings = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(settings), name).unwrap();
    let mut server = ServerConnection::new(config.clone()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|why| crate::error_text(&why))?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|why| why.to_string())?;
    }
    Ok(Certificate::parse(&client.peer_certificates().unwrap()[0]).unwrap().serial_text())
}

#[test]
fn renewed_certificates_show_at_the_next_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let config = Arc::new(server_config(&pki.tls(), &[]).unwrap().config);
    assert_eq!(shake(&config, &pki, None), Ok("01".into()));
    pki.renew_server(2);
    assert_eq!(shake(&config, &pki, None), Ok("02".into()));
    std::fs::write(dir.path().join("server.pem"), "half a file").unwrap();
    assert_eq!(shake(&config, &pki, None), Ok("02".into()), "the last good one stays");
}

#[test]
fn clients_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    pki.revoke(&[]);
    let mut tls = TlsSettings { client_cert_auth: true, ..pki.tls() };
    assert!(matches!(server_config(&tls, &[]), Err(TlsError::NoAuthority(_))));
    tls.trusted_ca_file = Some(dir.path().join("ca.pem"));
    tls.crl_file = Some(dir.path().join("crl"));
    let config = Arc::new(server_config(&tls, &[]).unwrap().config);
    assert!(shake(&config, &pki, None).is_err(), "no certificate");
    let stranger = tempfile::tempdir().unwrap();
    assert!(shake(&config, &pki, Some(Pki::new(stranger.path()).client(7))).is_err(), "another authority's");
    let client = pki.client(0x8081);
    assert_eq!(shake(&config, &pki, Some(client.clone())), Ok("01".into()));
    pki.revoke(&[7, 0x8081]);
    let why = shake(&config, &pki, Some(client)).unwrap_err();
    assert!(why.contains("is revoked (serial number 8081)"), "{why}");
    assert!(shake(&config, &pki, Some(pki.client(9))).is_ok());
    std::fs::write(dir.path().join("crl"), "damaged").unwrap();
    assert!(shake(&config, &pki, Some(pki.client(9))).is_err(), "a damaged list refuses everybody");
    tls.crl_file = None;
    tls.allowed.hostnames = vec!["other".into()];
    let config = Arc::new(server_config(&tls, &[]).unwrap().config);
    assert!(shake(&config, &pki, Some(pki.client(9))).is_err(), "not valid for that name");
    tls.allowed.hostnames.push("localhost".into());
    let config = Arc::new(server_config(&tls, &[]).unwrap().config);
    assert!(shake(&config, &pki, Some(pki.client(9))).is_ok());
}
