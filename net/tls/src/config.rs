//! From settings to rustls' configurations: of listeners, and of connections to other members.
//!
//! Must never lower what was asked for: an unreadable file is an error, and so is a check without an authority.

use crate::error::TlsError;
use crate::files::{CA, Followed, bad, certificates};
use crate::identity::Identity;
use crate::settings::TlsSettings;
use crate::verify::{AnyServer, ClientVerifier, Policy, RevocationList, Roots, ServerVerifier};
use rustls::client::danger::ServerCertVerifier;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS of listeners.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For rustls; without protocols of ALPN, which are the listener's.
    pub config: ServerConfig,
    /// The certificate that is shown.
    pub identity: Arc<Identity>,
}

/// TLS of listeners. `hosts` are what a self-made certificate names.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(tls: &TlsSettings, hosts: &[String]) -> Result<ServerTls, TlsError> {
    tls.check()?;
    let provider = Arc::new(tls.provider()?);
    let identity = Arc::new(own(tls, hosts)?);
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(tls.versions()?)?;
    let asks = tls.client_cert_auth || tls.crl_file.is_some() || tls.allowed != Default::default();
    let config = match &tls.trusted_ca_file {
        None if asks => return Err(TlsError::NoAuthority(tls.side)),
        None => builder.with_no_client_auth().with_cert_resolver(identity.clone()),
        Some(ca) => {
            let policy = policy(tls, authorities(ca)?)?;
            let verifier = ClientVerifier::new(policy, provider.signature_verification_algorithms);
            let mut config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(identity.clone());
            // a resumed session would not look at the revocation list again
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    Ok(ServerTls { config, identity })
}

/// What certificates of the other side must be.
fn policy(tls: &TlsSettings, authorities: Followed<Roots>) -> Result<Policy, TlsError> {
    let revoked = tls.crl_file.clone().map(RevocationList::new).transpose()?;
    Ok(Policy { authorities, revoked, allowed: tls.allowed.clone() })
}

/// TLS of connections to other members: shows the own certificate, and checks theirs by the same rules. Self-made
/// certificates prove nothing, so with them any is taken. Without an authority the system's are trusted.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(tls: &TlsSettings, hosts: &[String]) -> Result<ClientConfig, TlsError> {
    tls.check()?;
    let provider = Arc::new(tls.provider()?);
    let identity = match (&tls.client_cert_file, &tls.client_key_file) {
        (Some(cert), Some(key)) => Identity::new(cert.clone(), key.clone())?,
        (None, None) => own(tls, hosts)?,
        _ => return Err(TlsError::Incomplete(tls.side)),
    };
    let verifier: Arc<dyn ServerCertVerifier> = if tls.auto.is_some() && tls.cert_file.is_none() {
        Arc::new(AnyServer::new())
    } else {
        let trusted = match &tls.trusted_ca_file {
            Some(ca) => authorities(ca)?,
            None => Followed::fixed(Roots::system()),
        };
        Arc::new(ServerVerifier::following(policy(tls, trusted)?, provider.signature_verification_algorithms))
    };
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(tls.versions()?)?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(verifier).with_client_cert_resolver(Arc::new(identity));
    // a resumed session would not look at the revocation list again
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn own(tls: &TlsSettings, hosts: &[String]) -> Result<Identity, TlsError> {
    match (&tls.cert_file, &tls.key_file, &tls.auto) {
        (Some(cert), Some(key), _) => Identity::new(cert.clone(), key.clone()),
        (None, None, Some(auto)) => Identity::self_made(auto, hosts),
        _ => Err(TlsError::Incomplete(tls.side)),
    }
}

fn authorities(ca: &Path) -> Result<Followed<Roots>, TlsError> {
    let path: PathBuf = ca.to_owned();
    Followed::new(vec![(CA, path.clone())], move |bytes| {
        let mut roots = Roots::default();
        for certificate in certificates(CA, &path, &bytes[0])? {
            roots.add(&certificate).map_err(|why| bad(CA, &path, why))?;
        }
        Ok(roots)
    })
}
