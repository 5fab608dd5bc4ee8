//! What of a client's metadata goes with its call to a member.
//!
//! Must never pass on what is about the client's own connection, such as the compressions that it understands.

use bytes::Bytes;
use tonic::metadata::{KeyAndValueRef, MetadataKey, MetadataMap};

/// Metadata that means something to a member.
const PASSED: [&str; 7] =
    ["token", "authorization", "client-api-version", "hasleader", "grpc-timeout", "traceparent", "tracestate"];

/// In whose name a call is made.
#[derive(Clone, Debug, Default)]
pub struct Context(MetadataMap);

impl Context {
    /// In the name of whoever sent this.
    pub fn of(metadata: &MetadataMap) -> Self {
        let mut passed = MetadataMap::new();
        for entry in metadata.iter() {
            if let KeyAndValueRef::Ascii(key, value) = entry
                && PASSED.contains(&key.as_str())
            {
                passed.append(key.clone(), value.clone());
            }
        }
        Self(passed)
    }

    /// With a token of the cluster's.
    ///
    /// # Errors
    /// A token that is no header value.
    pub fn with_token(token: &str) -> Result<Self, String> {
        let value = token.parse().map_err(|_| "the token is no header value".to_owned())?;
        let mut metadata = MetadataMap::new();
        metadata.insert("token", value);
        Ok(Self(metadata))
    }

    /// The token alone: of calls that are made for several clients, and have no deadline.
    pub(crate) fn of_token(token: &Bytes) -> Self {
        let mut metadata = MetadataMap::new();
        if let Ok(value) = std::str::from_utf8(token).unwrap_or_default().parse()
            && !token.is_empty()
        {
            metadata.insert("token", value);
        }
        Self(metadata)
    }

    /// The same, but cut off when the member has no leader.
    pub(crate) fn requiring_leader(mut self) -> Self {
        self.0.insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        self
    }

    /// What makes two callers different to a member; empty for nobody in particular.
    pub(crate) fn token(&self) -> Bytes {
        let text = |key: &str| self.0.get(key).map(|value| Bytes::copy_from_slice(value.as_bytes()));
        text("token").or_else(|| text("authorization")).unwrap_or_default()
    }

    /// Whether the caller wants to be cut off when there is no leader.
    pub(crate) fn requires_leader(&self) -> bool {
        self.0.get("hasleader").is_some_and(|value| value.as_bytes() == b"true")
    }

    /// Adds it to a request.
    pub(super) fn write(&self, metadata: &mut MetadataMap) {
        for entry in self.0.iter() {
            if let KeyAndValueRef::Ascii(key, value) = entry {
                let key: MetadataKey<_> = key.clone();
                metadata.append(key, value.clone());
            }
        }
    }
}
