//! Certificates: who is let in over `https`, and who is not.

use super::harness::{Member, config, introduce, lock, pair_of, run, secured, until};
use super::hostile::hello_of;
use crate::peer::codec::hello::{ANSWER_LEN, DialNumbers, Purpose};
use crate::peer::dial::udp::Dialler;
use crate::peer::port::{PeerAddress, Peers, Transport};
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
        let (client, server) = (Arc::new(client), Arc::new(server));
        Trust { client, server, authenticated: true, proves_diallers: true, compares_origin: true }
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
            // the other one does not dial: it knows nobody
            let peers = Peers { members: vec![one.peer(), two.peer()], removed: Vec::new() };
            one.transport.set_peers(peers);
            if skip {
                one.reaches(&two).await;
            } else {
                tokio::time::sleep(Duration::from_millis(1_000)).await;
                assert!(one.transport.active_since(2).is_none(), "over UDP: {udp}");
            }
            introduce(&[&one, &two]);
            two.reaches(&one).await;
            if udp {
                // if not on its own connection, then on that of the other one, as in etcd
                one.reaches(&two).await;
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

/// Says the hello of `member` to `two`, with this trust, and that it takes messages as well.
async fn poses_as(member: u64, two: &Member, trust: &Trust) -> Result<quinn::Connection, String> {
    let config = config(member);
    let dialler = Dialler::new(&config, two.address()).expect("a port");
    let client = dialler.client(&config, trust, Purpose::Bulk).expect("fits");
    let connecting = dialler.endpoint.connect_with(client, two.address(), "127.0.0.1").expect("starts");
    let connection = connecting.await.map_err(|why| why.to_string())?;
    let (mut out, mut back) = connection.open_bi().await.map_err(|why| why.to_string())?;
    let both_ways = Some(DialNumbers { own: 1, seen: 0 });
    out.write_all(&hello_of(member, Purpose::Raft, both_ways)).await.map_err(|why| why.to_string())?;
    out.write_all(&[0]).await.map_err(|why| why.to_string())?;
    let mut answer = [0; ANSWER_LEN];
    back.read_exact(&mut answer).await.map_err(|why| why.to_string())?;
    // the direction of the dialler stays open
    actix_rt::spawn(async move {
        let mut rest = [0; 64];
        while matches!(back.read(&mut rest).await, Ok(Some(_))) {}
        drop(out);
    });
    Ok(connection)
}

/// Whether the member sends something within `patience` on a connection of somebody who says to be member 1, whom it knows by an `https`
/// URL.
async fn is_sent_to(two: &Member, trust: &Trust, patience: Duration) -> bool {
    let nobody = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("https://{}", nobody.local_addr().expect("bound"));
    let lost = PeerAddress { member: 1, urls: vec![url] };
    two.transport.set_peers(Peers { members: vec![two.peer(), lost], removed: Vec::new() });
    let Ok(connection) = poses_as(1, two, trust).await else { return false };
    tokio::time::timeout(patience, connection.accept_bi()).await.is_ok_and(|stream| stream.is_ok())
}

#[test]
fn an_impostor_is_sent_nothing_on_the_connection_that_it_opened() {
    run(async {
        let (authority, foreign) = (Authority::new(), Authority::new());
        let good = authority.trust(&authority, "127.0.0.1");
        let two = || Member::start(secured(config(2), good.clone()));
        let a_while = Duration::from_millis(800);
        assert!(is_sent_to(&two(), &good, Duration::from_secs(20)).await, "a member of the authority is");
        let strange = authority.trust(&foreign, "127.0.0.1");
        assert!(!is_sent_to(&two(), &strange, a_while).await, "a foreign certificate");
        assert!(!is_sent_to(&two(), &authority.trust(&authority, "10.9.9.9"), a_while).await, "another address");
        // a member that asks no proof of diallers, but checks whom it dials
        let library = Arc::new(provider());
        let (chain, key) = authority.pair("127.0.0.1");
        let server = ServerConfig::builder_with_provider(library)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let lax = Trust { server: Arc::new(server), proves_diallers: false, ..good.clone() };
        let two = Member::start(secured(config(2), lax));
        assert!(!is_sent_to(&two, &strange, a_while).await, "nobody has checked who it is");
    });
}

#[test]
fn members_that_ask_no_proof_of_diallers_dial_each_other() {
    run(async {
        let authority = Authority::new();
        let lax = |own| {
            let mut trust = authority.trust(&authority, "127.0.0.1");
            trust.proves_diallers = false;
            secured(config(own), trust)
        };
        let (one, two) = pair_of(lax(1), lax(2)).await;
        let since = (one.transport.active_since(2), two.transport.active_since(1));
        one.heartbeat(&two, 5);
        two.heartbeat(&one, 6);
        until("a heartbeat", || two.recorder.heartbeats() == [5] && one.recorder.heartbeats() == [6]).await;
        until("a connection each", || {
            one.transport.active_since(2).is_some() && two.transport.active_since(1).is_some()
        })
        .await;
        tokio::time::sleep(2 * one.config.election).await;
        assert_eq!(since, (one.transport.active_since(2), two.transport.active_since(1)), "they do not take turns");
        assert_eq!((one.transport.accepted().await, two.transport.accepted().await), (1, 1));
    });
}
