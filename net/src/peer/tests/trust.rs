//! Certificates: who is let in over `https`, and who is not.

use super::harness::{Member, config, introduce, lock, pair_of, run, secured, until};
use crate::peer::port::Transport;
use crate::peer::tls::{Trust, provider};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tls::verify::AllowedNames;
use tls::{AutoTls, Side, TlsSettings};

/// An authority of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        Self::with_pem().0
    }

    fn with_pem() -> (Self, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = params.self_signed(&key).expect("signed");
        let certificate = signed.der().clone();
        (Self { issuer: Issuer::new(params, key), certificate }, signed.pem())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority");
        Arc::new(roots)
    }

    fn pair(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").der().clone();
        (vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// Mutual TLS: `own` signs what is shown, this authority what is believed.
    fn trust(&self, own: &Authority, name: &str) -> Trust {
        let library = Arc::new(provider());
        let (chain, key) = own.pair(name);
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), library.clone());
        let server = ServerConfig::builder_with_provider(library.clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("roots"))
            .with_single_cert(chain.clone(), key.clone_key())
            .expect("a pair");
        let client = ClientConfig::builder_with_provider(library)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(chain, key)
            .expect("a pair");
        Trust { client: Arc::new(client), server: Arc::new(server), authenticated: true, compares_origin: true }
    }
}

#[test]
fn members_with_certificates_of_one_authority_talk_over_udp_and_tcp() {
    run(async {
        let authority = Authority::new();
        for udp in [true, false] {
            let member = |own| {
                let mut config = secured(config(own), authority.trust(&authority, "127.0.0.1"));
                config.path.udp = udp;
                config
            };
            let (one, two) = pair_of(member(1), member(2)).await;
            one.heartbeat(&two, 5);
            until("a heartbeat", || two.recorder.heartbeats() == [5]).await;
            assert_eq!(one.counters(&two).over_tcp.load(std::sync::atomic::Ordering::Relaxed), !udp);
        }
    });
}

async fn stays_out(one: Member, two: Member) {
    introduce(&[&one, &two]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(one.transport.active_since(2).is_none());
    assert!(lock(&two.recorder.vitals).is_empty() && two.recorder.heartbeats().is_empty());
}

#[test]
fn a_foreign_authority_is_refused_by_the_side_that_is_dialled() {
    run(async {
        let authority = Authority::new();
        let foreign = Authority::new();
        // it believes the others, and shows what they do not believe
        let one = Member::start(secured(config(1), authority.trust(&foreign, "127.0.0.1")));
        let two = Member::start(secured(config(2), authority.trust(&authority, "127.0.0.1")));
        stays_out(one, two).await;
    });
}

#[test]
fn a_server_that_is_not_believed_is_not_talked_to() {
    run(async {
        let authority = Authority::new();
        let foreign = Authority::new();
        let one = Member::start(secured(config(1), foreign.trust(&authority, "127.0.0.1")));
        let two = Member::start(secured(config(2), authority.trust(&authority, "127.0.0.1")));
        stays_out(one, two).await;
        let one = Member::start(secured(config(1), authority.trust(&authority, "127.0.0.1")));
        let two = Member::start(secured(config(2), authority.trust(&authority, "somewhere.else")));
        stays_out(one, two).await;
    });
}

#[test]
fn a_self_made_certificate_is_no_way_into_a_cluster_with_certificates() {
    run(async {
        let authority = Authority::new();
        let one = Member::start(config(1));
        let two = Member::start(secured(config(2), authority.trust(&authority, "127.0.0.1")));
        let mut peers = crate::peer::port::Peers::default();
        peers
            .members
            .push(crate::peer::port::PeerAddress { member: 2, urls: vec![two.url().replace("https", "http")] });
        one.transport.set_peers(peers);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(one.transport.active_since(2).is_none());
        assert!(lock(&two.recorder.vitals).is_empty());
    });
}

/// Files as an operator has them, in `dir`: an authority, and a pair of it for the loopback with this common name.
fn files(dir: &Path, authority: &Authority, pem: &str, common_name: &str) -> TlsSettings {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, common_name);
    let certificate = params.signed_by(&key, &authority.issuer).expect("signed");
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("written");
        Some(path)
    };
    TlsSettings {
        side: Side::Peer,
        cert_file: write(&format!("{common_name}.crt"), &certificate.pem()),
        key_file: write(&format!("{common_name}.key"), &key.serialize_pem()),
        trusted_ca_file: write("ca.crt", pem),
        client_cert_auth: true,
        ..TlsSettings::default()
    }
}

fn trust_of(settings: &TlsSettings) -> Trust {
    Trust::from_settings(settings, &[]).expect("usable files").0
}

#[test]
fn allowed_common_names_hold_on_both_sides_and_files_are_followed() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let (authority, pem) = Authority::with_pem();
        let allowed = |settings| TlsSettings {
            allowed: AllowedNames { common_names: vec!["member".into()], ..AllowedNames::default() },
            ..settings
        };
        let good = allowed(files(dir.path(), &authority, &pem, "member"));
        let stranger = files(dir.path(), &authority, &pem, "somebody");
        let one = Member::start(secured(config(1), trust_of(&stranger)));
        let two = Member::start(secured(config(2), trust_of(&good)));
        introduce(&[&one, &two]);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(one.transport.active_since(2).is_none() && two.transport.active_since(1).is_none());
        // the stranger's files are replaced by good ones, while it runs
        let copy = |from: &Option<std::path::PathBuf>, to: &Option<std::path::PathBuf>| {
            std::fs::copy(from.as_ref().expect("a file"), to.as_ref().expect("a file")).expect("copied");
        };
        copy(&good.key_file, &stranger.key_file);
        copy(&good.cert_file, &stranger.cert_file);
        one.reaches(&two).await;
        two.reaches(&one).await;
        one.heartbeat(&two, 5);
        until("a heartbeat", || two.recorder.heartbeats() == [5]).await;
    });
}

/// A pair that is shown on connections to others, and names this host.
fn shown_to_others(dir: &Path, authority: &Authority, host: &str) -> (Option<PathBuf>, Option<PathBuf>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority.issuer).expect("signed");
    let paths = (dir.join("shown.crt"), dir.join("shown.key"));
    std::fs::write(&paths.0, certificate.pem()).expect("written");
    std::fs::write(&paths.1, key.serialize_pem()).expect("written");
    (Some(paths.0), Some(paths.1))
}

#[test]
fn a_certificate_must_be_for_the_address_it_comes_from_unless_that_is_skipped() {
    run(async {
        for (udp, skip) in [(true, false), (false, false), (true, true), (false, true)] {
            let dir = tempfile::tempdir().expect("a folder");
            let (authority, pem) = Authority::with_pem();
            let plain = |name: &str| TlsSettings { skip_origin: skip, ..files(dir.path(), &authority, &pem, name) };
            let (client_cert_file, client_key_file) = shown_to_others(dir.path(), &authority, "10.9.9.9");
            let moved = TlsSettings { client_cert_file, client_key_file, ..plain("one") };
            let member = |own, settings: &TlsSettings| {
                let mut config = secured(config(own), trust_of(settings));
                config.path.udp = udp;
                Member::start(config)
            };
            let (one, two) = (member(1, &moved), member(2, &plain("two")));
            introduce(&[&one, &two]);
            two.reaches(&one).await;
            if skip {
                one.reaches(&two).await;
            } else {
                tokio::time::sleep(Duration::from_millis(1_000)).await;
                assert!(one.transport.active_since(2).is_none(), "over UDP: {udp}");
            }
        }
    });
}

#[test]
fn members_with_made_certificates_talk_over_https() {
    run(async {
        let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let settings = |at: usize| TlsSettings {
            side: Side::Peer,
            auto: Some(AutoTls { dir: dirs[at].path().into(), years: 1 }),
            ..TlsSettings::default()
        };
        let (one, two) =
            pair_of(secured(config(1), trust_of(&settings(0))), secured(config(2), trust_of(&settings(1)))).await;
        one.transport.set_peers(crate::peer::port::Peers { members: vec![one.peer()], removed: vec![2] });
        until("told", || !lock(&two.recorder.told_removed).is_empty()).await;
        assert_eq!(lock(&two.recorder.told_removed)[0], (1, false), "whoever is taken without proof proves nothing");
    });
}
