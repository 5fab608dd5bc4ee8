//! Connections to all endpoints, the token of the login, and calls.
//!
//! A call waits for a connection until its time is over. Reads that met a server or a connection which is gone are sent
//! again, to the next endpoint. Must never send a write again that may have arrived.

use super::config::{Config, Login};
use super::dial;
use super::failure::{BROKEN, Failure};
use super::method::{self, Method};
use super::sent;
use super::until::Until;
use api::etcdserverpb as pb;
use futures_util::Stream;
use prost::Message;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
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

/// See the file header. Clones share everything.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    config: Config,
    state: Mutex<State>,
    /// One dials for all who wait: many calls that lose a connection at once open one.
    dialling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    /// Place that is tried first.
    next: usize,
    token: Option<String>,
    last_error: Option<String>,
}

/// An endpoint, and its connection when there is one.
struct Place {
    endpoint: Arc<str>,
    open: Option<Channel>,
}

impl Place {
    fn closed(endpoint: &str) -> Self {
        Self { endpoint: endpoint.into(), open: None }
    }
}

impl Pool {
    /// Makes a pool and logs in.
    ///
    /// # Errors
    /// When there is no endpoint, or the login fails.
    pub async fn new(config: Config) -> Result<Self, Failure> {
        if config.endpoints.is_empty() {
            return Err(Failure::Text("etcdclient: no available endpoints".into()));
        }
        let places = config.endpoints.iter().map(|endpoint| Place::closed(endpoint)).collect();
        // any of them first: many short runs spread over all members
        let next = RandomState::new().build_hasher().finish() as usize % config.endpoints.len();
        let until = if config.dial_timeout.is_zero() { Until::NEVER } else { Until::after(config.dial_timeout) };
        let state = Mutex::new(State { places, next, ..State::default() });
        let pool = Self(Arc::new(Inner { config, state, dialling: tokio::sync::Mutex::default() }));
        pool.log_in(until).await?;
        Ok(pool)
    }

    /// A pool of the same manners for one endpoint, with the same token.
    pub fn only(&self, endpoint: &str) -> Self {
        let config = self.0.config.only(endpoint);
        let state =
            State { places: vec![Place::closed(endpoint)], token: self.state().token.clone(), ..State::default() };
        Self(Arc::new(Inner { config, state: Mutex::new(state), dialling: tokio::sync::Mutex::default() }))
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> Vec<String> {
        self.state().places.iter().map(|place| (*place.endpoint).to_owned()).collect()
    }

    /// These are the endpoints from now on; connections to those that stay are kept. An empty list changes nothing.
    pub fn set_endpoints(&self, endpoints: &[String]) {
        if endpoints.is_empty() {
            return;
        }
        let mut state = self.state();
        let mut before = std::mem::take(&mut state.places);
        state.places = endpoints
            .iter()
            .map(|endpoint| match before.iter().position(|place| *place.endpoint == **endpoint) {
                Some(at) => before.swap_remove(at),
                None => Place::closed(endpoint),
            })
            .collect();
        state.next %= endpoints.len();
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
            (self.0.config.on_failure)(method, attempt, &why.failure);
            attempt += 1;
            let Attempt { failure: why, sent } = why;
            if self.wants_new_token(&why) {
                self.log_in(until).await?;
            } else if sent && !self.may_repeat(method, &why) {
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
        let ended = self.finish(&at, until, until.over(call).await);
        ended.map(tonic::Response::into_inner).map_err(|attempt| attempt.failure)
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
        let ended = self.finish(&at, Until::NEVER, Some(answer));
        ended.map(tonic::Response::into_inner).map_err(|attempt| attempt.failure)
    }

    /// What a stream's end means: a connection that broke is dialled anew.
    pub fn broken(&self, status: Status) -> Failure {
        Failure::Status(from_transport(status))
    }

    /// Closes every connection, so that the next call goes to the next endpoint.
    pub fn forget(&self) {
        let mut state = self.state();
        state.places.iter_mut().for_each(|place| place.open = None);
        state.next += 1;
    }

    async fn once<Q, A>(&self, method: Method, request: &Q, until: Until) -> Result<A, Attempt>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.check_size(request)?;
        let (at, channel) = self.channel(until).await?;
        let request = self.request(request.clone(), until)?;
        let call = async {
            let mut grpc = self.grpc(channel);
            ready(&mut grpc).await?;
            grpc.unary(request, path(method), ProstCodec::<Q, A>::default()).await
        };
        self.finish(&at, until, until.over(call).await).map(tonic::Response::into_inner)
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
    fn finish<T>(&self, at: &str, until: Until, ended: Option<Result<T, Status>>) -> Result<T, Attempt> {
        let status = match ended {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(status)) => status,
            None => return Err(Failure::Deadline(None).into()),
        };
        // the server keeps the time as well, and resets what is over: the connection lives on
        if broke(&status) && until.is_over() {
            return Err(Failure::Deadline(None).into());
        }
        let sent = !broke(&status) || sent::may_have_arrived(&status);
        let status = from_transport(status);
        // the connection broke, or its member has no leader: streams that use it go on, new calls go elsewhere
        if status.code() == Code::Unavailable {
            self.leave(at);
        }
        // the second is tonic's own clock
        if status.code() == Code::DeadlineExceeded || status.message() == "Timeout expired" {
            return Err(Failure::Deadline(None).into());
        }
        Err(Attempt { failure: Failure::Status(status), sent })
    }

    /// Lets go of an endpoint's connection; the next in turn is tried first.
    fn leave(&self, endpoint: &str) {
        let mut state = self.state();
        let Some(at) = state.places.iter().position(|place| *place.endpoint == *endpoint) else { return };
        state.places[at].open = None;
        state.next = at + 1;
    }

    /// A connection that is open, or the first that opens.
    async fn channel(&self, until: Until) -> Result<(Arc<str>, Channel), Failure> {
        let found = until
            .over(async {
                if let Some(found) = self.opened() {
                    return found;
                }
                let _turn = self.0.dialling.lock().await;
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
    fn opened(&self) -> Option<(Arc<str>, Channel)> {
        let mut state = self.state();
        let count = state.places.len();
        let at = (0..count).map(|k| (state.next + k) % count).find(|at| state.places[*at].open.is_some())?;
        state.next = at + 1;
        let place = &state.places[at];
        place.open.clone().map(|channel| (place.endpoint.clone(), channel))
    }

    /// Dials every endpoint, the next in turn first, and takes the fastest.
    async fn race(&self) -> Result<(Arc<str>, Channel), String> {
        let (endpoints, first) = {
            let state = self.state();
            let endpoints: Vec<Arc<str>> = state.places.iter().map(|place| place.endpoint.clone()).collect();
            (endpoints, state.next)
        };
        let mut dials = JoinSet::new();
        for k in 0..endpoints.len() {
            let endpoint = endpoints[(first + k) % endpoints.len()].clone();
            // whether TLS is spoken is said by the first of all
            let (pool, decides) = (self.clone(), endpoints[0].clone());
            dials.spawn(async move {
                sleep(STAGGER * u32::try_from(k).unwrap_or(u32::MAX)).await;
                let dialled = dial::dial(&pool.0.config, &endpoint, &decides).await;
                (endpoint, dialled)
            });
        }
        let mut last = "no endpoint".to_owned();
        while let Some(dialled) = dials.join_next().await {
            match dialled {
                Ok((endpoint, Ok(channel))) => {
                    let mut state = self.state();
                    if let Some(place) = state.places.iter_mut().find(|place| place.endpoint == endpoint) {
                        place.open = Some(channel.clone());
                    }
                    return Ok((endpoint, channel));
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
                    Err(Attempt { failure, .. }) => {
                        (self.0.config.on_failure)(method::AUTHENTICATE, 0, &failure);
                        if !failure.is("authentication is not enabled") {
                            return Err(failure);
                        }
                        None
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

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that failed.
struct Attempt {
    failure: Failure,
    /// Whether the request may have arrived.
    sent: bool,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self { failure, sent: true }
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
        return Status::unavailable(BROKEN);
    }
    let numbers: Vec<&str> = status.message().split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    if let (true, [size, most]) = (status.message().contains("decoded message length too large"), &numbers[..]) {
        return Status::resource_exhausted(format!("grpc: received message larger than max ({size} vs. {most})"));
    }
    status
}
