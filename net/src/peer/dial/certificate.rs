//! Whether a connection failed because the other member does not take this one's certificate.
//!
//! Its TLS only says so by an alert, which arrives in the handshake or, with TLS 1.3, after it. Must never be asked about own refusals:
//! those have a reason of their own.

use super::route::DialError;
use crate::peer::session::hello::HelloError;
use quinn::{ConnectionError, ReadError, WriteError};
use std::io;

/// Alerts 42 to 49 say what is wrong with a certificate, with QUIC's offset for alerts.
const BAD_CERTIFICATE: std::ops::RangeInclusive<u64> = 0x100 + 42..=0x100 + 49;
/// The alert for a certificate that is not there.
const CERTIFICATE_REQUIRED: u64 = 0x100 + 116;

/// What the other member says of the certificate after a dial, in Go's words, which people search for; `None` when it says nothing of it.
pub(super) fn after_dial(why: &DialError) -> Option<&'static str> {
    let (DialError::Io(_, error) | DialError::Hello(_, HelloError::Io(error))) = why else { return None };
    words(alert(error)?)
}

/// The same of a connection over QUIC.
pub fn after_quic(why: &ConnectionError) -> Option<&'static str> {
    words(quic_alert(why)?)
}

fn words(alert: u64) -> Option<&'static str> {
    match alert {
        CERTIFICATE_REQUIRED => Some("remote error: tls: certificate required"),
        code if BAD_CERTIFICATE.contains(&code) => Some("remote error: tls: bad certificate"),
        _ => None,
    }
}

/// The alert with which the other side has ended a connection, with QUIC's offset.
fn alert(error: &io::Error) -> Option<u64> {
    let inner = error.get_ref()?;
    if let Some(rustls::Error::AlertReceived(alert)) = inner.downcast_ref() {
        return Some(0x100 + u64::from(u8::from(*alert)));
    }
    let read = inner.downcast_ref().and_then(|why| match why {
        ReadError::ConnectionLost(lost) => Some(lost),
        _ => None,
    });
    let written = inner.downcast_ref().and_then(|why| match why {
        WriteError::ConnectionLost(lost) => Some(lost),
        _ => None,
    });
    quic_alert(inner.downcast_ref().or(read).or(written)?)
}

fn quic_alert(why: &ConnectionError) -> Option<u64> {
    match why {
        ConnectionError::ConnectionClosed(close) => Some(u64::from(close.error_code)),
        // after the handshake: the certificate is for another address than the one it came from
        ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::AlertDescription;

    fn after(alert: AlertDescription) -> Option<&'static str> {
        let url = "https://127.0.0.1:1".parse().expect("a URL");
        after_dial(&DialError::Io(url, io::Error::other(rustls::Error::AlertReceived(alert))))
    }

    #[test]
    fn only_alerts_about_certificates_are_complaints() {
        assert_eq!(after(AlertDescription::UnknownCA), Some("remote error: tls: bad certificate"));
        assert_eq!(after(AlertDescription::CertificateRequired), Some("remote error: tls: certificate required"));
        assert_eq!(after(AlertDescription::ProtocolVersion), None);
    }
}
