//! The commands, each in a file of its own, and what they share: connections and the reasons for failing.
//!
//! Must print etcd's words where etcd's tool has the command.

pub(crate) mod lease;
pub(crate) mod mix;
mod mix_file;
mod mutex;
mod output;
pub(crate) mod put;
pub(crate) mod range;
pub(crate) mod stm;
mod stm_txn;
pub(crate) mod txn;
pub(crate) mod watch;
pub(crate) mod watch_get;
pub(crate) mod watch_latency;
pub(crate) mod watcher;

use crate::client::{BadEndpoint, CallError, Channel, Encoder, Endpoint, Method, Target, TlsFiles, connect, frame};
use crate::flags::Given;
use crate::load::Plan;
use crate::load::rng::Rng;
use api::etcdserverpb::{StatusRequest, StatusResponse};
use prost::Message;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Why a command did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// An endpoint that is none.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// A call that the command cannot do without.
    #[error("{0}")]
    Call(#[from] CallError),
    /// A file, or the terminal.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// The system refuses something.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The run went through and showed something wrong.
    #[error("{0}")]
    Verdict(String),
}

/// The flags that say where to connect.
///
/// # Errors
/// Endpoints that are none, a password that cannot be read.
pub fn target(given: &Given) -> Result<Target, Failed> {
    let endpoints = Endpoint::list(given.text("endpoints"))?;
    let user = match given.text("user") {
        "" => None,
        both => Some(match both.split_once(':') {
            Some((name, password)) => (name.to_owned(), password.to_owned()),
            None => (both.to_owned(), output::password()?),
        }),
    };
    let tls = TlsFiles {
        cacert: given.path("cacert"),
        cert: given.path("cert"),
        key: given.path("key"),
        insecure_skip_verify: given.flag("insecure-skip-tls-verify"),
    };
    Ok(Target { endpoints, tls, user, dial_timeout: given.duration("dial-timeout") })
}

/// Opens the connections of a run, to the leader alone when asked for.
///
/// # Errors
/// As [`target`]; a member that cannot be reached; no leader among the endpoints.
pub async fn channels(given: &Given) -> Result<Vec<Rc<Channel>>, Failed> {
    let mut target = target(given)?;
    if given.flag("target-leader") {
        let mut leader = None;
        for endpoint in &target.endpoints {
            let one = Target { endpoints: vec![endpoint.clone()], ..target.clone() };
            let channel = Channel::connect(&one).await?;
            let status = status(&channel).await?;
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                leader = Some(endpoint.clone());
                break;
            }
        }
        let none = || Failed::Usage("none of the endpoints is the leader; name all members in --endpoints".into());
        target.endpoints = vec![leader.ok_or_else(none)?];
    }
    Ok(connect(&target, given.count("conns")).await?)
}

/// `Maintenance.Status`.
///
/// # Errors
/// The call's.
pub async fn status(channel: &Channel) -> Result<StatusResponse, CallError> {
    call(channel, Method::Status, &StatusRequest::default()).await
}

/// One call whose answer is read.
///
/// # Errors
/// The call's.
pub async fn call<A: Message + Default>(
    channel: &Channel,
    method: Method,
    request: &impl Message,
) -> Result<A, CallError> {
    A::decode(channel.unary(method, frame(request)).await?).map_err(CallError::undecodable)
}

fn plan(given: &Given, clients: usize) -> Plan {
    let duration = given.duration("duration");
    Plan {
        clients,
        total: given.number("total"),
        rate: given.fraction("rate"),
        from_send: given.flag("from-send"),
        duration: (duration > Duration::ZERO).then_some(duration),
    }
}

/// A source of random numbers for this run.
fn rng(given: &Given) -> Rng {
    match given.number("seed") {
        0 => Rng::new(Rng::arbitrary_seed()),
        seed => Rng::new(seed),
    }
}

/// What each request of a loop needs and only one can hold at a time: no request holds it across a wait.
struct Desk {
    encoder: RefCell<Encoder>,
    rng: RefCell<Rng>,
}

impl Desk {
    fn new(rng: Rng) -> Self {
        Self { encoder: RefCell::default(), rng: RefCell::new(rng) }
    }

    fn frame(&self, message: &impl Message) -> bytes::Bytes {
        self.encoder.borrow_mut().frame(message)
    }

    fn below(&self, bound: u64) -> u64 {
        self.rng.borrow_mut().below(bound)
    }
}
