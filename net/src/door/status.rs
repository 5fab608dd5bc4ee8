//! gRPC status: codes, messages, and how they are written into trailers.
//!
//! Texts the door itself answers with are grpc-go's, because etcd's clients match on them. Must not know any method.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Status codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "gRPC's own names")]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// All of them, by number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// grpc-go's name, as metrics label it (`OK`, `InvalidArgument`, ...).
    pub fn name(self) -> &'static str {
        api::CODE_NAMES[self as usize]
    }

    /// The number as header text.
    pub(super) fn header(self) -> HeaderValue {
        const TEXT: [&str; 17] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
        HeaderValue::from_static(TEXT[self as usize])
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: Code,
    /// The message; any UTF-8, percent-encoded on the wire.
    pub message: Cow<'static, str>,
}

impl Status {
    /// Success.
    pub const OK: Self = Self { code: Code::Ok, message: Cow::Borrowed("") };

    /// A status from its parts.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// What grpc-go answers when the deadline of a call passes.
    pub fn deadline() -> Self {
        Self::new(Code::DeadlineExceeded, "context deadline exceeded")
    }

    /// What grpc-go answers when a call is cancelled.
    pub fn canceled() -> Self {
        Self::new(Code::Canceled, "context canceled")
    }

    /// Writes `grpc-status` and, where there is one, `grpc-message`.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(GRPC_STATUS, self.code.header());
        if !self.message.is_empty() {
            headers.insert(GRPC_MESSAGE, encode_message(&self.message));
        }
    }
}

/// Percent-encodes as grpc-go does: everything outside 0x20..=0x7E, and the percent sign, byte by byte.
fn encode_message(message: &str) -> HeaderValue {
    let plain = |b: u8| (0x20..=0x7e).contains(&b) && b != b'%';
    if message.bytes().all(plain) {
        // visible ASCII is always a valid value
        return HeaderValue::from_str(message).unwrap_or_else(|_| HeaderValue::from_static(""));
    }
    let mut out = BytesMut::with_capacity(message.len() + 16);
    for b in message.bytes() {
        if plain(b) {
            out.put_u8(b);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
    HeaderValue::from_maybe_shared(out.freeze()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(encode_message("etcdserver: no leader"), "etcdserver: no leader");
        assert_eq!(encode_message("100% \n é"), "100%25 %0A %C3%A9");
    }

    #[test]
    fn ok_has_no_message() {
        let mut headers = HeaderMap::new();
        Status::OK.write(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[GRPC_STATUS], "0");
    }
}
