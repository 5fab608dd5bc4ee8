//! How a call ends: gRPC's codes and texts.
//!
//! Must render errors as etcd's client does, so that error tables of both tools can be compared.

use http::HeaderMap;
use std::fmt;

macro_rules! codes {
    ($($name:ident = $value:literal),*) => {
        /// gRPC status codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Code { $($name = $value),* }

        impl Code {
            fn from_number(number: u32) -> Self {
                match number { $($value => Self::$name,)* _ => Self::Unknown }
            }
        }
    };
}

codes! {
    Ok = 0, Canceled = 1, Unknown = 2, InvalidArgument = 3, DeadlineExceeded = 4, NotFound = 5, AlreadyExists = 6,
    PermissionDenied = 7, ResourceExhausted = 8, FailedPrecondition = 9, Aborted = 10, OutOfRange = 11,
    Unimplemented = 12, Internal = 13, Unavailable = 14, DataLoss = 15, Unauthenticated = 16
}

/// A call that did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CallError {
    /// The status code.
    pub code: Code,
    /// The server's text, or ours.
    pub message: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.starts_with("etcdserver: ") {
            return f.write_str(&self.message);
        }
        write!(f, "rpc error: code = {:?} desc = {}", self.code, self.message)
    }
}

impl From<h2::Error> for CallError {
    fn from(error: h2::Error) -> Self {
        Self::new(Code::Unavailable, format!("connection error: {error}"))
    }
}

impl CallError {
    /// An error with this text.
    pub fn new(code: Code, message: String) -> Self {
        Self { code, message }
    }

    /// An answer that is not the message it should be.
    pub fn undecodable(why: prost::DecodeError) -> Self {
        Self::new(Code::Internal, format!("cannot read the answer: {why}"))
    }

    /// What trailers say.
    pub(super) fn of(trailers: &HeaderMap) -> Result<(), Self> {
        let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
        match text("grpc-status") {
            Some("0") => Ok(()),
            Some(code) => {
                let code = code.parse().map_or(Code::Unknown, Code::from_number);
                Err(Self::new(code, percent_decoded(text("grpc-message").unwrap_or_default())))
            }
            None => Err(Self::new(Code::Unknown, "the answer has no grpc-status".into())),
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(code: &str, message: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("grpc-status", code.parse().unwrap());
        map.insert("grpc-message", message.parse().unwrap());
        map
    }

    #[test]
    fn texts_are_those_of_etcds_client() {
        assert_eq!(CallError::of(&trailers("0", "")), Ok(()));
        let known =
            CallError::of(&trailers("11", "etcdserver: mvcc: required revision has been compacted")).unwrap_err();
        assert_eq!(known.to_string(), "etcdserver: mvcc: required revision has been compacted");
        let other = CallError::of(&trailers("14", "100%25 gone%")).unwrap_err();
        assert_eq!(other.to_string(), "rpc error: code = Unavailable desc = 100% gone%");
    }
}
