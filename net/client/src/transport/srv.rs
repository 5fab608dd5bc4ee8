//! Finds endpoints through DNS, as every program of ours does.

use ::srv::{Resolver, client_endpoints};

/// Endpoints of a domain, those with TLS first.
///
/// # Errors
/// When neither service is known, in the words of Go's resolver.
pub async fn endpoints(domain: &str, name: &str) -> Result<Vec<String>, String> {
    let found = client_endpoints(&Resolver::system(), domain, name).await?;
    Ok(found.into_iter().map(|endpoint| endpoint.url).collect())
}

/// A name, and the server that was asked for it, as Go's resolver tells them.
pub fn asked(name: &str) -> String {
    format!("{name} on {}", Resolver::system().server())
}
