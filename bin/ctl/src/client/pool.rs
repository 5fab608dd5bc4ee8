//! The client itself: connections to its endpoints, the token of its login, and calls.
//!
//! A call waits for a connection until its time is over. Reads that met a server or a connection which is gone are sent again, to the
//! next endpoint; writes never are, once they may have arrived.

use super::config::{Config, Login};
use super::method::{self, Method};
use super::{Failure, dial};
use crate::exit::{BAD_CONNECTION, Exit};
use crate::log;
use crate::term;
use api::etcdserverpb as pb;
use futures_util::Stream;
use prost::Message;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Version of the API that requests carry.
const API_VERSION: &str = "3.7";
/// How often a read is sent again.
const ATTEMPTS: usize = 100;
/// Pause after a round over a majority of endpoints.
const BACKOFF: Duration = Duration::from_millis(25);
/// Pause before the next endpoint is dialled beside the one that does not answer yet.
const STAGGER: Duration = Duration::from_millis(150);
/// Pause after all endpoints failed.
const REDIAL: Duration = Duration::from_millis(100);

/// How far the server's clock may be ahead of ours at the end of a call.
const CLOCKS: Duration = Duration::from_millis(50);

/// Until when a call may take; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Until(pub Option<Instant>);

impl Until {
    /// For ever.
    pub const NEVER: Self = Self(None);

    /// From now on.
    pub fn after(length: Duration) -> Self {
        Self(Instant::now().checked_add(length))
    }

    /// Whether it is over, or as good as that.
    fn is_over(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now() + CLOCKS)
    }

    async fn over<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            Some(at) => timeout_at(at, work).await.ok(),
            None => Some(work.await),
        }
    }
}

/// A client.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Vec<Option<Channel>>,
    next: usize,
    token: Option<String>,
    last_error: Option<String>,
}

impl Client {
    /// Makes a client and logs in.
    ///
    /// # Errors
    /// When there is no endpoint, or the login fails.
    pub async fn new(config: &Config) -> Result<Self, Exit> {
        if config.endpoints.is_empty() {
            return Err(Exit::new(BAD_CONNECTION, "etcdclient: no available endpoints"));
        }
        let open = config.endpoints.iter().map(|_| None).collect();
        // any of them first: many short runs spread over all members
        let next = RandomState::new().build_hasher().finish() as usize % config.endpoints.len();
        let state = Mutex::new(State { open, next, ..State::default() });
        let client = Self(Arc::new(Inner { config: config.clone(), state }));
        let until = if config.dial_timeout.is_zero() { Until::NEVER } else { Until::after(config.dial_timeout) };
        client.log_in(until).await.map_err(|why| Exit::failed(BAD_CONNECTION, &why))?;
        Ok(client)
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> &[String] {
        &self.0.config.endpoints
    }

    /// One answer for one request.
    ///
    /// # Errors
    /// The server's refusal, or the connection's.
    pub async fn unary<Q, A>(&self, method: Method, request: Q, until: Until) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let quorum = self.endpoints().len() / 2 + 1;
        let mut attempt = 0;
        loop {
            let why = match self.once(method, &request, until).await {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            self.warn(method, attempt, &why);
            attempt += 1;
            if self.wants_new_token(&why) {
                self.log_in(until).await?;
            } else if !self.may_repeat(method, &why) {
                return Err(why);
            }
            if attempt == ATTEMPTS {
                return Err(why);
            }
            if attempt % quorum == 0 && until.over(sleep(BACKOFF)).await.is_none() {
                return Err(Failure::Deadline(None));
            }
        }
    }

    /// Many answers for one request. Not sent again.
    ///
    /// # Errors
    /// As [`Self::unary`].
    pub async fn answers<Q, A>(&self, method: Method, request: Q, until: Until) -> Result<Streaming<A>, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.answers_to(method, request, &[], until).await
    }

    /// As [`Self::answers`], with more metadata.
    ///
    /// # Errors
    /// As [`Self::unary`].
    pub async fn answers_to<Q, A>(
        &self,
        method: Method,
        request: Q,
        metadata: &[(&'static str, &'static str)],
        until: Until,
    ) -> Result<Streaming<A>, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.log_in(until).await?;
        let (at, channel) = self.channel(until).await?;
        let mut request = self.request(request, until)?;
        for (key, value) in metadata {
            request.metadata_mut().insert(*key, MetadataValue::from_static(value));
        }
        let call = async move {
            let mut grpc = self.grpc(channel);
            ready(&mut grpc).await?;
            grpc.server_streaming(request, path(method), ProstCodec::<Q, A>::default()).await
        };
        self.finish(at, until, until.over(call).await).map(tonic::Response::into_inner)
    }

    /// Requests and answers side by side. `leader` asks to be cut off when the member has no leader.
    ///
    /// # Errors
    /// As [`Self::unary`].
    pub async fn talk<Q, A>(
        &self,
        method: Method,
        requests: impl Stream<Item = Q> + Send + 'static,
        leader: bool,
    ) -> Result<Streaming<A>, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.log_in(Until::NEVER).await?;
        let (at, channel) = self.channel(Until::NEVER).await?;
        let mut request = self.request(requests, Until::NEVER)?;
        if leader {
            request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        }
        let mut grpc = self.grpc(channel);
        let answer = match ready(&mut grpc).await {
            Ok(()) => grpc.streaming(request, path(method), ProstCodec::<Q, A>::default()).await,
            Err(why) => Err(why),
        };
        self.finish(at, Until::NEVER, Some(answer)).map(tonic::Response::into_inner)
    }

    /// What a stream's end means: a connection that broke is dialled anew.
    pub fn broken(&self, status: Status) -> Failure {
        Failure::Status(from_transport(status))
    }

    /// Closes every connection, so that the next call goes to the next endpoint.
    pub fn forget(&self) {
        let mut state = self.state();
        state.open.iter_mut().for_each(|open| *open = None);
        state.next += 1;
    }

    async fn once<Q, A>(&self, method: Method, request: &Q, until: Until) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.check_size(request)?;
        let (at, channel) = self.channel(until).await?;
        let request = self.request(request.clone(), until)?;
        let call = async move {
            let mut grpc = self.grpc(channel);
            ready(&mut grpc).await?;
            grpc.unary(request, path(method), ProstCodec::<Q, A>::default()).await
        };
        self.finish(at, until, until.over(call).await).map(tonic::Response::into_inner)
    }

    fn grpc(&self, channel: Channel) -> Grpc<Channel> {
        Grpc::new(channel).max_decoding_message_size(self.0.config.max_receive).max_encoding_message_size(usize::MAX)
    }

    fn request<T>(&self, body: T, until: Until) -> Result<Request<T>, Failure> {
        let mut request = Request::new(body);
        let metadata = request.metadata_mut();
        metadata.insert("client-api-version", MetadataValue::from_static(API_VERSION));
        if let Some(token) = self.state().token.clone() {
            let token = token.parse().map_err(|_| Failure::Text("the token is no header value".into()))?;
            metadata.insert("token", token);
        }
        if let Some(at) = until.0 {
            request.set_timeout(at.saturating_duration_since(Instant::now()));
        }
        Ok(request)
    }

    /// Sorts an end into answer, refusal and broken connection.
    fn finish<T>(&self, at: usize, until: Until, ended: Option<Result<T, Status>>) -> Result<T, Failure> {
        let status = match ended {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(status)) => status,
            None => return Err(Failure::Deadline(None)),
        };
        // the server keeps the time as well, and resets what is over: the connection lives on
        if broke(&status) && until.is_over() {
            return Err(Failure::Deadline(None));
        }
        if broke(&status) {
            self.state().open[at] = None;
        }
        let status = from_transport(status);
        if status.code() == Code::Unavailable {
            self.state().next = at + 1;
        }
        // the second is tonic's own clock
        if status.code() == Code::DeadlineExceeded || status.message() == "Timeout expired" {
            return Err(Failure::Deadline(None));
        }
        Err(Failure::Status(status))
    }

    /// A connection that is open, or the first that opens.
    async fn channel(&self, until: Until) -> Result<(usize, Channel), Failure> {
        let found = until
            .over(async {
                loop {
                    if let Some(found) = self.opened() {
                        return found;
                    }
                    match self.race().await {
                        Ok(found) => return found,
                        Err(why) => self.state().last_error = Some(why),
                    }
                    sleep(REDIAL).await;
                }
            })
            .await;
        found.ok_or_else(|| Failure::Deadline(self.state().last_error.clone()))
    }

    /// An open connection, each in its turn.
    fn opened(&self) -> Option<(usize, Channel)> {
        let mut state = self.state();
        let count = state.open.len();
        let at = (0..count).map(|k| (state.next + k) % count).find(|at| state.open[*at].is_some())?;
        state.next = at + 1;
        state.open[at].clone().map(|channel| (at, channel))
    }

    /// Dials every endpoint, the next in turn first, and takes the fastest.
    async fn race(&self) -> Result<(usize, Channel), String> {
        let (count, first) = (self.endpoints().len(), self.state().next);
        let mut dials = JoinSet::new();
        for k in 0..count {
            let at = (first + k) % count;
            let config = self.0.config.clone();
            dials.spawn(async move {
                sleep(STAGGER * u32::try_from(k).unwrap_or(u32::MAX)).await;
                (at, dial::dial(&config, &config.endpoints[at], &config.endpoints[0]).await)
            });
        }
        let mut last = "no endpoint".to_owned();
        while let Some(dialled) = dials.join_next().await {
            match dialled {
                Ok((at, Ok(channel))) => {
                    self.state().open[at] = Some(channel.clone());
                    return Ok((at, channel));
                }
                Ok((_, Err(why))) => last = why,
                Err(why) => last = why.to_string(),
            }
        }
        Err(last)
    }

    /// Asks for a token when somebody logs in.
    async fn log_in(&self, until: Until) -> Result<(), Failure> {
        let token = match &self.0.config.login {
            Login::Token(token) => Some(token.clone()),
            Login::Password(user, password) if !user.is_empty() && !password.is_empty() => {
                let request = pb::AuthenticateRequest { name: user.clone(), password: password.clone() };
                let answer: Result<pb::AuthenticateResponse, _> =
                    self.once(method::AUTHENTICATE, &request, until).await;
                match answer {
                    Ok(answer) => Some(answer.token),
                    Err(why) if why.is("authentication is not enabled") => {
                        self.warn(method::AUTHENTICATE, 0, &why);
                        None
                    }
                    Err(why) => {
                        self.warn(method::AUTHENTICATE, 0, &why);
                        return Err(why);
                    }
                }
            }
            Login::Password(..) | Login::None => None,
        };
        self.state().token = token.filter(|token| !token.is_empty());
        Ok(())
    }

    fn wants_new_token(&self, why: &Failure) -> bool {
        let old = why.is("invalid auth token") || why.is("revision of auth store is old");
        match &self.0.config.login {
            Login::Token(_) => false,
            Login::Password(..) => old || why.is("user name is empty"),
            Login::None => old,
        }
    }

    fn may_repeat(&self, method: Method, why: &Failure) -> bool {
        if why.is("rpc not supported for learner") && self.endpoints().len() > 1 {
            return true;
        }
        method.repeatable && why.code() == Some(Code::Unavailable)
    }

    fn check_size(&self, request: &impl Message) -> Result<(), Failure> {
        let (size, most) = (request.encoded_len(), self.0.config.max_send);
        if size > most {
            let said = format!("trying to send message larger than max ({size} vs. {most})");
            return Err(Failure::Status(Status::resource_exhausted(said)));
        }
        Ok(())
    }

    /// As etcd's client logs it; a person gets a hint instead.
    fn warn(&self, method: Method, attempt: usize, why: &Failure) {
        if term::stderr_is_terminal() {
            return;
        }
        let said = "retrying of unary invoker failed";
        let (attempt, why) = (attempt.to_string(), why.detail());
        log::line("warn", said, &[("method", method.path), ("attempt", &attempt), ("error", &why)]);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|why| Status::from_error(Box::new(why)))
}

fn path(method: Method) -> PathAndQuery {
    PathAndQuery::from_static(method.path)
}

/// Whether the connection is gone: the server's own refusals come without a source.
fn broke(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// A broken connection in the words of gRPC clients, and a limit of ours in theirs.
fn from_transport(status: Status) -> Status {
    if broke(&status) && status.code() != Code::DeadlineExceeded {
        return Status::unavailable("error reading from server: EOF");
    }
    let numbers: Vec<&str> = status.message().split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    if let (true, [size, most]) = (status.message().contains("decoded message length too large"), &numbers[..]) {
        return Status::resource_exhausted(format!("grpc: received message larger than max ({size} vs. {most})"));
    }
    status
}
