//! Asks the peer port of another member who the members are: what a member has to know before its first start, when it has no transport yet.
//!
//! What comes back is untrusted until it is parsed. Must never be asked for more than a start needs, and never wait without a limit.

use crate::http::version::NOT_DECIDED;
use crate::peer::dial::address::{PeerUrl, UrlError};
use crate::peer::dial::{self, ByteStream};
use crate::peer::tls::PeerTls;
use bytes::Bytes;
use http::response::Parts;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::MemberInfo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// A list of members is not longer than this.
const MOST_BYTES: usize = 1 << 20;

/// A cluster as one of its members describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteCluster {
    /// Its id.
    pub cluster: u64,
    /// Its members, as the one that was asked knows them.
    pub members: Vec<MemberInfo>,
    /// Its version; empty while it has none.
    pub version: String,
}

/// Why a member gave no list.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not a URL of a peer.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// `https` without certificates.
    #[error("{0} needs --peer-cert-file and --peer-key-file, or --peer-auto-tls")]
    NoCertificates(PeerUrl),
    /// No connection, or it broke.
    #[error("{0}: {1}")]
    Io(PeerUrl, io::Error),
    /// Nothing came back in time.
    #[error("{0} does not answer")]
    Timeout(PeerUrl),
    /// It speaks something else.
    #[error("{0} does not answer as the peer port of a member: {1}")]
    Protocol(PeerUrl, String),
}

/// Asks the member behind a peer URL for its list of members, from the address `local` if one is chosen.
///
/// # Errors
/// [`AskError`], within `patience`.
pub async fn members(
    url: &str,
    tls: &PeerTls,
    local: Option<IpAddr>,
    patience: Duration,
) -> Result<RemoteCluster, AskError> {
    let url: PeerUrl = url.parse()?;
    match tokio::time::timeout(patience, fetch(&url, tls, local)).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::Timeout(url)),
    }
}

async fn fetch(url: &PeerUrl, tls: &PeerTls, local: Option<IpAddr>) -> Result<RemoteCluster, AskError> {
    let failed = |why: io::Error| AskError::Io(url.clone(), why);
    let stream = connect(url, local).await.map_err(failed)?;
    if !url.secure {
        return converse(url, stream).await;
    }
    let trust = tls.of(true).ok_or_else(|| AskError::NoCertificates(url.clone()))?;
    let name = ServerName::try_from(url.host().to_owned()).map_err(|why| failed(io::Error::other(why)))?;
    let stream = TlsConnector::from(trust.http_client()).connect(name, stream).await.map_err(failed)?;
    converse(url, stream).await
}

async fn connect(url: &PeerUrl, local: Option<IpAddr>) -> io::Result<Box<dyn ByteStream>> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for target in url.resolve(None).await? {
        match dial::connect(local, &target).await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(last)
}

async fn converse<S>(url: &PeerUrl, stream: S) -> Result<RemoteCluster, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let odd = |why: String| AskError::Protocol(url.clone(), why);
    let (mut requests, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|why| odd(why.to_string()))?;
    // it ends with the last request
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let (head, body) = get(&mut requests, url, "/members").await?;
    let cluster = head.headers.get("x-etcd-cluster-id").and_then(|id| id.to_str().ok());
    let cluster = cluster.and_then(|id| u64::from_str_radix(id, 16).ok());
    let cluster = cluster.ok_or_else(|| odd("it does not name its cluster".to_owned()))?;
    let members = parse(&body).ok_or_else(|| odd("its list of members cannot be read".to_owned()))?;
    let (_, body) = get(&mut requests, url, "/version").await?;
    let version = cluster_version(&body).ok_or_else(|| odd("its version cannot be read".to_owned()))?;
    Ok(RemoteCluster { cluster, members, version })
}

/// One page.
async fn get(
    requests: &mut http1::SendRequest<Empty<Bytes>>,
    url: &PeerUrl,
    path: &str,
) -> Result<(Parts, Bytes), AskError> {
    let odd = |why: String| AskError::Protocol(url.clone(), why);
    let host = if url.is_path() { url.host().to_owned() } else { url.authority() };
    let request = Request::get(path).header(header::HOST, host).body(Empty::<Bytes>::new());
    let request = request.map_err(|why| odd(why.to_string()))?;
    requests.ready().await.map_err(|why| odd(why.to_string()))?;
    let answer = requests.send_request(request).await.map_err(|why| odd(why.to_string()))?;
    if answer.status() != StatusCode::OK {
        return Err(odd(format!("status {}", answer.status())));
    }
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|why| odd(why.to_string()))?;
    Ok((head, body.to_bytes()))
}

/// Reads the version of the cluster from what `/version` shows; `None` when that is something else.
fn cluster_version(body: &[u8]) -> Option<String> {
    let page: Value = serde_json::from_slice(body).ok()?;
    let version = page.get("etcdcluster")?.as_str()?;
    Some(if version == NOT_DECIDED { String::new() } else { version.to_owned() })
}

/// Reads a list of members; `None` when it is none.
fn parse(body: &[u8]) -> Option<Vec<MemberInfo>> {
    let list: Value = serde_json::from_slice(body).ok()?;
    list.as_array()?.iter().map(member).collect()
}

fn member(value: &Value) -> Option<MemberInfo> {
    let strings = |name: &str| -> Option<Vec<String>> {
        match value.get(name) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(list) => list.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        }
    };
    Some(MemberInfo {
        id: value.get("id")?.as_u64()?,
        name: value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        peer_urls: strings("peerURLs")?,
        client_urls: strings("clientURLs")?,
        is_learner: value.get("isLearner").and_then(Value::as_bool).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_clusters() {
        let page = br#"{"etcdserver":"3.7.1","etcdcluster":"3.6.0","storage":"3.6.0"}"#;
        assert_eq!(cluster_version(page).as_deref(), Some("3.6.0"));
        assert_eq!(cluster_version(br#"{"etcdserver":"3.7.1","etcdcluster":"not_decided"}"#).as_deref(), Some(""));
        assert_eq!(cluster_version(b"{}"), None);
    }

    #[test]
    fn lists_are_read_as_etcd_writes_them() {
        let body = br#"[{"id":10276657743932975437,"peerURLs":["http://localhost:2380"],"name":"default","clientURLs":["http://localhost:2379"]},{"id":7,"peerURLs":["http://a:1"],"isLearner":true}]"#;
        let members = parse(body).expect("a list");
        assert_eq!(
            (members[0].id, members[0].name.as_str(), members[0].is_learner),
            (10_276_657_743_932_975_437, "default", false)
        );
        assert_eq!(members[0].client_urls, ["http://localhost:2379"]);
        assert_eq!((members[1].id, members[1].is_learner, members[1].client_urls.len()), (7, true, 0));
        for bad in [&b"{}"[..], b"[1]", b"[{\"id\":-1}]", b"[{\"id\":1,\"peerURLs\":[2]}]", b"<html>", b""] {
            assert_eq!(parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
