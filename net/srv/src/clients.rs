//! Where clients connect: `_etcd-client-ssl._tcp` and `_etcd-client._tcp`.

use crate::lookup::{Record, Resolver};
use crate::service_name;

/// An endpoint and the record it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host:port` or `http://host:port`.
    pub url: String,
    /// The record.
    pub record: Record,
}

/// Endpoints of a domain, those with TLS first. `suffix` is what `--discovery-srv-name` says.
///
/// # Errors
/// When neither service is known, in etcd's words.
pub async fn client_endpoints(resolver: &Resolver, domain: &str, suffix: &str) -> Result<Vec<Endpoint>, String> {
    let (secure, plain) =
        (service_name("etcd-client-ssl", suffix, domain), service_name("etcd-client", suffix, domain));
    let (secure, plain) = tokio::join!(resolver.srv(&secure), resolver.srv(&plain));
    if let (Err(secure), Err(plain)) = (&secure, &plain) {
        return Err(format!("dns lookup errors: {secure} and {plain}"));
    }
    let of = |scheme: &'static str, records: Vec<Record>| {
        records
            .into_iter()
            .map(move |record| Endpoint { url: format!("{scheme}://{}:{}", record.target, record.port), record })
    };
    Ok(of("https", secure.unwrap_or_default()).chain(of("http", plain.unwrap_or_default())).collect())
}
