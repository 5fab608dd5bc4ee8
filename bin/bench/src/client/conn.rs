//! One HTTP/2 connection to one endpoint: dialled, used by many clients, dialled again when it breaks.
//!
//! Must not retry a call: a load generator reports failures.

use super::call::{Inbound, Outbound};
use super::endpoint::{Address, Endpoint};
use super::frames::frame;
use super::io::Io;
use super::method::Method;
use super::status::{CallError, Code};
use api::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use prost::Message;
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsConnector;

const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// An attempt that takes longer has failed.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A connection that outlives its socket.
pub struct Conn {
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    user: Option<(String, String)>,
    uris: Vec<Uri>,
    headers: RefCell<HeaderMap>,
    sender: RefCell<Option<SendRequest<Bytes>>>,
    dialling: Cell<bool>,
}

impl Conn {
    pub(super) fn new(
        endpoint: Endpoint,
        tls: Option<TlsConnector>,
        user: Option<(String, String)>,
    ) -> Result<Rc<Self>, CallError> {
        let scheme = if endpoint.tls { "https" } else { "http" };
        let uri = |path: &&str| format!("{scheme}://{}{path}", endpoint.authority()).parse::<Uri>();
        let uris = Method::PATHS.iter().map(uri).collect::<Result<_, _>>();
        let uris = uris.map_err(|why| CallError::new(Code::InvalidArgument, format!("{endpoint}: {why}")))?;
        let mut headers = HeaderMap::new();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("user-agent", HeaderValue::from_static(concat!("conclave-bench/", env!("CARGO_PKG_VERSION"))));
        let tls = tls.filter(|_| endpoint.tls);
        Ok(Rc::new(Self {
            endpoint,
            tls,
            user,
            uris,
            headers: RefCell::new(headers),
            sender: RefCell::new(None),
            dialling: Cell::new(false),
        }))
    }

    /// Opens a stream for a call.
    ///
    /// # Errors
    /// `Unavailable` when there is no connection, also not after one attempt to make it again.
    pub(super) async fn open(&self, method: Method) -> Result<(Outbound, Inbound), CallError> {
        let ready = match self.current() {
            Some(sender) => sender.ready().await.ok(),
            None => None,
        };
        let mut sender = match ready {
            Some(sender) => sender,
            None => self.again().await?,
        };
        let mut request = Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uris[method as usize].clone();
        *request.headers_mut() = self.headers.borrow().clone();
        let (head, stream) = sender.send_request(request, false)?;
        Ok((Outbound { stream }, Inbound::new(head)))
    }

    fn current(&self) -> Option<SendRequest<Bytes>> {
        self.sender.borrow().clone()
    }

    /// The connection broke: one client makes it again, the others wait for that.
    async fn again(&self) -> Result<SendRequest<Bytes>, CallError> {
        if self.dialling.replace(true) {
            while self.dialling.get() {
                tokio::time::sleep(PAUSE).await;
            }
        } else {
            *self.sender.borrow_mut() = None;
            let outcome = self.dial().await;
            if outcome.is_err() {
                // the next failure of each client is at least this far away
                tokio::time::sleep(PAUSE).await;
            }
            self.dialling.set(false);
            outcome?;
        }
        let gone = || CallError::new(Code::Unavailable, format!("no connection to {}", self.endpoint));
        Ok(self.current().ok_or_else(gone)?.ready().await?)
    }

    /// Dials until it works or the time is over; zero means one attempt.
    pub(super) async fn dial_within(self: &Rc<Self>, limit: Duration) -> Result<(), CallError> {
        let end = Instant::now() + limit;
        loop {
            match self.dial().await {
                Err(_) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    async fn dial(&self) -> Result<(), CallError> {
        let wrong = |why: String| {
            let text = format!("cannot connect to {}: {why}", self.endpoint);
            CallError::new(Code::Unavailable, text)
        };
        let io = match tokio::time::timeout(ATTEMPT, self.socket()).await {
            Ok(io) => io.map_err(|why| wrong(why.to_string()))?,
            Err(_) => return Err(wrong("no answer within 5 seconds".into())),
        };
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW).enable_push(false);
        let (sender, connection) = builder.handshake(io).await.map_err(|why| wrong(why.to_string()))?;
        // its error reaches every call that was open on it
        spawn_local(async move { drop(connection.await) });
        *self.sender.borrow_mut() = Some(sender);
        self.authenticate().await
    }

    async fn socket(&self) -> io::Result<Io> {
        match (&self.endpoint.address, &self.tls) {
            (Address::Unix(path), _) => UnixStream::connect(path).await.map(Io::Unix),
            (Address::Tcp(address), tls) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let Some(tls) = tls else { return Ok(Io::Tcp(stream)) };
                let name = ServerName::try_from(self.endpoint.host().to_owned()).map_err(io::Error::other)?;
                let secured = tls.connect(name, stream).await.map_err(super::tls::explain)?;
                Ok(Io::Tls(Box::new(secured)))
            }
        }
    }

    /// Gets a token for the name and the password, and sends it with every call from then on.
    async fn authenticate(&self) -> Result<(), CallError> {
        let Some((name, password)) = self.user.clone() else { return Ok(()) };
        let Some(sender) = self.current() else { return Ok(()) };
        let mut sender = sender.ready().await?;
        let mut request = Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uris[Method::Authenticate as usize].clone();
        let mut headers = self.headers.borrow().clone();
        headers.remove("token");
        *request.headers_mut() = headers;
        let (head, stream) = sender.send_request(request, false)?;
        Outbound { stream }.send_last(frame(&AuthenticateRequest { name, password }))?;
        let mut inbound = Inbound::new(head);
        let answer = inbound.next().await?.unwrap_or_default();
        let token = AuthenticateResponse::decode(answer).map_err(CallError::undecodable)?.token;
        let token = HeaderValue::from_str(&token)
            .map_err(|_| CallError::new(Code::Internal, "the server's token is not a header".into()))?;
        self.headers.borrow_mut().insert("token", token);
        Ok(())
    }
}
