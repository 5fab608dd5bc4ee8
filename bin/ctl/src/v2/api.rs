//! Requests of the v2 API over HTTP/1.1: one endpoint after the other until one answers, Basic authentication, errors as they are told.
//!
//! Must never send a request again that an endpoint may have carried out and answered.

use crate::cli::Input;
use crate::client::{Config, Login, Secure, config, dial, endpoint};
use crate::exit::Exit;
use crate::term::password;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use conclave_client::transport::srv;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;

/// Where etcdctl looks without being told.
const DEFAULT_ENDPOINTS: &str = "http://127.0.0.1:2379,http://127.0.0.1:4001";
/// Longest answer that is read.
const LONGEST: usize = 256 << 20;

/// Exit codes of etcdctl's v2 commands.
pub mod code {
    /// Arguments, and whatever has no code of its own.
    pub const BAD_ARGS: u8 = 1;
    /// No endpoint could be reached.
    pub const BAD_CONNECTION: u8 = 2;
    /// The server refused.
    pub const SERVER: u8 = 4;
    /// Not all members are healthy.
    pub const NOT_HEALTHY: u8 = 5;
}

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No endpoint answered: what each said.
    Cluster(Vec<String>),
    /// An error of the keys API, as it came.
    Keys(Value),
    /// Any other.
    Text(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(reasons) => {
                f.write_str("client: etcd cluster is unavailable or misconfigured")?;
                let mut reasons = reasons.iter().enumerate();
                reasons.try_for_each(|(at, why)| writeln!(f, "; error #{at}: {why}"))
            }
            Self::Keys(error) => {
                let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                let number = |name: &str| error[name].as_u64().unwrap_or_default();
                let (code, index) = (number("errorCode"), number("index"));
                write!(f, "{code}: {} ({}) [{index}]", text("message"), text("cause"))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Failure {
    /// Ends the command as etcdctl does: the error on standard error, and this code.
    pub fn exit(&self, code: u8) -> Exit {
        eprintln!("Error:  {self}");
        if let Self::Cluster(reasons) = self {
            let detail: String = reasons.iter().enumerate().map(|(at, why)| format!("error #{at}: {why}\n")).collect();
            eprintln!("{detail}");
        }
        Exit::silent(code)
    }

    /// Ends the command with the error alone.
    pub fn bare_exit(&self) -> Exit {
        eprintln!("{self}");
        Exit::silent(code::BAD_ARGS)
    }
}

/// Ends a command for its arguments.
pub fn bad_args(text: &str) -> Exit {
    eprintln!("Error:  {text}");
    Exit::silent(code::BAD_ARGS)
}

/// Says something and ends with 1.
pub fn says(text: &str) -> Exit {
    eprintln!("{text}");
    Exit::silent(code::BAD_ARGS)
}

/// An answer.
pub struct Reply {
    /// Status.
    pub status: u16,
    /// `X-Etcd-Index`.
    pub index: u64,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// Its JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let text = "client: response is invalid json. The endpoint is probably not valid etcd cluster endpoint.";
            Failure::Text(text.into())
        })
    }

    /// The message of a refusal of the pages beside the keys.
    ///
    /// # Errors
    /// The message, when the status is none of these.
    pub fn expect(self, statuses: &[u16]) -> Result<Self, Failure> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let message = self.json()?["message"].as_str().map(str::to_owned);
        Err(Failure::Text(message.unwrap_or_else(|| format!("unexpected status code {}", self.status))))
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Media type and bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Ask {
    /// Without a body.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), body: None }
    }

    /// With a body of JSON.
    pub fn with_json(self, body: &Value) -> Self {
        Self { body: Some(("application/json", body.to_string().into_bytes())), ..self }
    }
}

/// The way to a cluster.
pub struct Api {
    config: Config,
    authorization: Option<String>,
    /// Longest that an endpoint may take to begin its answer; zero for ever.
    patience: Duration,
    total: Duration,
    debug: bool,
}

impl Api {
    /// From the global flags, with the endpoints that the cluster itself names.
    ///
    /// # Errors
    /// Flags, files or a cluster that cannot be used.
    pub async fn new(input: &Input) -> Result<Self, Exit> {
        let mut api = Self::without_sync(input).await?;
        if !input.on("no-sync") {
            api.sync().await?;
        }
        if api.debug {
            eprintln!("Cluster-Endpoints: {}", api.config.endpoints.join(", "));
        }
        Ok(api)
    }

    /// As [`Self::new`], with the endpoints as given.
    ///
    /// # Errors
    /// Flags or files that cannot be used.
    pub async fn without_sync(input: &Input) -> Result<Self, Exit> {
        let secure = Secure {
            cert: given(input, "cert-file", &["ETCDCTL_CERT_FILE"]),
            key: given(input, "key-file", &["ETCDCTL_KEY_FILE"]),
            cacert: given(input, "ca-file", &["ETCDCTL_CA_FILE"]),
            insecure_transport: true,
            ..Secure::default()
        };
        let endpoints = endpoints(input).await.map_err(|why| says(&why))?;
        let config = config::with(input, &secure, endpoints, Login::None)?;
        let user = given(input, "username", &["ETCDCTL_USERNAME"]);
        let authorization = match user.as_str() {
            "" => None,
            user => {
                let (name, password) = name_and_password(user, "Password: ")?;
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
            }
        };
        let (patience, total) = (input.duration("timeout"), input.duration("total-timeout"));
        Ok(Self { config, authorization, patience, total, debug: input.on("debug") })
    }

    /// Takes the client URLs of the members as endpoints.
    async fn sync(&mut self) -> Result<(), Exit> {
        if self.debug {
            eprintln!("start to sync cluster using endpoints({})", self.config.endpoints.join(","));
        }
        let listed = match self.call(&Ask::new(Method::GET, "/v2/members")).await {
            Ok(reply) if reply.status == 200 => reply.json().ok(),
            Ok(_) => None,
            Err(why) => return Err(why.exit(code::BAD_CONNECTION)),
        };
        // a server that does not tell its members is asked as it was named
        let Some(listed) = listed else { return Ok(()) };
        let members = listed["members"].as_array().cloned().unwrap_or_default();
        let urls = members.iter().flat_map(|member| member["clientURLs"].as_array().cloned().unwrap_or_default());
        let urls: Vec<String> = urls.filter_map(|url| url.as_str().map(str::to_owned)).collect();
        if urls.is_empty() {
            let given = self.config.endpoints.join(",");
            eprintln!("etcd cluster has no published client endpoints.");
            eprintln!("Try '--no-sync' if you want to access non-published client endpoints({given}).");
            return Err(Failure::Text("client: no endpoints available".into()).exit(code::SERVER));
        }
        self.config.endpoints = urls;
        if self.debug {
            eprintln!("got endpoints({}) after sync", self.config.endpoints.join(","));
        }
        Ok(())
    }

    /// Asks within the whole time that a command has.
    ///
    /// # Errors
    /// No endpoint answered.
    pub async fn call(&self, ask: &Ask) -> Result<Reply, Failure> {
        let asked = self.ask(ask, self.patience);
        let exceeded = || Failure::Cluster(vec!["context deadline exceeded".into()]);
        if self.total.is_zero() {
            return asked.await;
        }
        tokio::time::timeout(self.total, asked).await.unwrap_or_else(|_| Err(exceeded()))
    }

    /// Asks, and waits for the answer for ever.
    ///
    /// # Errors
    /// No endpoint answered.
    pub async fn wait(&self, ask: &Ask) -> Result<Reply, Failure> {
        self.ask(ask, self.patience).await
    }

    async fn ask(&self, ask: &Ask, patience: Duration) -> Result<Reply, Failure> {
        let mut reasons = Vec::new();
        for endpoint in &self.config.endpoints {
            if self.debug {
                eprintln!("{}", curl(endpoint, ask));
            }
            match self.ask_one(endpoint, ask, patience).await {
                Ok(reply) if reply.status / 100 != 5 => return Ok(reply),
                Ok(reply) if matches!(reply.status, 500 | 503) => {
                    reasons.push(format!("client: etcd member {endpoint} has no leader"));
                }
                Ok(reply) => {
                    reasons.push(format!("client: etcd member {endpoint} returns server error [{}]", reply.status));
                }
                Err(why) => reasons.push(why),
            }
        }
        Err(Failure::Cluster(reasons))
    }

    /// Asks one endpoint.
    ///
    /// # Errors
    /// It cannot be reached, or breaks off.
    pub async fn ask_one(&self, endpoint: &str, ask: &Ask, patience: Duration) -> Result<Reply, String> {
        let socket = dial::open(&self.config, endpoint, endpoint, b"http/1.1");
        let socket = within(patience, socket, "dial: i/o timeout").await;
        let socket = socket.map_err(|why| why.replacen("transport: Error while dialing: ", "", 1))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|why| why.to_string())?;
        let driver = tokio::spawn(connection);
        let mut request =
            Request::builder().method(&ask.method).uri(&ask.target).header(header::HOST, endpoint::authority(endpoint));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let body = match &ask.body {
            Some((kind, body)) => {
                request = request.header(header::CONTENT_TYPE, *kind);
                body.clone()
            }
            None => Vec::new(),
        };
        let request = request.body(Full::new(Bytes::from(body))).map_err(|why| why.to_string())?;
        let sent = async { sender.send_request(request).await.map_err(|why| why.to_string()) };
        let response = within(patience, sent, "context deadline exceeded (Client.Timeout exceeded)").await;
        let response = response.inspect_err(|_| driver.abort())?;
        let status = response.status().as_u16();
        let index = response.headers().get("x-etcd-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|why| why.to_string());
        driver.abort();
        Ok(Reply { status, index: index.unwrap_or_default(), body: body?.to_bytes() })
    }
}

async fn within<T>(
    patience: Duration,
    wait: impl Future<Output = Result<T, String>>,
    otherwise: &str,
) -> Result<T, String> {
    if patience.is_zero() {
        return wait.await;
    }
    tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| Err(otherwise.into()))
}

fn curl(endpoint: &str, ask: &Ask) -> String {
    let mut line = format!("Curl-Example: curl -X {} {endpoint}{}", ask.method, ask.target);
    if let Some((_, body)) = &ask.body {
        line.push_str(&format!(" -d {:?}", String::from_utf8_lossy(body)));
    }
    line
}

/// A flag, or the first of these variables that is set.
fn given(input: &Input, flag: &str, variables: &[&str]) -> String {
    let value = input.text(flag);
    if !value.is_empty() {
        return value;
    }
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    variables.iter().find_map(set).unwrap_or_default()
}

async fn endpoints(input: &Input) -> Result<Vec<String>, String> {
    let domain = given(input, "discovery-srv", &["ETCDCTL_DISCOVERY_SRV"]);
    if !domain.is_empty() {
        let insecure = input.on("insecure-discovery") || std::env::var_os("ETCDCTL_INSECURE_DISCOVERY").is_some();
        let found = srv::endpoints(&domain, "").await?;
        let (dropped, kept): (Vec<String>, Vec<String>) =
            found.into_iter().partition(|url| !insecure && url.starts_with("http://"));
        dropped.iter().for_each(|url| eprintln!("ignoring discovered insecure endpoint {url:?}"));
        if !kept.is_empty() {
            return Ok(kept);
        }
    }
    let named = [("endpoints", "ETCDCTL_ENDPOINTS"), ("endpoint", "ETCDCTL_ENDPOINT"), ("peers", "ETCDCTL_PEERS")];
    let named = named.iter().map(|(flag, variable)| given(input, flag, &[variable])).find(|value| !value.is_empty());
    let named = named.unwrap_or_else(|| DEFAULT_ENDPOINTS.to_owned());
    let with_scheme = |url: &str| if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    Ok(named.split(',').map(with_scheme).collect())
}

/// `name:password`, or a name whose password is asked for.
///
/// # Errors
/// The terminal fails.
pub fn name_and_password(given: &str, prompt: &str) -> Result<(String, String), Exit> {
    if let Some((name, password)) = given.split_once(':') {
        return Ok((name.to_owned(), password.to_owned()));
    }
    let password = password::ask(prompt).map_err(|why| says(&format!("Error reading password: {why}")))?;
    Ok((given.to_owned(), password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_said_as_etcdctl_says_them() {
        let error = serde_json::json!({"errorCode": 100, "message": "Key not found", "cause": "/a", "index": 7});
        assert_eq!(Failure::Keys(error).to_string(), "100: Key not found (/a) [7]");
        let cluster = Failure::Cluster(vec!["refused".into()]);
        assert_eq!(cluster.to_string(), "client: etcd cluster is unavailable or misconfigured; error #0: refused\n");
    }
}
