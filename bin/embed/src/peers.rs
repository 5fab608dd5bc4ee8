//! How a member reaches the others: sockets, certificates, the secret of its connections, and the transport made of them.
//!
//! Must never start the transport before the boot epoch is durable: the first hello tells it.

use crate::config::{Config, PeerNetwork};
use crate::listen::{Address, UrlError, bind_address, hosts, parse_url};
use crate::thread_guard::ThreadGuard;
use crate::version::{SERVER_VERSION, STORAGE_VERSION};
use actors::death_watch::ExitCell;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use messages::peer::{ConnectError, ConnectPeers, Transport};
use net::http::PeerPages;
use net::peer::config::{PathTuning, PeerConfig, PeerLimits, PeerListen, PeerSocket};
use net::peer::metrics::PeerMetrics;
use net::peer::tls::{PeerTls, Trust};
use net::peer::transport::PeerTransport;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tls::{Identity, TlsError};

/// Name of the file with the secret, in a member's folder.
const SECRET_FILE: &str = "peer-secret";
const SECRET_LEN: usize = 32;

/// Why other members cannot be served. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// Not a URL peers can be served on.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// `https` without a certificate.
    #[error("TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url {0} with HTTPS scheme")]
    NoTls(String),
    /// The certificate files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate that `http` peer URLs are encrypted with.
    #[error("cannot encrypt connections to other members: {0}")]
    Library(String),
    /// The file with the secret.
    #[error("cannot use {}: {source}; check that it is readable and belongs to this user, or remove it: it is made anew", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is known of the connections to other members before the member's identity is.
pub(crate) struct PeerPlan {
    pub(crate) tls: PeerTls,
    /// The certificate that is shown, to be watched for its end.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) metrics: PeerMetrics,
    listen: Vec<PeerListen>,
    listen_unix: Vec<PeerSocket>,
}

impl PeerPlan {
    /// Reads certificates and addresses. Opens nothing.
    ///
    /// # Errors
    /// [`PeersError`].
    pub(crate) fn new(config: &Config) -> Result<Self, PeersError> {
        let (mut listen, mut listen_unix) = (Vec::new(), Vec::new());
        for text in &config.peer_urls {
            let url = parse_url(text)?;
            let address = bind_address(&url)?;
            if url.secure && config.peer_tls.is_none() {
                return Err(PeersError::NoTls(text.clone()));
            }
            match address {
                Address::Tcp(address) => listen.push(PeerListen { address, secure: url.secure }),
                Address::Unix(path) => listen_unix.push(PeerSocket { path, secure: url.secure }),
            }
        }
        let (trust, identity) = match &config.peer_tls {
            None => (None, None),
            Some(settings) => {
                let (trust, identity) = Trust::from_settings(settings, &hosts(&config.peer_urls)?)?;
                (Some(trust), Some(identity))
            }
        };
        let tls = PeerTls::new(trust).map_err(|why| PeersError::Library(why.to_string()))?;
        Ok(Self { tls, identity, metrics: PeerMetrics::default(), listen, listen_unix })
    }
}

/// A member's side of its transport.
pub(crate) struct Peers {
    pub(crate) connect: Option<ConnectPeers>,
    /// The transport over sockets, once it runs.
    pub(crate) sockets: Arc<OnceLock<Arc<PeerTransport>>>,
    pub(crate) pages: Arc<PeerPages>,
}

/// What the transport must know of the member that was opened.
pub(crate) struct LocalMember<'a> {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
    pub(crate) boot_epoch: u64,
    /// Its folder, which keeps the secret.
    pub(crate) folder: &'a Path,
}

impl Peers {
    /// Prepares the transport of a member.
    ///
    /// # Errors
    /// [`PeersError::Secret`].
    pub(crate) fn new(
        config: &Config,
        plan: &PeerPlan,
        own: &LocalMember<'_>,
        exit: ExitCell,
    ) -> Result<Self, PeersError> {
        let pages = Arc::new(PeerPages::new(own.cluster, SERVER_VERSION, STORAGE_VERSION));
        let sockets: Arc<OnceLock<Arc<PeerTransport>>> = Arc::default();
        let member = own.member;
        let connect: Option<ConnectPeers> = match &config.peer_network {
            PeerNetwork::InProcess(network) => {
                let network = network.clone();
                Some(Box::new(move |inbound| Ok(Arc::new(network.join(member, inbound)) as Arc<dyn Transport>)))
            }
            PeerNetwork::Sockets if plan.listen.is_empty() && plan.listen_unix.is_empty() => None,
            PeerNetwork::Sockets => {
                let settings = PeerConfig {
                    cluster: own.cluster,
                    own: member,
                    boot_epoch: own.boot_epoch,
                    heartbeat: config.heartbeat,
                    election: config.election,
                    listen: plan.listen.clone(),
                    listen_unix: plan.listen_unix.clone(),
                    secret: secret(own.folder)?,
                    tls: plan.tls.clone(),
                    limits: PeerLimits::default(),
                    path: PathTuning { local: config.peer_local_address, ..PathTuning::default() },
                };
                let (pages, metrics, slot) = (pages.clone(), plan.metrics.clone(), sockets.clone());
                Some(Box::new(move |inbound| {
                    let guard = Box::new(ThreadGuard::new("peer transport", exit));
                    let started = PeerTransport::start(settings, inbound, pages, metrics, guard);
                    let transport = Arc::new(started.map_err(ConnectError::from)?);
                    // made once: the kernel takes the closure
                    let _ = slot.set(transport.clone());
                    Ok(transport as Arc<dyn Transport>)
                }))
            }
        };
        Ok(Self { connect, sockets, pages })
    }
}

/// Addresses that peers are served on; a port that was asked for as zero is filled in.
pub(crate) fn addresses(sockets: &OnceLock<Arc<PeerTransport>>) -> &[SocketAddr] {
    sockets.get().map_or(&[], |transport| transport.addresses())
}

/// The secret of a member's connections. What is not there, or not whole, is made anew: all that is lost is that peers learn a little
/// later of a restart.
fn secret(folder: &Path) -> Result<[u8; SECRET_LEN], PeersError> {
    let path = folder.join(SECRET_FILE);
    let failed = |source| PeersError::Secret { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(bytes) => {
            if let Ok(secret) = bytes.try_into() {
                return Ok(secret);
            }
            std::fs::remove_file(&path).map_err(failed)?;
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(failed(why)),
    }
    let mut secret = [0; SECRET_LEN];
    SystemRandom::new().fill(&mut secret).map_err(|_| failed(io::Error::other("no random numbers")))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(&secret)).map_err(failed)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_stays_and_is_nobody_elses_to_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = secret(dir.path()).expect("made");
        assert_eq!(secret(dir.path()).expect("read"), first);
        let path = dir.path().join(SECRET_FILE);
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"torn").expect("written");
        let second = secret(dir.path()).expect("made anew");
        assert_ne!(second, first);
        assert_eq!(secret(dir.path()).expect("read"), second);
    }

    #[test]
    fn urls_that_peers_cannot_be_served_on_are_refused() {
        let with = |url: &str| {
            let config = Config { peer_urls: vec![url.to_owned()], ..Config::new("a", "/nowhere") };
            PeerPlan::new(&config).err().map(|why| why.to_string()).unwrap_or_default()
        };
        assert_eq!(with("http://127.0.0.1:0"), "");
        assert_eq!(with("unix://peer:1"), "");
        assert!(with("unixs://peer:1").contains("--peer-cert-file, --peer-key-file"));
        assert!(with("https://127.0.0.1:0").contains("--peer-cert-file, --peer-key-file"));
        assert!(with("http://example.com:1").contains("expected IP in URL for binding"));
    }
}
