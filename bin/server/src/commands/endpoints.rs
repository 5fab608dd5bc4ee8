//! Where the cluster is: endpoints of the flag, or those that DNS names and whose certificates are good.

use proxy::upstream::{ClientTls, TlsFiles, UpstreamConfig, open};
use std::path::PathBuf;
use std::time::Duration;

/// Longest that an endpoint may take to show its certificate.
const PATIENCE: Duration = Duration::from_secs(5);

/// Flags that both proxies have.
#[derive(Clone, Debug)]
pub(super) struct Discovery<'f> {
    pub(super) domain: &'f str,
    pub(super) service: &'f str,
    pub(super) insecure: bool,
    pub(super) ca: &'f str,
}

/// What DNS says; nothing when it is not asked.
///
/// # Errors
/// When DNS knows nothing, or the authority's file cannot be read.
pub(super) async fn discover(flags: Discovery<'_>) -> Result<Vec<srv::Endpoint>, String> {
    if flags.domain.is_empty() {
        return Ok(Vec::new());
    }
    let found = srv::client_endpoints(&srv::Resolver::system(), flags.domain, flags.service).await?;
    let urls = |list: &[srv::Endpoint]| list.iter().map(|one| one.url.as_str()).collect::<Vec<_>>().join(",");
    tracing::info!("srv-server" = flags.domain, endpoints = urls(&found), "discovered cluster from SRV");
    if flags.insecure {
        return Ok(found);
    }
    let files = TlsFiles {
        cacert: Some(flags.ca).filter(|path| !path.is_empty()).map(PathBuf::from),
        server_name: Some(flags.domain.to_owned()),
        ..TlsFiles::default()
    };
    let config = UpstreamConfig { tls: Some(ClientTls::read(&files)?), ..UpstreamConfig::new(Vec::new()) };
    let mut good = Vec::new();
    for endpoint in found {
        match validate(&config, &endpoint.url).await {
            Ok(()) => good.push(endpoint),
            Err(error) => {
                let endpoint = endpoint.url;
                tracing::warn!("srv-server" = flags.domain, endpoint, error, "failed to validate discovered endpoints");
            }
        }
    }
    tracing::info!("srv-server" = flags.domain, endpoints = urls(&good), "using validated discovered SRV endpoints");
    Ok(good)
}

async fn validate(config: &UpstreamConfig, url: &str) -> Result<(), String> {
    if !url.starts_with("https://") {
        return Err(format!("{url:?} is insecure"));
    }
    let opened = tokio::time::timeout(PATIENCE, open(config, url, b"h2")).await;
    opened.map_err(|_| "i/o timeout".to_owned())?.map(drop)
}

/// Parts of a list that are not empty.
pub(super) fn parts(list: &[String]) -> Vec<String> {
    list.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}
