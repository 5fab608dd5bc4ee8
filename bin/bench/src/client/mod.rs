//! A small gRPC client for load: HTTP/2 by the `h2` crate driven directly, no task and no timer per request.
//!
//! Everything runs on one thread. A connection is one task; requests of one round are written with one flush, because the
//! connection's task runs after the clients it woke. Must not know etcd beyond the paths of its methods.
//!
//! It is not `conclave_client`'s transport, because a load generator shares its machine with the server it measures: there a call
//! goes through tower's queue to a task of hyper's, with a boxed body and a timer of its own. Servers built on the same two stacks
//! took 10 and 6.5 microseconds of processor time for a put of 1,000 clients, so what is measured would change. Retries,
//! fail-over and renewed tokens would hide what a load generator has to report besides.

mod call;
mod conn;
mod endpoint;
mod frames;
mod io;
mod method;
mod status;
mod tls;

pub use self::tls::{BadTls, TlsFiles};
pub use call::{Inbound, Outbound};
pub use conn::Conn;
pub use endpoint::{Address, BadEndpoint, Endpoint};
pub use frames::{Encoder, frame};
pub use method::Method;
pub use status::{CallError, Code};

use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// Where to connect and how.
#[derive(Clone)]
pub struct Target {
    /// The members, in the order given.
    pub endpoints: Vec<Endpoint>,
    /// Files of TLS.
    pub tls: TlsFiles,
    /// Name and password.
    pub user: Option<(String, String)>,
    /// How long to keep trying to connect; zero: one attempt.
    pub dial_timeout: Duration,
}

/// Connections to every endpoint of a target, used in turn. What etcd's tool calls a connection.
pub struct Channel {
    conns: Vec<Rc<Conn>>,
    turn: Cell<usize>,
}

impl Channel {
    /// Connects to every endpoint.
    ///
    /// # Errors
    /// TLS files that cannot be used, a member that cannot be reached, a refused name or password.
    pub async fn connect(target: &Target) -> Result<Rc<Self>, CallError> {
        Self::connect_by(target, &connector(target)?).await
    }

    async fn connect_by(target: &Target, tls: &Option<TlsConnector>) -> Result<Rc<Self>, CallError> {
        let mut conns = Vec::with_capacity(target.endpoints.len());
        for endpoint in &target.endpoints {
            let conn = Conn::new(endpoint.clone(), tls.clone(), target.user.clone())?;
            conn.dial_within(target.dial_timeout).await?;
            conns.push(conn);
        }
        Ok(Rc::new(Self { conns, turn: Cell::new(0) }))
    }

    fn next(&self) -> &Rc<Conn> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        &self.conns[turn % self.conns.len()]
    }

    /// One request, one answer. `body` is a framed message (see [`Encoder`]).
    ///
    /// # Errors
    /// The server's status, or `Unavailable` when the connection is gone.
    pub async fn unary(&self, method: Method, body: Bytes) -> Result<Bytes, CallError> {
        let mut inbound = self.server_stream(method, body).await?;
        match inbound.next().await? {
            Some(message) => inbound.finish().await.map(|()| message),
            None => Err(CallError::new(Code::Internal, "the answer has no message".into())),
        }
    }

    /// As [`unary`](Self::unary), for an answer that nobody reads: its bytes are counted and dropped.
    ///
    /// # Errors
    /// As [`unary`](Self::unary).
    pub async fn unary_discard(&self, method: Method, body: Bytes) -> Result<u64, CallError> {
        self.server_stream(method, body).await?.discard().await
    }

    /// One request, many answers.
    ///
    /// # Errors
    /// As [`unary`](Self::unary), for the sending.
    pub async fn server_stream(&self, method: Method, body: Bytes) -> Result<Inbound, CallError> {
        let (mut outbound, inbound) = self.next().open(method).await?;
        outbound.send_last(body)?;
        Ok(inbound)
    }

    /// A stream in both directions.
    ///
    /// # Errors
    /// As [`unary`](Self::unary), for the opening.
    pub async fn duplex(&self, method: Method) -> Result<(Outbound, Inbound), CallError> {
        self.next().open(method).await
    }
}

/// TLS, when an endpoint wants it: the system's authorities take milliseconds to read.
fn connector(target: &Target) -> Result<Option<TlsConnector>, CallError> {
    if !target.endpoints.iter().any(|endpoint| endpoint.tls) {
        return Ok(None);
    }
    let made = tls::connector(&target.tls);
    made.map(Some).map_err(|why| CallError::new(Code::Unavailable, why.to_string()))
}

/// Connects `conns` times; client `i` uses channel `i % conns`, as in etcd's tool.
///
/// # Errors
/// As [`Channel::connect`].
pub async fn connect(target: &Target, conns: usize) -> Result<Vec<Rc<Channel>>, CallError> {
    let tls = connector(target)?;
    let mut channels = Vec::with_capacity(conns);
    for _ in 0..conns.max(1) {
        channels.push(Channel::connect_by(target, &tls).await?);
    }
    Ok(channels)
}
