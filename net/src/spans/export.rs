//! From the queue of finished spans to a collector: batches, one gRPC call each, over a plain connection, as etcd's exporter does.
//!
//! A collector that is away is tried again with growing pauses, while the queue fills up and what finds no room is dropped. Runs as one
//! task beside the node. Must never hold more than a queue and a batch.

use super::otlp::{self, KeyValue};
use super::queue::{SpanData, SpanQueue, Value};
use super::tracer::Tracer;
use crate::throttle::Throttle;
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use messages::Gauges;
use prost::Message as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Spans that wait; OpenTelemetry's own default.
const QUEUE: usize = 2_048;
/// Spans in one request.
const BATCH: usize = 512;
/// Patience with a collector, for a connection or an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Times that a batch is offered.
const ATTEMPTS: u32 = 5;
/// Bytes of the answer that are read.
const MOST_ANSWER: usize = 64 << 10;

/// A collector that is away says so once in a while.
static FAILED: Throttle = Throttle::new(Duration::from_secs(30));

/// Settings of tracing.
#[derive(Clone, Debug)]
pub struct TracingConfig {
    /// Of the collector: host and port.
    pub address: String,
    /// Name of the service in traces.
    pub service_name: String,
    /// Which member it is; empty for nothing.
    pub instance_id: String,
    /// Calls traced out of a million, of those whose clients do not say.
    pub sampling_rate: u64,
    /// How long spans are gathered for a batch.
    pub delay: Duration,
}

/// Makes the tracers of a node. When the last of them is gone, the exporter sends what is left and ends.
#[derive(Clone, Debug)]
pub struct Tracing {
    queue: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
    rate: u64,
}

impl Tracing {
    /// The tracer of one thread; `seed` must differ from thread to thread.
    pub fn tracer(&self, gauges: Arc<Gauges>, seed: u64) -> Tracer {
        let out = SpanQueue { queue: self.queue.clone(), dropped: self.dropped.clone(), gauges };
        Tracer::new(out, self.rate, seed)
    }

    /// Spans that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// See the file header.
pub struct Exporter {
    address: String,
    resource: Vec<KeyValue>,
    delay: Duration,
    queue: mpsc::Receiver<SpanData>,
    dropped: Arc<AtomicU64>,
    connection: Option<Connection>,
}

impl Exporter {
    /// An exporter, and what makes tracers in front of it.
    pub fn new(config: &TracingConfig) -> (Tracing, Self) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let dropped = Arc::<AtomicU64>::default();
        let mut resource = vec![otlp::key_value("service.name", Value::Text(config.service_name.clone()))];
        if !config.instance_id.is_empty() {
            resource.push(otlp::key_value("service.instance.id", Value::Text(config.instance_id.clone())));
        }
        let tracing = Tracing { queue, dropped: dropped.clone(), rate: config.sampling_rate };
        let (address, delay) = (config.address.clone(), config.delay);
        (tracing, Self { address, resource, delay, queue: receiver, dropped, connection: None })
    }

    /// Sends spans until all tracers are gone.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            self.deliver(std::mem::take(&mut batch)).await;
        }
        if !batch.is_empty() {
            // what is left; the node does not wait for a second attempt
            let message = self.message(batch);
            let _ = self.export(message).await;
        }
    }

    /// Fills a batch. False when there will be no more.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> bool {
        let Some(first) = self.queue.recv().await else { return false };
        batch.push(first);
        let end = Instant::now() + self.delay;
        while batch.len() < BATCH {
            match timeout_at(end, self.queue.recv()).await {
                Ok(Some(span)) => batch.push(span),
                Ok(None) => return false,
                Err(_) => break,
            }
        }
        true
    }

    async fn deliver(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let message = self.message(batch);
        for attempt in 0..ATTEMPTS {
            let Err(error) = self.export(message.clone()).await else { return };
            if let Some(left_out) = FAILED.admit(&error) {
                let address = &self.address;
                tracing::warn!(address, error, left_out, "cannot hand over spans to the collector of traces");
            }
            if self.queue.is_closed() {
                break;
            }
            sleep(Duration::from_secs(1 << attempt)).await;
        }
        self.dropped.fetch_add(count, Relaxed);
    }

    /// A batch as gRPC frames it.
    fn message(&self, batch: Vec<SpanData>) -> Bytes {
        let request = otlp::request(&self.resource, batch);
        let length = request.encoded_len();
        let mut out = BytesMut::with_capacity(length + 5);
        out.put_u8(0);
        out.put_u32(length as u32);
        // the buffer grows as it must
        let _ = request.encode(&mut out);
        out.freeze()
    }

    /// One call. Its connection is kept for the next one, unless it failed.
    async fn export(&mut self, message: Bytes) -> Result<(), String> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connecting = timeout(PATIENCE, Connection::open(&self.address));
                connecting.await.map_err(|_| "no connection in time".to_owned())??
            }
        };
        let answered = timeout(PATIENCE, connection.export(&self.address, message)).await;
        answered.map_err(|_| "no answer in time".to_owned())??;
        self.connection = Some(connection);
        Ok(())
    }
}

/// A connection to the collector, closed when it is dropped.
struct Connection {
    requests: SendRequest<Bytes>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    async fn open(address: &str) -> Result<Self, String> {
        let tcp = TcpStream::connect(address).await.map_err(|why| why.to_string())?;
        let (requests, connection) = h2::client::handshake(tcp).await.map_err(|why| why.to_string())?;
        let driver = tokio::spawn(async move {
            // its requests say what went wrong
            let _ = connection.await;
        });
        Ok(Self { requests, driver: driver.abort_handle() })
    }

    async fn export(&self, address: &str, message: Bytes) -> Result<(), String> {
        let uri = format!("http://{address}/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", concat!("conclave/", env!("CARGO_PKG_VERSION")))
            .body(())
            .map_err(|why| format!("--distributed-tracing-address is no host and port: {why}"))?;
        let mut requests = self.requests.clone().ready().await.map_err(|why| why.to_string())?;
        let (response, stream) = requests.send_request(request, false).map_err(|why| why.to_string())?;
        send(stream, message).await?;
        let response = response.await.map_err(|why| why.to_string())?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("HTTP status {}", response.status()));
        }
        let early = response.headers().get("grpc-status").cloned();
        let late = read_to_end(response.into_body()).await?;
        match early.or(late) {
            Some(status) if status == "0" => Ok(()),
            status => Err(format!("gRPC status {status:?}")),
        }
    }
}

/// Writes a message as the peer's window allows.
async fn send(mut stream: SendStream<Bytes>, mut message: Bytes) -> Result<(), String> {
    while !message.is_empty() {
        stream.reserve_capacity(message.len());
        let window = poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or("the collector is gone")?;
        let window = window.map_err(|why| why.to_string())?.min(message.len());
        let chunk = message.split_to(window);
        stream.send_data(chunk, message.is_empty()).map_err(|why| why.to_string())?;
    }
    Ok(())
}

/// Reads an answer, which says nothing that we need, and returns the status behind it.
async fn read_to_end(mut body: RecvStream) -> Result<Option<http::HeaderValue>, String> {
    let mut read = 0;
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|why| why.to_string())?;
        read += chunk.len();
        if read > MOST_ANSWER {
            return Err("the collector's answer is too large".to_owned());
        }
        // an error means that the stream is over
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    let trailers = body.trailers().await.map_err(|why| why.to_string())?;
    Ok(trailers.and_then(|trailers| trailers.get("grpc-status").cloned()))
}
