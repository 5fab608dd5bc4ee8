//! Judging the header block of a request, and the header blocks of answers.
//!
//! Pure: takes headers, gives a verdict. Texts are grpc-go's.

use super::compress::Encoding;
use super::status::{Code, Status};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use std::time::Duration;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What kind of request a header block opens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// gRPC, with its timeout.
    Grpc(Option<Duration>),
    /// Anything else that came over HTTP/2.
    Http,
    /// gRPC, but refused with this HTTP status.
    Refused(StatusCode, Status),
}

/// True for `application/grpc`, `application/grpc+x` and `application/grpc;x`.
fn is_grpc(content_type: &[u8]) -> bool {
    const BASE: &[u8] = b"application/grpc";
    content_type.len() >= BASE.len()
        && content_type[..BASE.len()].eq_ignore_ascii_case(BASE)
        && matches!(content_type.get(BASE.len()), None | Some(b'+' | b';'))
}

/// Judges a header block. Without TLS, and where plain HTTP has a port of its own, gRPC has HTTP/2 for itself, as in etcd (`shares` is
/// false); otherwise it shares it.
pub(super) fn judge(method: &Method, headers: &HeaderMap, shares: bool) -> Head {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !is_grpc(content_type) {
        if shares && !content_type.starts_with(b"application/grpc") {
            return Head::Http;
        }
        let text = format!("invalid gRPC request content-type {:?}", String::from_utf8_lossy(content_type));
        let status = Status::new(Code::InvalidArgument, text);
        return Head::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, status);
    }
    if headers.get_all(http::header::HOST).iter().nth(1).is_some() {
        let text = "num values of :authority: 1, num values of host: 2, both must only have 1 value as per HTTP/2 spec";
        return Head::Refused(StatusCode::BAD_REQUEST, Status::new(Code::Internal, text));
    }
    let timeout = match headers.get(GRPC_TIMEOUT).map(parse_timeout).transpose() {
        Ok(timeout) => timeout,
        Err(why) => {
            let status = Status::new(Code::Internal, format!("malformed grpc-timeout: {why}"));
            return Head::Refused(StatusCode::BAD_REQUEST, status);
        }
    };
    if method != Method::POST {
        let text = format!("Received a HEADERS frame with :method {:?} which should be POST", method.as_str());
        return Head::Refused(StatusCode::METHOD_NOT_ALLOWED, Status::new(Code::Internal, text));
    }
    Head::Grpc(timeout)
}

/// How the messages of a call are encoded.
///
/// # Errors
/// etcd registers gzip and nothing else: grpc-go's refusal of any other encoding.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Status> {
    match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(Encoding::Identity),
        Some(b"gzip") => Ok(Encoding::Gzip),
        Some(other) => {
            let name = String::from_utf8_lossy(other);
            let text = format!("grpc: Decompressor is not installed for grpc-encoding {name:?}");
            Err(Status::new(Code::Unimplemented, text))
        }
    }
}

/// One to eight digits and a unit.
fn parse_timeout(value: &HeaderValue) -> Result<Duration, String> {
    let text = String::from_utf8_lossy(value.as_bytes());
    if text.len() < 2 {
        return Err(format!("transport: timeout string is too short: {text:?}"));
    }
    if text.len() > 9 {
        return Err(format!("transport: timeout string is too long: {text:?}"));
    }
    let unrecognized = || format!("transport: timeout unit is not recognized: {text:?}");
    let (digits, unit) = text.split_at_checked(text.len() - 1).ok_or_else(unrecognized)?;
    let number = || {
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let parsed = if plain { digits.parse::<u64>().ok() } else { None };
        parsed.ok_or_else(|| format!("strconv.ParseUint: parsing {digits:?}: invalid syntax"))
    };
    Ok(match unit {
        "H" => Duration::from_secs(number()? * 3600),
        "M" => Duration::from_secs(number()? * 60),
        "S" => Duration::from_secs(number()?),
        "m" => Duration::from_millis(number()?),
        "u" => Duration::from_micros(number()?),
        "n" => Duration::from_nanos(number()?),
        _ => return Err(unrecognized()),
    })
}

/// Header block of a successful answer.
pub(super) fn ok(encoding: Encoding) -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    if encoding == Encoding::Gzip {
        response.headers_mut().insert(GRPC_ENCODING, GZIP);
    }
    response
}

/// Header block that is also the trailer: a status and nothing else.
pub(super) fn trailers_only(http: StatusCode, status: &Status, trailers: Option<Box<HeaderMap>>) -> Response<()> {
    let mut response = ok(Encoding::Identity);
    *response.status_mut() = http;
    if let Some(more) = trailers {
        response.headers_mut().extend(*more);
    }
    status.write(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|&(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn content_types() {
        for ok in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=y"] {
            assert_eq!(judge(&Method::POST, &headers(&[("content-type", ok)]), false), Head::Grpc(None), "{ok}");
        }
        let wrong = headers(&[("content-type", "application/grpcx")]);
        for secure in [false, true] {
            let refused = judge(&Method::POST, &wrong, secure);
            assert!(matches!(refused, Head::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, _)));
        }
    }

    #[test]
    fn plain_http_shares_http2_with_grpc_over_tls_alone() {
        let json = headers(&[("content-type", "application/json")]);
        assert_eq!(judge(&Method::POST, &json, true), Head::Http);
        assert_eq!(judge(&Method::GET, &HeaderMap::new(), true), Head::Http);
        let status = Status::new(Code::InvalidArgument, "invalid gRPC request content-type \"\"");
        let refused = Head::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, status);
        assert_eq!(judge(&Method::GET, &HeaderMap::new(), false), refused);
    }

    #[test]
    fn timeouts() {
        let grpc =
            |t| judge(&Method::POST, &headers(&[("content-type", "application/grpc"), ("grpc-timeout", t)]), true);
        assert_eq!(grpc("5S"), Head::Grpc(Some(Duration::from_secs(5))));
        assert_eq!(grpc("99999999H"), Head::Grpc(Some(Duration::from_secs(99_999_999 * 3600))));
        assert_eq!(grpc("250m"), Head::Grpc(Some(Duration::from_millis(250))));
        for bad in ["S", "5", "5x", "-5S", "+5S", "1234567890S"] {
            assert!(matches!(grpc(bad), Head::Refused(StatusCode::BAD_REQUEST, _)), "{bad}");
        }
    }

    #[test]
    fn only_post_carries_grpc() {
        let got = judge(&Method::GET, &headers(&[("content-type", "application/grpc")]), true);
        assert!(matches!(got, Head::Refused(StatusCode::METHOD_NOT_ALLOWED, _)));
    }

    #[test]
    fn gzip_is_the_one_encoding_as_in_etcd() {
        assert_eq!(encoding(&HeaderMap::new()), Ok(Encoding::Identity));
        assert_eq!(encoding(&headers(&[("grpc-encoding", "identity")])), Ok(Encoding::Identity));
        assert_eq!(encoding(&headers(&[("grpc-encoding", "gzip")])), Ok(Encoding::Gzip));
        let status = encoding(&headers(&[("grpc-encoding", "deflate")])).expect_err("refused");
        assert_eq!(status.code, Code::Unimplemented);
        assert_eq!(status.message, "grpc: Decompressor is not installed for grpc-encoding \"deflate\"");
    }
}
