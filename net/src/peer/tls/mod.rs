//! TLS of connections between members: what `http` and `https` peer URLs mean, for QUIC and for TCP.
//!
//! What a certificate must fulfil is decided where configurations are built from files, not here. Must never speak plain text between
//! members: an `http` URL is encrypted with a certificate made at each start, which proves nothing about who is there.

mod keys;
mod provider;
mod self_made;

pub use keys::SecretKeys;
pub use provider::provider;

use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use tls::{Identity, TlsError, TlsSettings};

/// What members speak inside TLS. Connections that offer something else get HTTP.
pub const ALPN: &[u8] = b"conclave-peer";
/// What browsers and scrapers speak.
pub const ALPN_HTTP: &[u8] = b"http/1.1";

/// How connections are made and taken, for one kind of URL.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For connections that are dialled.
    pub client: Arc<ClientConfig>,
    /// For connections that are taken.
    pub server: Arc<ServerConfig>,
    /// The other side of a dialled connection has proved who it is.
    pub authenticated: bool,
    /// A member that dials must show a certificate, which is checked.
    pub proves_diallers: bool,
    /// A certificate that is shown by a member that dials must be for the address it dials from.
    pub compares_origin: bool,
}

/// TLS of a member's peer connections.
#[derive(Clone, Debug)]
pub struct PeerTls {
    open: Trust,
    secure: Option<Trust>,
}

impl PeerTls {
    /// Members with `http` URLs are trusted without proof; `secure` is for those with `https` URLs, from the files of the flags.
    ///
    /// # Errors
    /// The library cannot make a certificate.
    pub fn new(secure: Option<Trust>) -> Result<Self, rustls::Error> {
        Ok(Self { open: self_made::trust()?, secure })
    }

    /// For URLs of this kind; `None` when they are `https` and no certificates were given.
    pub fn of(&self, secure: bool) -> Option<&Trust> {
        if secure { self.secure.as_ref() } else { Some(&self.open) }
    }
}

impl Trust {
    /// What `https` URLs mean with these settings. `hosts` are what a self-made certificate names. With it comes the certificate that is
    /// shown, for those who watch its end.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_settings(settings: &TlsSettings, hosts: &[String]) -> Result<(Self, Arc<Identity>), TlsError> {
        let server = tls::server_config(settings, hosts)?;
        let client = tls::client_config(settings, hosts)?;
        // with --peer-auto-tls any certificate is taken
        let authenticated = settings.auto.is_none() || settings.cert_file.is_some();
        let trust = Self {
            client: Arc::new(client),
            server: Arc::new(server.config),
            authenticated,
            proves_diallers: settings.trusted_ca_file.is_some(),
            compares_origin: !settings.skip_origin,
        };
        Ok((trust, server.identity))
    }

    /// For TCP: members first, HTTP for everybody else.
    pub fn tcp_server(&self) -> Arc<ServerConfig> {
        let mut config = (*self.server).clone();
        config.alpn_protocols = vec![ALPN.to_vec(), ALPN_HTTP.to_vec()];
        Arc::new(config)
    }

    /// For TCP.
    pub fn tcp_client(&self) -> Arc<ClientConfig> {
        let mut config = (*self.client).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }

    /// For a question over HTTP, asked before there are connections of members.
    pub fn http_client(&self) -> Arc<ClientConfig> {
        let mut config = (*self.client).clone();
        config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        Arc::new(config)
    }

    /// For QUIC.
    ///
    /// # Errors
    /// The configuration does not allow TLS 1.3 and AES-128, which QUIC begins with.
    pub fn quic_server(&self) -> Result<Arc<quinn::crypto::rustls::QuicServerConfig>, rustls::Error> {
        let mut config = (*self.server).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        quinn::crypto::rustls::QuicServerConfig::try_from(config).map(Arc::new).map_err(unfit)
    }

    /// For QUIC.
    ///
    /// # Errors
    /// As [`Self::quic_server`].
    pub fn quic_client(&self) -> Result<Arc<quinn::crypto::rustls::QuicClientConfig>, rustls::Error> {
        let mut config = (*self.client).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_early_data = false;
        // a resumed session would not look at certificates again
        config.resumption = rustls::client::Resumption::disabled();
        quinn::crypto::rustls::QuicClientConfig::try_from(config).map(Arc::new).map_err(unfit)
    }
}

fn unfit(why: quinn::crypto::rustls::NoInitialCipherSuite) -> rustls::Error {
    rustls::Error::General(format!("peer connections need TLS 1.3 with TLS_AES_128_GCM_SHA256: {why}"))
}
