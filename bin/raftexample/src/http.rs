//! Two servers: one for clients, one for other members. Both turn requests into inputs of the loop and wait for the answer.
//!
//! Must never look at the state: only the loop knows how new it is.

use crate::args::check_url;
use crate::input::{Done, Input, Receipt, Refused};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Longest a client waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest value.
const MAX_VALUE: usize = 1 << 20;
/// Largest request of another member: a snapshot is one message.
const MAX_MESSAGES: usize = 1 << 30;
/// Connections of one server.
const MAX_CONNECTIONS: usize = 512;

type Answer = Response<Full<Bytes>>;

/// An answer that says no: its code, and why.
type Refusal = (StatusCode, String);

/// Listens for other members at the own URL, and for clients at this port of the same host.
///
/// # Errors
/// When a port is in use.
pub async fn serve(own_url: &str, port: u16, inputs: mpsc::Sender<Input>) -> io::Result<()> {
    let address = own_url.trim_start_matches("http://");
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    let for_members = lookup_host(address).await?.next().ok_or_else(unknown)?;
    let members = listen(for_members).await?;
    let clients = listen(SocketAddr::new(for_members.ip(), port)).await?;
    tokio::spawn(accept(members, inputs.clone(), from_member));
    tokio::spawn(accept(clients, inputs, from_client));
    Ok(())
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|why| io::Error::new(why.kind(), format!("cannot listen on {address}: {why}")))
}

/// Takes connections, as many as may be open, and answers their requests with `handle`.
async fn accept<F>(
    listener: TcpListener,
    inputs: mpsc::Sender<Input>,
    handle: fn(Request<Incoming>, mpsc::Sender<Input>) -> F,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((socket, _)) = listener.accept().await else {
            // out of descriptors: some of them come back
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let inputs = inputs.clone();
        tokio::spawn(async move {
            answer(socket, inputs, handle).await;
            drop(place);
        });
    }
}

async fn answer<F>(
    socket: TcpStream,
    inputs: mpsc::Sender<Input>,
    handle: fn(Request<Incoming>, mpsc::Sender<Input>) -> F,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    // answers are small: without it they would wait for an acknowledgement
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer = handle(request, inputs.clone());
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    // a connection that breaks is the client's business
    let _ = server.serve_connection(TokioIo::new(socket), service).await;
}

async fn from_member(request: Request<Incoming>, inputs: mpsc::Sender<Input>) -> Answer {
    if request.method() != Method::POST || request.uri().path() != "/raft" {
        return text(StatusCode::NOT_FOUND, "members post to /raft");
    }
    let Ok(body) = body(request, MAX_MESSAGES).await else { return text(StatusCode::BAD_REQUEST, "half a request") };
    let Ok(messages) = postcard::from_bytes(&body) else { return text(StatusCode::BAD_REQUEST, "no messages") };
    let (receipt, received) = oneshot::channel();
    if inputs.send(Input::Messages(messages, receipt)).await.is_err() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    match received.await {
        Ok(Receipt::Taken) => empty(StatusCode::NO_CONTENT),
        Ok(Receipt::Gone) => text(StatusCode::GONE, "you were removed from the cluster"),
        Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn from_client(request: Request<Incoming>, inputs: mpsc::Sender<Input>) -> Answer {
    let name = request.uri().path().trim_start_matches('/').to_owned();
    match request.method().clone() {
        Method::GET => match ask(&inputs, |done| Input::Get(name, done)).await {
            Ok(Some(value)) => Response::new(Full::new(value.into())),
            Ok(None) => text(StatusCode::NOT_FOUND, "there is no such key"),
            Err((status, why)) => text(status, &why),
        },
        Method::PUT => match body(request, MAX_VALUE).await {
            Ok(value) => done(ask(&inputs, |done| Input::Put(name, value.into(), done)).await),
            Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "a value has at most 1 MiB"),
        },
        method @ (Method::POST | Method::DELETE) => {
            let Ok(id @ 1..) = name.parse() else {
                return text(StatusCode::BAD_REQUEST, "the path is the id of a member: a number above 0");
            };
            let mut url = None;
            if method == Method::POST {
                let body = body(request, MAX_VALUE).await.unwrap_or_default();
                match check_url(String::from_utf8_lossy(&body).trim()) {
                    Ok(checked) => url = Some(checked),
                    Err(why) => return text(StatusCode::BAD_REQUEST, &why),
                }
            }
            done(ask(&inputs, |done| Input::Change(id, url, done)).await)
        }
        _ => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT, POST or DELETE");
            answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, PUT, POST, DELETE"));
            answer
        }
    }
}

/// Hands a request to the loop and waits, for a while.
async fn ask<T>(inputs: &mpsc::Sender<Input>, input: impl FnOnce(Done<T>) -> Input) -> Result<T, Refusal> {
    let (done, answer) = oneshot::channel();
    let unavailable = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    inputs.try_send(input(done)).map_err(|_| unavailable("too many requests: try again"))?;
    match timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(why @ Refused::NotNow))) => Err(unavailable(&why.to_string())),
        Ok(Ok(Err(why))) => Err((StatusCode::CONFLICT, why.to_string())),
        Ok(Err(_)) => Err(unavailable("this member stops")),
        Err(_) => Err((StatusCode::GATEWAY_TIMEOUT, "no answer in time: a change may or may not be made".to_owned())),
    }
}

/// A body of at most so many bytes.
async fn body(request: Request<Incoming>, most: usize) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(request.into_body(), most).collect().await?.to_bytes())
}

fn done(outcome: Result<(), Refusal>) -> Answer {
    outcome.map_or_else(|(status, why)| text(status, &why), |()| empty(StatusCode::NO_CONTENT))
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(format!("{text}\n").into()));
    *answer.status_mut() = status;
    answer
}
