//! A cluster of processes, and a client that makes one connection for each request.
//!
//! Must never wait for longer than its patience.

use harness::daemon::free_ports;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

struct Process {
    peer: u16,
    client: u16,
    join: bool,
    child: Option<Child>,
}

/// Members by place: the id of the first is 1.
pub struct Cluster {
    dir: TempDir,
    flags: Vec<String>,
    processes: Vec<Process>,
}

impl Cluster {
    /// Starts so many members of a new cluster, and waits until they serve.
    pub fn start(members: usize, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut cluster = Self { dir, flags, processes: Vec::new() };
        cluster.processes = (0..members).map(|_| Process::new(false)).collect();
        cluster.start_all_again();
        cluster.wait_until_all_serve();
        cluster
    }

    /// Prepares a further member, which does not run yet.
    pub fn new_member(&mut self) -> usize {
        self.processes.push(Process::new(true));
        self.processes.len() - 1
    }

    /// Starts a member that was added.
    pub fn join(&mut self, member: usize) {
        self.start_again(member);
    }

    /// Where a member listens for the others.
    pub fn url(&self, member: usize) -> String {
        format!("http://127.0.0.1:{}", self.processes[member].peer)
    }

    /// Where clients are served, of all.
    pub fn client_ports(&self) -> Vec<u16> {
        self.processes.iter().map(|process| process.client).collect()
    }

    /// `kill -9`.
    pub fn kill(&mut self, member: usize) {
        let mut child = self.processes[member].child.take().expect("it runs");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// `kill -9` of all.
    pub fn kill_all(&mut self) {
        (0..self.processes.len()).for_each(|member| self.kill(member));
    }

    /// Starts a member in its folder.
    pub fn start_again(&mut self, member: usize) {
        let process = &self.processes[member];
        let known = if process.join { self.processes.len() } else { self.founders() };
        let urls: Vec<String> = (0..known).map(|place| self.url(place)).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_raftexample"));
        command.args(["--id", &(member + 1).to_string(), "--cluster", &urls.join(",")]);
        command.args(["--port", &process.client.to_string()]).args(&self.flags);
        command.arg("--data-dir").arg(self.dir.path().join(format!("{member}")));
        if process.join {
            command.arg("--join");
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("start");
        self.processes[member].child = Some(child);
    }

    /// Starts all members.
    pub fn start_all_again(&mut self) {
        (0..self.processes.len()).for_each(|member| self.start_again(member));
    }

    /// Waits until each member that runs answers a read.
    pub fn wait_until_all_serve(&mut self) {
        let running: Vec<usize> = (0..self.processes.len()).filter(|at| self.processes[*at].child.is_some()).collect();
        self.wait_for(&running);
    }

    /// Waits until these members answer a read.
    pub fn wait_for(&mut self, members: &[usize]) {
        let start = Instant::now();
        for &member in members {
            let port = self.processes[member].client;
            while !matches!(get(port, "probe"), Some((200 | 404, _))) {
                let child = self.processes[member].child.as_mut().expect("it runs");
                if let Some(status) = child.try_wait().expect("ask for the process") {
                    panic!("member {} ended: {status}", member + 1);
                }
                assert!(start.elapsed() < PATIENCE, "member {} does not serve", member + 1);
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Waits until a member ends by itself.
    pub fn ends(&mut self, member: usize) -> ExitStatus {
        let mut child = self.processes[member].child.take().expect("it runs");
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("ask for the process") {
                return status;
            }
            if start.elapsed() > PATIENCE {
                child.kill().expect("kill");
                panic!("member {} goes on", member + 1);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stores a value, at whichever of these takes it.
    pub fn put_somewhere(&self, ports: &[u16], key: &str, value: &str) {
        until(ports, |port| put(port, key, value) == Some(204));
    }

    /// Changes the membership: asks until the answer is this one.
    pub fn change(&self, ports: &[u16], method: &str, id: usize, body: &str, wanted: u16) {
        let mut last = None;
        until(ports, |port| {
            last = request(port, method, &format!("/{id}"), body);
            matches!(&last, Some((status, _)) if *status == wanted)
        });
    }

    fn founders(&self) -> usize {
        self.processes.iter().filter(|process| !process.join).count()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().filter_map(|process| process.child.as_mut()) {
            // it may have ended by itself
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Process {
    fn new(join: bool) -> Self {
        let [peer, client] = free_ports();
        Self { peer, client, join, child: None }
    }
}

fn until(ports: &[u16], mut done: impl FnMut(u16) -> bool) {
    let start = Instant::now();
    for port in ports.iter().cycle() {
        if done(*port) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "nobody gives the right answer");
        thread::sleep(Duration::from_millis(20));
    }
}

/// `PUT`; none when there was no answer.
pub fn put(port: u16, key: &str, value: &str) -> Option<u16> {
    request(port, "PUT", &format!("/{key}"), value).map(|(status, _)| status)
}

/// `GET`; none when there was no answer.
pub fn get(port: u16, key: &str) -> Option<(u16, String)> {
    request(port, "GET", &format!("/{key}"), "")
}

/// One request on a connection of its own: status and body, or none when there was no whole answer.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(8))).ok()?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).ok()?;
    // a server that refuses a body may stop reading it
    let _ = socket.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    (read.is_ok() || status >= 400).then(|| (status, body.to_owned()))
}
