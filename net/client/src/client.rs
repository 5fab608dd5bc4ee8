//! The client: what it is made of, and where everything begins.
//!
//! What can be asked for is added by the files that know it (`kv`, `watch`, `lease` …). Must never hold more than connections, a
//! token and a prefix: what it is asked for lives in what it returns.

use crate::blob::IntoBytes;
use crate::error::Error;
use crate::namespace::Namespace;
use crate::transport::{Config, Login, Method, Pool, Secure, Until, method, secure};
use api::etcdserverpb as pb;
use prost::Message;
use std::path::PathBuf;
use std::time::Duration;

/// Longest a call takes when nothing else was said.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of a cluster. Clones are cheap and share connections.
///
/// It keeps one connection, to the member that answered first, and goes to the next when that one breaks or has no leader.
/// Reads are sent again until the time of the call is over. A write is sent again only when it certainly has not arrived; for
/// any other failure [`Error::is_uncertain`] says whether it may have been carried out.
#[derive(Clone)]
pub struct Client {
    pub(crate) pool: Pool,
    pub(crate) space: Namespace,
    timeout: Option<Duration>,
}

/// How a client is made: [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    config: Config,
    secure: Option<Secure>,
    timeout: Option<Duration>,
}

impl Client {
    /// A client of the servers at these endpoints (`http://host:port`, `https://host:port`, `host:port`, `unix://path`). Connects when it is first asked
    /// for something.
    ///
    /// ```
    /// # harness::examples::on_member(async |endpoint| {
    /// let client = conclave_client::Client::connect([endpoint]).await?;
    /// client.put("greeting", "hello").await?;
    /// let found = client.get("greeting").await?;
    /// assert_eq!(found.value(), Some(&b"hello"[..]));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty list or an endpoint that wants TLS files which cannot be read.
    pub async fn connect<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Result<Self, Error> {
        Self::builder(endpoints).connect().await
    }

    /// As [`connect`](Self::connect), with options.
    pub fn builder<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Builder {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Builder { config: Config { endpoints, ..Config::default() }, secure: None, timeout: Some(CALL_TIMEOUT) }
    }

    /// A client over connections that are there already.
    pub fn over(pool: Pool) -> Self {
        Self { pool, space: Namespace::default(), timeout: Some(CALL_TIMEOUT) }
    }

    /// Forgets what was before a revision. `physical` waits until it is gone from the disk.
    ///
    /// # Errors
    /// [`Error`]; the reason is `Compacted` when somebody did it before.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<(), Error> {
        let _: pb::CompactionResponse =
            self.call(method::COMPACT, pb::CompactionRequest { revision, physical }).await?;
        Ok(())
    }

    /// The same client for the keys below a prefix: it is put before every key that is sent and taken off every key that
    /// comes. Leases, members and users are not divided.
    ///
    /// ```
    /// # harness::examples::on_member(async |endpoint| {
    /// # let client = conclave_client::Client::connect([endpoint]).await?;
    /// let app = client.namespace("app/");
    /// app.put("k", "v").await?;
    /// assert_eq!(client.get("app/k").await?.value(), Some(&b"v"[..]));
    /// assert_eq!(app.get("").prefix().await?.kvs[0].key, "k");
    /// # Ok(())
    /// # });
    /// ```
    pub fn namespace(&self, prefix: impl IntoBytes) -> Self {
        Self { space: self.space.within(&prefix.into_bytes()), ..self.clone() }
    }

    /// The same client with another limit for each call; none waits for as long as it takes.
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Where it looks for servers.
    pub fn endpoints(&self) -> Vec<String> {
        self.pool.endpoints()
    }

    /// Asks for the members of the cluster and goes on with the URLs that they publish for clients. For programs that outlive
    /// the members they were started with.
    ///
    /// # Errors
    /// [`Error`]; then the endpoints stay what they were.
    pub async fn sync_endpoints(&self) -> Result<(), Error> {
        let members = self.members().await?;
        let urls: Vec<String> =
            members.into_iter().filter(|member| !member.is_learner).flat_map(|member| member.client_urls).collect();
        self.pool.set_endpoints(&urls);
        Ok(())
    }

    pub(crate) async fn call<Q, A>(&self, method: Method, request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        Ok(self.pool.unary(method, request, self.until()).await?)
    }

    /// As [`call`](Self::call), to one member alone.
    pub(crate) async fn call_at<Q, A>(&self, endpoint: &str, method: Method, request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        Ok(self.pool.only(endpoint).unary(method, request, self.until()).await?)
    }

    pub(crate) fn until(&self) -> Until {
        self.timeout.map_or(Until::NEVER, Until::after)
    }
}

impl Builder {
    /// Logs in. The token is renewed when the server says that it is too old.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.config.login = Login::Password(name.into(), password.into());
        self
    }

    /// Sends a token that was made elsewhere, such as a JWT.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.config.login = Login::Token(token.into());
        self
    }

    /// Trusts the certificate authorities in this PEM file, and no others.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.secure().cacert = text(path);
        self
    }

    /// Shows this certificate, with its key, to servers that ask for one.
    pub fn certificate_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.secure().cert, self.secure().key) = (text(certificate), text(key));
        self
    }

    /// The name that servers' certificates must have, when it is not the endpoint's host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.secure().server_name = name.into();
        self
    }

    /// Takes any certificate. For tests alone: whoever is between can read and change everything.
    pub fn any_certificate(mut self) -> Self {
        self.secure().skip_verify = true;
        self
    }

    /// Longest a call takes, ten seconds when nothing is said; none waits for as long as it takes.
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// After how long a silent connection is asked for a sign of life, and how long that may take. A member that is gone without a word is
    /// noticed after both.
    pub fn keepalive(mut self, after: Duration, patience: Duration) -> Self {
        (self.config.keepalive_time, self.config.keepalive_timeout) = (after, patience);
        self
    }

    /// Largest request and largest answer, in bytes.
    pub fn largest(mut self, request: usize, answer: usize) -> Self {
        (self.config.max_send, self.config.max_receive) = (request, answer);
        self
    }

    /// Makes the client. With [`user`](Self::user) it logs in now.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what cannot be used; the server's refusal of a login.
    pub async fn connect(self) -> Result<Client, Error> {
        let Self { mut config, secure, timeout } = self;
        if config.endpoints.is_empty() {
            return Err(Error::Invalid("there is no endpoint to connect to: name at least one".to_owned()));
        }
        if let Some(secure) = secure {
            config.tls = secure::read(&secure).map_err(Error::Invalid)?;
        }
        Ok(Client { pool: Pool::new(config).await?, space: Namespace::default(), timeout })
    }

    fn secure(&mut self) -> &mut Secure {
        // nothing asks for TLS until an option or an endpoint does
        self.secure.get_or_insert_with(|| Secure { insecure_transport: true, ..Secure::default() })
    }
}

fn text(path: impl Into<PathBuf>) -> String {
    path.into().to_string_lossy().into_owned()
}
