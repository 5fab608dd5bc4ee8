//! What is wrong with TLS, in the words of Go's library: scripts and people know those.
//!
//! Must never hide a text that it does not know: it is shown as rustls says it.

use super::dial::io_text;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use std::io;
use std::net::IpAddr;

/// What became of a handshake or of the first bytes behind it.
pub fn tls_text(why: &io::Error) -> String {
    if why.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".into();
    }
    if let Some(Error::InvalidCertificate(refused)) = why.get_ref().and_then(|inner| inner.downcast_ref()) {
        return format!("tls: failed to verify certificate: {}", refused_text(refused));
    }
    let text = io_text(why);
    if let Some(alert) = text.strip_prefix("received fatal alert: ") {
        return format!("remote error: tls: {}", alert_text(alert));
    }
    match text.as_str() {
        "received corrupt message of type InvalidContentType" => {
            "tls: first record does not look like a TLS handshake".into()
        }
        _ => text,
    }
}

/// Why a certificate of ours and its key are not taken.
pub fn pair_text(why: &Error) -> String {
    match why {
        Error::InconsistentKeys(_) => "tls: private key does not match public key".into(),
        other => format!("tls: {other}"),
    }
}

fn refused_text(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "x509: certificate signed by unknown authority".into(),
        CertificateError::Expired | CertificateError::NotValidYet => {
            "x509: certificate has expired or is not yet valid".into()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "x509: certificate has expired or is not yet valid: current time {} is after {}",
            units::utc_seconds(time.as_secs()),
            units::utc_seconds(not_after.as_secs())
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "x509: certificate has expired or is not yet valid: current time {} is before {}",
            units::utc_seconds(time.as_secs()),
            units::utc_seconds(not_before.as_secs())
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => name_text(expected, presented),
        other => other.to_string(),
    }
}

/// `presented` is written by webpki: `DnsName("a.b")`, `IpAddress(1.2.3.4)`.
fn name_text(expected: &ServerName<'_>, presented: &[String]) -> String {
    let (kind, wanted) = match expected {
        ServerName::IpAddress(ip) => ("IpAddress(", IpAddr::from(*ip).to_string()),
        other => ("DnsName(", other.to_str().into_owned()),
    };
    let all: Vec<&str> = presented
        .iter()
        .filter_map(|name| name.strip_prefix(kind)?.strip_suffix(')'))
        .map(|name| name.trim_matches('"'))
        .collect();
    match (all.is_empty(), kind) {
        (true, "IpAddress(") => {
            format!("x509: cannot validate certificate for {wanted} because it doesn't contain any IP SANs")
        }
        (true, _) => format!("x509: certificate is not valid for any names, but wanted to match {wanted}"),
        (false, _) => format!("x509: certificate is valid for {}, not {wanted}", all.join(", ")),
    }
}

/// `CertificateRequired` as `certificate required`; some alerts have another name there.
fn alert_text(name: &str) -> String {
    match name {
        "HandshakeFailure" => return "handshake failure".into(),
        "BadCertificate" => return "bad certificate".into(),
        "UnknownCA" => return "unknown certificate authority".into(),
        "CertificateExpired" => return "expired certificate".into(),
        "CertificateRevoked" => return "revoked certificate".into(),
        "CertificateUnknown" => return "unknown certificate".into(),
        "ProtocolVersion" => return "protocol version not supported".into(),
        "DecodeError" => return "error decoding message".into(),
        "DecryptError" => return "error decrypting message".into(),
        _ => {}
    }
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let presented = ["DnsName(\"a.b\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()];
        let said = |name: &str| name_text(&ServerName::try_from(name).expect("a name"), &presented);
        assert_eq!(said("c.d"), "x509: certificate is valid for a.b, not c.d");
        assert_eq!(said("10.0.0.2"), "x509: certificate is valid for 10.0.0.1, not 10.0.0.2");
    }

    #[test]
    fn alerts() {
        assert_eq!(alert_text("CertificateRequired"), "certificate required");
        assert_eq!(alert_text("UnknownCA"), "unknown certificate authority");
    }
}
