//! What a put costs: server CPU under load, and the time of one client alone.
//!
//! Must warm the server up before it counts.

use super::{Value, value};
use crate::load::{VALUE, driven, plan, value as bytes_of};
use crate::server::Server;
use crate::side::Side;
use api::etcdserverpb::PutRequest;
use bench::client::{Channel, Encoder, Endpoint, Method, Target};
use bench::load::keys::numbered;
use bench::load::rng::Rng;
use bench::report::Summary;
use std::cell::RefCell;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

const CLIENTS: usize = 1000;
const CONNS: usize = 100;
const KEY: usize = 16;
const SPACE: u64 = 1_000_000;
const WARM: u64 = 20_000;
/// Puts of the client that is alone.
const ALONE: u64 = 4_000;
/// What may lie above the echo and the sync.
const ALLOWANCE_US: f64 = 60.0;

pub(super) async fn put_many(
    channels: &[Rc<Channel>],
    clients: usize,
    total: u64,
    random: bool,
) -> Result<Summary, String> {
    let (encoder, rng) = (RefCell::new(Encoder::default()), RefCell::new(Rng::new(total)));
    let value = bytes_of(1, 1);
    debug_assert_eq!(value.len(), VALUE);
    driven(plan(clients, total), channels, async move |_, channel: &Channel, ticket| {
        let number = if random { rng.borrow_mut().below(SPACE) } else { ticket % SPACE };
        let request = PutRequest { key: numbered(number, KEY), value: value.clone(), ..Default::default() };
        let body = encoder.borrow_mut().frame(&request);
        channel.unary_discard(Method::Put, body).await.map(drop)
    })
    .await
}

struct Cost {
    cpu_us: f64,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

async fn cost(server: &Server, channels: &[Rc<Channel>], puts: u64, random: bool) -> Result<Cost, String> {
    put_many(channels, CLIENTS, WARM, random).await?;
    let before = server.cpu()?;
    let summary = put_many(channels, CLIENTS, puts, random).await?;
    let used = server.cpu()?.saturating_sub(before);
    let at = |share: f64| summary.latency.value_at_quantile(share) as f64 / 1e6;
    Ok(Cost { cpu_us: used.as_secs_f64() * 1e6 / puts as f64, rate: summary.rate(), p50_ms: at(0.5), p99_ms: at(0.99) })
}

/// `cpu`
pub async fn puts(side: &mut Side) -> Result<Vec<Value>, String> {
    side.forget();
    let server = side.fresh().await?;
    let channels = server.channels(CONNS).await?;
    let sequential = cost(&server, &channels, side.puts, false).await?;
    let random = cost(&server, &channels, side.puts, true).await?;
    Ok(vec![
        value("sequential keys", "µs CPU/put", sequential.cpu_us, "≤ 0.3 of etcd's"),
        value("sequential rate", "puts/s", sequential.rate, ""),
        value("sequential p50", "ms", sequential.p50_ms, ""),
        value("sequential p99", "ms", sequential.p99_ms, ""),
        value("random keys", "µs CPU/put", random.cpu_us, "≤ 0.4 of etcd's"),
        value("random rate", "puts/s", random.rate, ""),
        value("random p50", "ms", random.p50_ms, ""),
        value("random p99", "ms", random.p99_ms, ""),
    ])
}

/// The echo behind our door, killed when dropped.
struct Echo {
    child: Child,
    port: u16,
}

impl Echo {
    fn start(binary: &Path) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
        let port = listener.local_addr().map_err(|why| why.to_string())?.port();
        drop(listener);
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(binary)
            .args([&address, "2", "hop"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|why| format!("{}: {why}", binary.display()))?;
        let echo = Self { child, port };
        let begin = Instant::now();
        while TcpStream::connect(&address).is_err() {
            if begin.elapsed() > Duration::from_secs(10) {
                return Err("the echo does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(echo)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median, in µs.
async fn alone(channels: &[Rc<Channel>]) -> Result<f64, String> {
    put_many(channels, 1, ALONE / 4, true).await?;
    let summary = put_many(channels, 1, ALONE, true).await?;
    Ok(summary.latency.value_at_quantile(0.5) as f64 / 1e3)
}

/// Median of a client that is alone with this member, and CPU of all members for one of its puts, in µs.
async fn lone(server: &Server, at: usize) -> Result<(f64, f64), String> {
    let channels = [server.channel_to(at).await?];
    let before = server.cpu()?;
    let p50 = alone(&channels).await?;
    let used = server.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / (ALONE + ALONE / 4) as f64;
    Ok((p50, used))
}

/// `one`
pub async fn one(side: &mut Side) -> Result<Vec<Value>, String> {
    side.forget();
    let server = side.fresh().await?;
    let (p50, used) = lone(&server, 0).await?;
    let floor_dir = tempfile::tempdir_in(&side.dir).map_err(|why| why.to_string())?;
    let floor = conclave_benches::sync_floor(floor_dir.path()).map_err(|why| why.to_string())?;
    let floor = floor.as_secs_f64() * 1e6;
    let mut out = vec![
        value("one client's p50", "µs", p50, "≤ echo + sync + 60"),
        value("one client", "µs CPU/put", used, ""),
        value("one sync", "µs", floor, ""),
    ];
    if server.members() > 1 {
        let (p50, used) = lone(&server, 1).await?;
        out.push(value("through a follower, p50", "µs", p50, ""));
        out.push(value("through a follower", "µs CPU/put", used, ""));
    }
    let Some(binary) = &side.echo else { return Ok(out) };
    let echo = Echo::start(binary)?;
    let endpoint = Endpoint::parse(&format!("127.0.0.1:{}", echo.port)).map_err(|why| why.to_string())?;
    let target = Target { endpoints: vec![endpoint], ..server.target() };
    let channels = bench::client::connect(&target, 1).await.map_err(|why| why.to_string())?;
    let echoed = alone(&channels).await?;
    // once more after the echo: the machine may have changed meanwhile
    let again = alone(&[server.channel_to(0).await?]).await?;
    out.push(value("one client's p50 again", "µs", again, ""));
    out.push(value("echo p50", "µs", echoed, ""));
    out.push(value("allowed", "µs", echoed + floor + ALLOWANCE_US, ""));
    out.push(value("above allowed", "µs", p50.min(again) - (echoed + floor + ALLOWANCE_US), "≤ 0"));
    Ok(out)
}
