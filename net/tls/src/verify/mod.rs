//! Which certificates are taken: Go's rules, so that what etcd and its tools take is taken here too, and nothing more.
//!
//! webpki refuses much that is in use beside etcd: version 1, a self-signed pair as server and authority, a trusted file that
//! is the client's own certificate. Certificates are read by `x509-parser`, signatures checked by aws-lc.

mod certificate;
mod chain;
mod clients;
mod constraints;
mod handshake;
mod names;
mod policy;
mod refusal;
mod revocation;
mod servers;
mod signature;
mod system;

pub use certificate::{Certificate, Names};
pub use chain::{Purpose, Roots, verify};
pub use clients::ClientVerifier;
pub use names::AllowedNames;
pub(crate) use policy::Policy;
pub use refusal::{Hint, Refusal, refusal_of};
pub(crate) use revocation::RevocationList;
pub use servers::{AnyServer, ServerVerifier};
