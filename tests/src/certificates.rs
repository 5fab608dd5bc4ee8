//! An authority, a server's certificate and clients' certificates as files, and connections that show one of them.
//!
//! Must never skip a check of the server's certificate.

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Files `ca.pem`, `server.pem`, `server.key`, and a pair for each client.
pub struct Certificates {
    dir: PathBuf,
    /// Signs; `None` when the files were there already.
    issuer: Option<Issuer<'static, KeyPair>>,
}

impl Certificates {
    /// Those in a folder; made there when there are none. A client's file is called `client-` and its common name; one with an empty
    /// name has no common name.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn in_dir(dir: &Path, clients: &[&str]) -> Self {
        let mut all = Self { dir: dir.to_owned(), issuer: None };
        if all.path("ca.pem").exists() {
            return all;
        }
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("signed");
        all.write("ca.pem", &own.pem());
        all.issuer = Some(Issuer::new(params, key));
        all.make("server", "server", "127.0.0.1");
        clients.iter().for_each(|name| all.make_client(name, "127.0.0.1"));
        all
    }

    /// Makes a client's pair that is for this host.
    ///
    /// # Panics
    /// When the authority was made by another run, or a file cannot be written.
    pub fn make_client(&self, name: &str, host: &str) {
        self.make(&format!("client-{name}"), name, host);
    }

    /// Writes `crl.der`, by which these clients are revoked and nobody else.
    ///
    /// # Panics
    /// As [`Self::make_client`].
    pub fn revoke(&self, clients: &[&str]) {
        let made = rcgen::date_time_ymd(2026, 1, 1);
        let revoked = |client: &&str| RevokedCertParams {
            serial_number: serial(&format!("client-{client}")).into(),
            revocation_time: made,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: made,
            next_update: rcgen::date_time_ymd(2046, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: clients.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(self.issuer()).expect("signed");
        std::fs::write(self.path("crl.der"), list.der()).expect("a file");
    }

    fn issuer(&self) -> &Issuer<'static, KeyPair> {
        self.issuer.as_ref().expect("an authority of this run")
    }

    fn make(&self, file: &str, common_name: &str, host: &str) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.serial_number = Some(serial(file).into());
        params.distinguished_name = DistinguishedName::new();
        if !common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common_name);
        }
        let certificate = params.signed_by(&key, self.issuer()).expect("signed");
        self.write(&format!("{file}.pem"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// A file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What a client connects with that shows the certificate of `client`; with protocols to choose from.
    ///
    /// # Panics
    /// When a file cannot be read.
    pub fn connector(&self, client: &str, protocols: &[&[u8]]) -> TlsConnector {
        let authority = CertificateDer::from_pem_file(self.path("ca.pem")).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("an authority");
        let certificate =
            CertificateDer::from_pem_file(self.path(&format!("client-{client}.pem"))).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("client-{client}.key"))).expect("a key");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let mut config = config.with_client_auth_cert(vec![certificate], key).expect("a pair");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// A connection by TLS that shows the certificate of a client.
    ///
    /// # Panics
    /// When the server or the files do not allow it.
    pub async fn socket(&self, at: SocketAddr, client: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(at).await.expect("connect");
        let connector = self.connector(client, &[protocol]);
        connector.connect(ServerName::from(at.ip()), socket).await.expect("a handshake")
    }

    /// A connection of gRPC that shows the certificate of a client.
    ///
    /// # Panics
    /// When the server or the files do not allow it.
    pub async fn connect(&self, address: SocketAddr, client: &str) -> Channel {
        let connector = self.connector(client, &[b"h2"]);
        let connect = tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move {
                let socket = TcpStream::connect(address).await?;
                let name = ServerName::from(address.ip());
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, socket).await?))
            }
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        endpoint.connect_with_connector(connect).await.expect("connect")
    }
}

/// The serial number of a file's certificate.
fn serial(file: &str) -> u64 {
    u64::from(crc32c::crc32c(file.as_bytes())) + 1
}
