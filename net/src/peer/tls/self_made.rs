//! `http` peer URLs: encrypted with a certificate made at each start, and any certificate of the other side is taken.

use super::{Trust, provider};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, Error, ServerConfig};
use std::sync::Arc;
use tls::verify::AnyServer;

pub(super) fn trust() -> Result<Trust, Error> {
    let made = |why: rcgen::Error| Error::General(format!("cannot make a certificate: {why}"));
    let key = KeyPair::generate().map_err(made)?;
    let certificate = CertificateParams::new(vec!["conclave-peer".to_owned()]).map_err(made)?;
    let certificate = certificate.self_signed(&key).map_err(made)?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let library = Arc::new(provider());
    let server = ServerConfig::builder_with_provider(library.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    let client = ClientConfig::builder_with_provider(library)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer::new()))
        .with_no_client_auth();
    Ok(Trust {
        client: Arc::new(client),
        server: Arc::new(server),
        authenticated: false,
        proves_diallers: false,
        compares_origin: false,
    })
}
