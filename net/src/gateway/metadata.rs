//! Headers of a request to the metadata of its call, as grpc-gateway does it.
//!
//! Pure. What of a header is no metadata is left out silently, as there.

use crate::door::{Code, Status};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Duration;

/// Headers whose meaning is fixed: they become metadata with a prefix.
const PERMANENT: [&str; 24] = [
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "warning",
];

/// Names that gRPC keeps for itself.
const RESERVED: [&str; 4] = ["content-type", "user-agent", "te", "connection"];

/// A span that never ends for practical purposes.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Metadata of the call of a request.
///
/// # Errors
/// A header of metadata in bytes is no base64.
pub(super) fn of(headers: &HeaderMap) -> Result<HeaderMap, Status> {
    let mut out = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        if *name == header::AUTHORIZATION {
            out.append(header::AUTHORIZATION, value.clone());
        }
        let key = match name.as_str() {
            permanent if PERMANENT.contains(&permanent) => format!("grpcgateway-{permanent}"),
            other => match other.strip_prefix("grpc-metadata-") {
                Some(key) if !key.starts_with("grpc-") && !RESERVED.contains(&key) => key.to_owned(),
                _ => continue,
            },
        };
        let Ok(key) = HeaderName::try_from(key) else { continue };
        if name.as_str().ends_with("-bin") {
            check_base64(name, value)?;
        } else if !value.as_bytes().iter().all(|byte| (0x20..=0x7e).contains(byte)) {
            continue;
        }
        out.append(key, value.clone());
    }
    Ok(out)
}

fn check_base64(name: &HeaderName, value: &HeaderValue) -> Result<(), Status> {
    let bytes = value.as_bytes();
    let engine = if bytes.len().is_multiple_of(4) { &STANDARD } else { &STANDARD_NO_PAD };
    if engine.decode(bytes).is_ok() {
        return Ok(());
    }
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let at = bytes.iter().take_while(|byte| is_letter(byte)).count();
    let why = format!("invalid binary header {}: illegal base64 data at input byte {at}", canonical(name.as_str()));
    Err(Status::new(Code::InvalidArgument, why))
}

/// `grpc-metadata-x` as Go writes it: `Grpc-Metadata-X`.
fn canonical(name: &str) -> String {
    let part = |part: &str| part.get(..1).map_or_else(String::new, |first| first.to_uppercase() + &part[1..]);
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// How long the caller waits; `None` for as long as it takes.
///
/// # Errors
/// The header says no length of time.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout").filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let parsed = text.split_at_checked(text.len() - 1).and_then(|(number, unit)| {
        let unit = match unit {
            "H" => Duration::from_secs(3600),
            "M" => Duration::from_secs(60),
            "S" => Duration::from_secs(1),
            "m" => Duration::from_millis(1),
            "u" => Duration::from_micros(1),
            "n" => Duration::from_nanos(1),
            _ => return None,
        };
        Some((number.parse::<i64>().ok()?, unit))
    });
    match parsed {
        None => Err(Status::new(Code::InvalidArgument, format!("invalid grpc-timeout: {text}"))),
        Some((0, _)) => Ok(None),
        // one that is over already
        Some((..0, _)) => Ok(Some(Duration::ZERO)),
        Some((number, unit)) => {
            let nanos = unit.as_nanos().saturating_mul(u128::from(number.unsigned_abs()));
            Ok(Some(u64::try_from(nanos).map_or(FOREVER, Duration::from_nanos)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|&(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn headers_become_metadata_by_their_names() {
        let got = of(&headers(&[
            ("accept", "*/*"),
            ("authorization", "Bearer t"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-grpc-timeout", "1S"),
            ("x-other", "1"),
        ]));
        let want = headers(&[
            ("grpcgateway-accept", "*/*"),
            ("authorization", "Bearer t"),
            ("grpcgateway-authorization", "Bearer t"),
            ("hasleader", "true"),
        ]);
        assert_eq!(got, Ok(want));
        let refused = of(&headers(&[("grpc-metadata-a-bin", "ab!d")])).expect_err("no base64");
        let text = "invalid binary header Grpc-Metadata-A-Bin: illegal base64 data at input byte 2";
        assert_eq!(refused.message, text);
    }

    #[test]
    fn timeouts_are_grpcs_and_may_be_over() {
        let of = |text| timeout(&headers(&[("grpc-timeout", text)]));
        assert_eq!(of("5S"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(of("0S"), Ok(None));
        assert_eq!(of("-5S"), Ok(Some(Duration::ZERO)));
        assert_eq!(of("9223372036854775807H"), Ok(Some(FOREVER)));
        for wrong in ["S", "5", "5x", "xS"] {
            assert_eq!(of(wrong).expect_err("refused").message, format!("invalid grpc-timeout: {wrong}"));
        }
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }
}
