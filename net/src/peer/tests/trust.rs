//! Certificates: who is let in over `https`, and who is not.

use super::harness::{Member, config, introduce, lock, pair_of, run, secured, until};
use crate::peer::port::Transport;
use crate::peer::tls::{Trust, provider};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::Duration;

/// An authority of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed").der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
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
        Trust { client: Arc::new(client), server: Arc::new(server), authenticated: true }
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
