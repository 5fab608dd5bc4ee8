//! Flags of TLS, of clients and of other members, to settings. Only what flags say is checked: no file is read.

use crate::flags::Given;
use embed::listen::{AllowedNames, AutoTls, Side, TlsSettings};
use std::path::Path;

/// TLS of clients; `None` when no certificate is given and none is to be made.
///
/// # Errors
/// etcd's texts.
pub fn of_clients(given: &Given, data_dir: &Path) -> Result<Option<TlsSettings>, String> {
    let auto = auto(given, "auto-tls", &["cert-file", "key-file"], data_dir, "client")?;
    let tls = TlsSettings {
        side: Side::Client,
        cert_file: given.path("cert-file"),
        key_file: given.path("key-file"),
        client_cert_auth: given.flag("client-cert-auth"),
        trusted_ca_file: given.path("trusted-ca-file"),
        crl_file: given.path("client-crl-file"),
        allowed: AllowedNames { hostnames: given.list("client-cert-allowed-hostname"), ..AllowedNames::default() },
        auto,
        ..common(given)?
    };
    tls.check().map_err(|why| why.to_string())?;
    if has_certificate(&tls) {
        return Ok(Some(tls));
    }
    if let Some(url) = secure(given, "listen-client-urls").or_else(|| secure(given, "listen-client-http-urls")) {
        return Err(format!(
            "TLS key/cert (--cert-file, --key-file) must be provided for client url {url} with HTTPS scheme"
        ));
    }
    if let Some(url) = secure(given, "listen-metrics-urls") {
        return Err(format!(
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url {url}"
        ));
    }
    Ok(None)
}

/// TLS of other members; `None` when no certificate is given and none is to be made. Without an `https` URL nobody reads the files, as
/// in etcd.
///
/// # Errors
/// etcd's texts.
pub fn of_peers(given: &Given, data_dir: &Path) -> Result<Option<TlsSettings>, String> {
    let auto = auto(given, "peer-auto-tls", &["peer-cert-file", "peer-key-file"], data_dir, "peer")?;
    let tls = TlsSettings {
        side: Side::Peer,
        cert_file: given.path("peer-cert-file"),
        key_file: given.path("peer-key-file"),
        client_cert_file: given.path("peer-client-cert-file"),
        client_key_file: given.path("peer-client-key-file"),
        client_cert_auth: given.flag("peer-client-cert-auth"),
        trusted_ca_file: given.path("peer-trusted-ca-file"),
        crl_file: given.path("peer-crl-file"),
        allowed: AllowedNames {
            common_names: given.list("peer-cert-allowed-cn"),
            hostnames: given.list("peer-cert-allowed-hostname"),
        },
        skip_origin: given.flag("peer-skip-client-san-verification"),
        auto,
        ..common(given)?
    };
    tls.check().map_err(|why| why.to_string())?;
    let uses_tls = secure(given, "listen-peer-urls")
        .or_else(|| secure(given, "initial-advertise-peer-urls"))
        .or_else(|| given.text("initial-cluster").contains("=https:").then(String::new));
    match uses_tls {
        Some(_) if has_certificate(&tls) => Ok(Some(tls)),
        Some(url) => Err(format!(
            "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url {url} with HTTPS scheme"
        )),
        None => Ok(None),
    }
}

fn has_certificate(tls: &TlsSettings) -> bool {
    tls.cert_file.is_some() || tls.key_file.is_some() || tls.auto.is_some()
}

/// The first URL of a flag that says TLS.
fn secure(given: &Given, name: &str) -> Option<String> {
    given.list(name).into_iter().find(|url| url.starts_with("https") || url.starts_with("unixs"))
}

/// A certificate is to be made, because none of the files is given.
fn auto(given: &Given, flag: &str, files: &[&str], data_dir: &Path, side: &str) -> Result<Option<AutoTls>, String> {
    let years: u32 = given.number("self-signed-cert-validity");
    if years == 0 {
        return Err("selfSignedCertValidity is invalid,it should be greater than 0".into());
    }
    let made = given.flag(flag) && files.iter().all(|name| given.path(name).is_none());
    Ok(made.then(|| AutoTls { dir: data_dir.join("fixtures").join(side), years }))
}

/// What flags say for both sides.
fn common(given: &Given) -> Result<TlsSettings, String> {
    let version = |text: &str| text.parse().map_err(|why: embed::listen::TlsError| why.to_string());
    let max = Some(given.text("tls-max-version")).filter(|text| !text.is_empty());
    Ok(TlsSettings {
        min_version: match given.text("tls-min-version") {
            "" => embed::listen::TlsVersion::default(),
            text => version(text)?,
        },
        max_version: max.map(version).transpose()?,
        cipher_suites: given.list("cipher-suites"),
        ..TlsSettings::default()
    })
}
