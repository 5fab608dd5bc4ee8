//! Messages to other members: a bounded queue and a task for each, which posts what waits to the member's `/raft`.
//!
//! Must never make the loop wait: what finds a full queue is lost, and raft is told so.

use crate::input::Input;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use raft::{Body, Message, NodeId};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Messages that wait for one member.
const QUEUE: usize = 256;
/// Messages in one request.
const BATCH: usize = 64;
/// Longest a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tasks of all other members.
pub struct Peers {
    own: NodeId,
    runtime: Handle,
    inputs: mpsc::Sender<Input>,
    links: BTreeMap<NodeId, Link>,
}

/// What leads to one member. Dropping the queue ends its task.
struct Link {
    url: String,
    queue: mpsc::Sender<Message>,
}

impl Peers {
    /// No members yet.
    pub fn new(own: NodeId, runtime: Handle, inputs: mpsc::Sender<Input>) -> Self {
        Self { own, runtime, inputs, links: BTreeMap::new() }
    }

    /// These are the members from now on.
    pub fn set(&mut self, members: &BTreeMap<NodeId, String>) {
        self.links.retain(|id, link| members.get(id) == Some(&link.url));
        for (id, url) in members.iter().filter(|(id, _)| **id != self.own) {
            self.links.entry(*id).or_insert_with(|| {
                let (queue, waiting) = mpsc::channel(QUEUE);
                let task = Task { to: *id, url: url.clone(), inputs: self.inputs.clone(), connection: None };
                self.runtime.spawn(task.run(waiting));
                Link { url: url.clone(), queue }
            });
        }
    }

    /// Sends a message, or gives it back: nobody of that id, or too many wait.
    pub fn send(&mut self, message: Message) -> Result<(), Box<Message>> {
        match self.links.get(&message.to) {
            Some(link) => link.queue.try_send(message).map_err(|lost| Box::new(lost.into_inner())),
            None => Err(Box::new(message)),
        }
    }
}

struct Task {
    to: NodeId,
    url: String,
    inputs: mpsc::Sender<Input>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let has_snapshot = batch.iter().any(|message| matches!(message.body, Body::Snapshot(_)));
            let posted = tokio::time::timeout(PATIENCE, self.post(&batch)).await;
            let delivered = matches!(posted, Ok(Ok(StatusCode::NO_CONTENT)));
            batch.clear();
            if !delivered {
                self.connection = None;
            }
            let told = match posted {
                Ok(Ok(StatusCode::GONE)) => self.inputs.send(Input::Removed).await,
                // raft sends nothing else to this member until it knows how it ended
                _ if has_snapshot => self.inputs.send(Input::SnapshotSent(self.to, delivered)).await,
                _ if !delivered => self.inputs.send(Input::Unreachable(self.to)).await,
                _ => Ok(()),
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn post(&mut self, batch: &[Message]) -> Result<StatusCode, Box<dyn Error + Send + Sync>> {
        let address = self.url.trim_start_matches("http://");
        let body = Full::new(Bytes::from(postcard::to_stdvec(batch)?));
        let request = Request::post("/raft").header("host", address).body(body)?;
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(socket)).await?;
            // its failure is the request's
            tokio::spawn(async { drop(connection.await) });
            self.connection = Some(sender);
        }
        let connection = self.connection.as_mut().ok_or("there is no connection")?;
        connection.ready().await?;
        // the answer has no body, so the connection is ready for the next request
        Ok(connection.send_request(request).await?.status())
    }
}
