//! What is wrong with a handshake, in one sentence, in the words of Go's library where it has some: scripts and people know
//! those.
//!
//! Must never hide an error that it does not know: that is told as rustls tells it.

use crate::verify::refusal_of;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};

/// Why a handshake failed.
pub fn error_text(why: &Error) -> String {
    if let Some(refusal) = refusal_of(why) {
        return format!("tls: failed to verify certificate: {refusal}");
    }
    match why {
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".into(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "tls: first record does not look like a TLS handshake".into()
        }
        Error::PeerIncompatible(kind) => format!("tls: {}", incompatible_text(kind)),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            format!("tls: unexpected message ({why})")
        }
        other => format!("tls: {other}"),
    }
}

/// Says what is offered here, too: the other side alone can be changed.
fn incompatible_text(kind: &PeerIncompatible) -> String {
    match kind {
        PeerIncompatible::NoCipherSuitesInCommon => {
            "no cipher suite supported by both sides; offered here are those of \
             TLS 1.3, and of TLS 1.2 ECDHE with AES-GCM or ChaCha20-Poly1305, for the kind of the certificate's key \
             (no CBC, no RSA key exchange)"
                .into()
        }
        PeerIncompatible::NoKxGroupsInCommon => {
            "no key exchange group supported by both sides; offered here are X25519MLKEM768, X25519, P-256 and P-384"
                .into()
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature scheme supported by both sides; SHA-1 and MD5 are not, and the kind of the certificate's key \
             must be known to both"
                .into()
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "no protocol version supported by both sides; TLS 1.2 and 1.3 are spoken here, \
             within --tls-min-version and --tls-max-version"
                .into()
        }
        other => format!("both sides have nothing in common: {other:?}"),
    }
}

/// `CertificateRequired` as `certificate required`; some alerts have another name in Go.
fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure => return "handshake failure".into(),
        AlertDescription::BadCertificate => return "bad certificate".into(),
        AlertDescription::UnknownCA => return "unknown certificate authority".into(),
        AlertDescription::CertificateExpired => return "expired certificate".into(),
        AlertDescription::CertificateRevoked => return "revoked certificate".into(),
        AlertDescription::CertificateUnknown => return "unknown certificate".into(),
        AlertDescription::ProtocolVersion => return "protocol version not supported".into(),
        AlertDescription::DecodeError => return "error decoding message".into(),
        AlertDescription::DecryptError => return "error decrypting message".into(),
        _ => {}
    }
    let mut out = String::new();
    for c in format!("{alert:?}").chars() {
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
    fn alerts_have_their_names_of_go() {
        let text = |alert| error_text(&Error::AlertReceived(alert));
        assert_eq!(text(AlertDescription::CertificateRequired), "remote error: tls: certificate required");
        assert_eq!(text(AlertDescription::UnknownCA), "remote error: tls: unknown certificate authority");
    }
}
