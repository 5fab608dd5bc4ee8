//! A fresh server of one member. Dropping it ends it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts it on free ports; flags are etcd's, so that etcd can be started as well. `tls` are those of its client port, none for plain text.
    ///
    /// # Panics
    /// When it does not serve in time, with its log.
    pub fn start(binary: &Path, folder: &Path, tls: &[String]) -> Self {
        Self::start_with(binary, folder, tls, &[])
    }

    /// As [`Self::start`], with more flags.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(binary: &Path, folder: &Path, tls: &[String], more: &[&str]) -> Self {
        let [client, peer] = free_ports();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let served = if tls.is_empty() { url(client) } else { format!("https://127.0.0.1:{client}") };
        let log = folder.join("server.log");
        let out = File::create(&log).expect("a file for the log");
        let child = Command::new(binary)
            .args(["--name", "default", "--data-dir"])
            .arg(folder.join("data"))
            .args(["--listen-client-urls", &served, "--advertise-client-urls", &served])
            .args(tls)
            .args(more)
            .args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)])
            .arg(format!("--initial-cluster=default={}", url(peer)))
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the log file"))
            .stderr(out)
            .spawn()
            .unwrap_or_else(|why| panic!("start {}: {why}", binary.display()));
        let mut server = Self { child, port: client };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, client)).is_err() {
            let ended = server.child.try_wait().expect("ask for the process");
            if ended.is_some() || start.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{} does not serve ({ended:?}):\n{said}", binary.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Where it serves clients.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|l| l.local_addr().expect("the port").port())
}

/// Our daemon: what `make test` built, or what lies in the build folder.
///
/// # Panics
/// When there is none: with what to do.
pub fn daemon() -> PathBuf {
    if let Some(given) = std::env::var_os("CONCLAVE_BIN") {
        return given.into();
    }
    let own = std::env::current_exe().expect("the test's own path");
    let target = own.ancestors().nth(3).expect("a build folder");
    let built = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
    // the newest: an older one may be of other code
    let found = ["release", "dist", "debug"].map(|profile| target.join(profile).join("conclave")).into_iter();
    let found = found.filter(|path| path.is_file()).max_by_key(built);
    found.unwrap_or_else(|| {
        panic!("no daemon in {}: run `make test`, or `cargo build -p conclave`, or set CONCLAVE_BIN", target.display())
    })
}
