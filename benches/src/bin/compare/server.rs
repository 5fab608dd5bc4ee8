//! A server process: started on free ports, killed without mercy, measured through `/proc`.
//!
//! Must leave nothing behind: process and data folder go when it is dropped.

use bench::client::{Channel, Endpoint, Method, Target, frame};
use bench::proc;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for a first answer.
const PATIENCE: Duration = Duration::from_secs(120);
const QUOTA: &str = "--quota-backend-bytes=8589934592";

/// A server and its data.
pub struct Server {
    binary: PathBuf,
    home: TempDir,
    client: u16,
    peer: u16,
    child: Option<Child>,
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// An empty server that has answered once.
    pub async fn fresh(binary: &Path, dir: &Path) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("compare-").tempdir_in(dir)?;
        let mut server =
            Self { binary: binary.to_owned(), home, client: free_port()?, peer: free_port()?, child: None };
        server.start().await?;
        Ok(server)
    }

    /// Starts the process; returns the time to its first linearizable answer.
    pub async fn start(&mut self) -> io::Result<Duration> {
        let (client, peer) = (format!("http://127.0.0.1:{}", self.client), format!("http://127.0.0.1:{}", self.peer));
        let log = File::options().create(true).append(true).open(self.home.path().join("log"))?;
        let begin = Instant::now();
        let child = Command::new(&self.binary)
            .env_clear()
            .args(["--name=compare", QUOTA, "--log-level=warn", "--data-dir"])
            .arg(self.data())
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=compare={peer}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        loop {
            if self.answers().await {
                return Ok(begin.elapsed());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()? {
                return Err(io::Error::other(format!(
                    "{} ended: {status}; {}",
                    self.binary.display(),
                    self.last_words()
                )));
            }
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{} does not answer", self.binary.display())));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn answers(&self) -> bool {
        let Ok(channel) = Channel::connect(&self.target()).await else { return false };
        let request = api::etcdserverpb::RangeRequest { key: "probe".into(), ..Default::default() };
        let call = channel.unary_discard(Method::Range, frame(&request));
        matches!(tokio::time::timeout(Duration::from_secs(2), call).await, Ok(Ok(_)))
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// SIGKILL, and wait for the end.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Where it listens.
    pub fn target(&self) -> Target {
        let endpoint =
            Endpoint { address: bench::client::Address::Tcp(format!("127.0.0.1:{}", self.client)), tls: false };
        Target { endpoints: vec![endpoint], tls: Default::default(), user: None, dial_timeout: Duration::ZERO }
    }

    /// That many connections.
    pub async fn channels(&self, count: usize) -> Result<Vec<Rc<Channel>>, String> {
        bench::client::connect(&self.target(), count).await.map_err(|why| why.to_string())
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<Duration, String> {
        proc::cpu(self.pid()).map_err(|why| why.to_string())
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> Result<f64, String> {
        proc::resident(self.pid()).map(|bytes| bytes as f64 / f64::from(1 << 20)).map_err(|why| why.to_string())
    }

    /// Size of the data folder in MiB.
    pub fn disk(&self) -> Result<f64, String> {
        proc::disk(&self.data()).map(|bytes| bytes as f64 / f64::from(1 << 20)).map_err(|why| why.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nothing can be done about a process that cannot be killed
        let _ = self.kill();
    }
}
