//! A server of one or several members: processes on free ports, killed without mercy, measured through `/proc`.
//!
//! Must leave nothing behind: processes and data folders go when it is dropped.

use bench::client::{Address, Channel, Endpoint, Method, Target, frame};
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
const MIB: f64 = (1 << 20) as f64;

/// A server and its data.
pub struct Server {
    binary: PathBuf,
    home: TempDir,
    members: Vec<Member>,
}

/// One of its members.
struct Member {
    name: String,
    client: u16,
    peer: u16,
    child: Option<Child>,
}

impl Member {
    fn pair(&self) -> String {
        format!("{}={}", self.name, url(self.peer))
    }

    fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// An empty server of `count` members, each of which has answered once.
    pub async fn fresh(binary: &Path, dir: &Path, count: usize) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("compare-").tempdir_in(dir)?;
        let member = |number: usize| {
            let name = format!("m{number}");
            Ok(Member { name, client: free_port()?, peer: free_port()?, child: None })
        };
        let members = (0..count).map(member).collect::<io::Result<_>>()?;
        let mut server = Self { binary: binary.to_owned(), home, members };
        server.start().await?;
        Ok(server)
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Starts the processes that do not run; returns the time until each has given its first linearizable answer.
    pub async fn start(&mut self) -> io::Result<Duration> {
        let begin = Instant::now();
        for at in 0..self.members.len() {
            if self.members[at].child.is_none() {
                self.members[at].child = Some(self.spawn(at, "new")?);
            }
        }
        for at in 0..self.members.len() {
            self.wait(at, begin).await?;
        }
        Ok(begin.elapsed())
    }

    /// Starts a member without data that was added to the running ones; does not wait for it.
    pub fn join(&mut self, at: usize) -> io::Result<()> {
        self.members[at].child = Some(self.spawn(at, "existing")?);
        Ok(())
    }

    fn spawn(&self, at: usize, state: &str) -> io::Result<Child> {
        let member = &self.members[at];
        let (client, peer) = (url(member.client), url(member.peer));
        let cluster: Vec<String> = self.members.iter().map(Member::pair).collect();
        let log = File::options().create(true).append(true).open(self.log(at))?;
        Command::new(&self.binary)
            .env_clear()
            .arg(format!("--name={}", member.name))
            .args([QUOTA, "--log-level=warn", "--data-dir"])
            .arg(self.data(at))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster={}", cluster.join(",")))
            .arg(format!("--initial-cluster-state={state}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    async fn wait(&mut self, at: usize, begin: Instant) -> io::Result<()> {
        while !self.answers(at).await {
            let ended = self.members[at].child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?;
            if let Some(status) = ended {
                let (binary, words) = (self.binary.display(), self.last_words(at));
                return Err(io::Error::other(format!("{binary} ended: {status}; {words}")));
            }
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{} does not answer", self.binary.display())));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn answers(&self, at: usize) -> bool {
        let Ok(channel) = Channel::connect(&self.target_of(at)).await else { return false };
        let request = api::etcdserverpb::RangeRequest { key: "probe".into(), ..Default::default() };
        let call = channel.unary_discard(Method::Range, frame(&request));
        matches!(tokio::time::timeout(Duration::from_secs(2), call).await, Ok(Ok(_)))
    }

    fn last_words(&self, at: usize) -> String {
        let log = std::fs::read_to_string(self.log(at)).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// SIGKILL for all, and wait for their end.
    pub fn kill(&mut self) -> io::Result<()> {
        self.members.iter_mut().try_for_each(Member::kill)
    }

    /// SIGKILL for one of them.
    pub fn kill_one(&mut self, at: usize) -> io::Result<()> {
        self.members[at].kill()
    }

    /// Takes the data of a member that does not run.
    pub fn wipe(&self, at: usize) -> io::Result<()> {
        std::fs::remove_dir_all(self.data(at))
    }

    /// Where all of them listen.
    pub fn target(&self) -> Target {
        target((0..self.members.len()).map(|at| self.endpoint(at)).collect())
    }

    /// Where one of them listens.
    pub fn target_of(&self, at: usize) -> Target {
        target(vec![self.endpoint(at)])
    }

    /// The peer URL of a member.
    pub fn peer_url(&self, at: usize) -> String {
        url(self.members[at].peer)
    }

    fn endpoint(&self, at: usize) -> Endpoint {
        Endpoint { address: Address::Tcp(format!("127.0.0.1:{}", self.members[at].client)), tls: false }
    }

    /// That many connections, to all members alike.
    pub async fn channels(&self, count: usize) -> Result<Vec<Rc<Channel>>, String> {
        bench::client::connect(&self.target(), count).await.map_err(|why| why.to_string())
    }

    /// One connection to one member.
    pub async fn channel_to(&self, at: usize) -> Result<Rc<Channel>, String> {
        Channel::connect(&self.target_of(at)).await.map_err(|why| why.to_string())
    }

    fn data(&self, at: usize) -> PathBuf {
        self.home.path().join(format!("data-{at}"))
    }

    fn log(&self, at: usize) -> PathBuf {
        self.home.path().join(format!("log-{at}"))
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.members.iter().filter_map(|member| member.child.as_ref().map(Child::id))
    }

    /// CPU time of all members so far.
    pub fn cpu(&self) -> Result<Duration, String> {
        self.pids().map(proc::cpu).sum::<io::Result<Duration>>().map_err(|why| why.to_string())
    }

    /// Resident memory in MiB, of the member that has most.
    pub fn resident(&self) -> Result<f64, String> {
        let each = self.pids().map(proc::resident).collect::<io::Result<Vec<_>>>().map_err(|why| why.to_string())?;
        Ok(each.into_iter().max().unwrap_or_default() as f64 / MIB)
    }

    /// Size of the data folder in MiB, of the member that has most.
    pub fn disk(&self) -> Result<f64, String> {
        let each = (0..self.members.len()).map(|at| proc::disk(&self.data(at)));
        let each = each.collect::<io::Result<Vec<_>>>().map_err(|why| why.to_string())?;
        Ok(each.into_iter().max().unwrap_or_default() as f64 / MIB)
    }
}

fn target(endpoints: Vec<Endpoint>) -> Target {
    Target { endpoints, tls: Default::default(), user: None, dial_timeout: Duration::ZERO }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nothing can be done about a process that cannot be killed
        let _ = self.kill();
    }
}
