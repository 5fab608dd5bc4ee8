//! Finds members and endpoints of a cluster through SRV records of DNS, by etcd's names of services.
//!
//! The messages of DNS are `domain`'s. Must never decide what is done with what was found, and never print.

mod clients;
mod lookup;
mod members;

pub use clients::{Endpoint, client_endpoints};
pub use lookup::{LookupError, Record, Resolver, read_answer};
pub use members::{Found, MembersError, Scheme, members};

/// The name of a service's records: `_etcd-server-ssl-NAME._tcp.DOMAIN`; the suffix is left out when it is empty.
fn service_name(service: &str, suffix: &str, domain: &str) -> String {
    let dash = if suffix.is_empty() { "" } else { "-" };
    format!("_{service}{dash}{suffix}._tcp.{domain}")
}

#[cfg(test)]
mod tests;
