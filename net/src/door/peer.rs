//! Who is at the other end of a connection.

use rustls::pki_types::CertificateDer;
use std::cell::OnceCell;
use std::net::SocketAddr;
use tls::verify::Certificate;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address of the peer; `None` on a unix socket or inside the process.
    pub addr: Option<SocketAddr>,
    /// What TLS knows of it; `None` for a plain connection.
    pub tls: Option<PeerTls>,
    /// The number its listener was given, see [`ListenSpec`](super::ListenSpec).
    pub listener: u32,
    /// False on a listener for plain HTTP only.
    pub grpc: bool,
    /// False on a listener for gRPC only.
    pub http: bool,
    /// True on a listener for scrapers and probes only.
    pub metrics_only: bool,
}

/// TLS facts of a peer.
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// Verified client certificates, leaf first; empty when none was sent.
    pub certs: Vec<CertificateDer<'static>>,
    /// Server name the client asked for.
    pub server_name: Option<String>,
    /// Read when first asked for.
    pub(super) common_name: OnceCell<String>,
}

impl PeerTls {
    /// Common name of the client's certificate, empty when it has none; `None` without a certificate.
    pub fn common_name(&self) -> Option<&str> {
        let leaf = self.certs.first()?;
        let read = || Certificate::parse(leaf).map(|read| read.common_name().to_owned()).unwrap_or_default();
        Some(self.common_name.get_or_init(read))
    }
}

#[cfg(test)]
impl Peer {
    /// A client that shows a certificate with this common name.
    pub(crate) fn of_certificate(common_name: &str) -> Self {
        let certs = vec![CertificateDer::from(Vec::new())];
        let tls = PeerTls { certs, server_name: None, common_name: OnceCell::from(common_name.to_owned()) };
        Self { addr: None, tls: Some(tls), listener: 0, grpc: true, http: true, metrics_only: false }
    }
}
