//! Every command once, briefly, against the daemon. Needs loopback and the daemon's binary: `CONCLAVE_BIN`, or next to ours.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

const READY: &str = "serving client traffic";

/// The daemon, or nothing when it has not been built (then `make test` builds it first and sets the variable).
fn daemon() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_conclave-bench")).with_file_name("conclave");
    let path = std::env::var_os("CONCLAVE_BIN").map_or(beside, PathBuf::from);
    assert!(path.is_file(), "{} is missing: cargo build -p conclave, or set CONCLAVE_BIN", path.display());
    path
}

/// A member with its data, gone when dropped.
struct Member {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Member {
    fn start() -> Self {
        Self::start_with("http", &[])
    }

    fn start_with(scheme: &str, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mut child = Command::new(daemon())
            .env_clear()
            .arg(format!("--data-dir={}", dir.path().join("data").display()))
            .args([format!("--listen-client-urls={url}"), format!("--advertise-client-urls={url}")])
            .arg("--listen-peer-urls=http://127.0.0.1:0")
            .args(flags)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let member = Self { child, dir, port };
        let mut said = Vec::new();
        while let Ok(line) = lines.recv_timeout(Duration::from_secs(30)) {
            said.push(line);
            if said.last().is_some_and(|line| line.contains(READY)) {
                // the thread goes on draining the pipe
                return member;
            }
        }
        panic!("the member never served: {}", said.join("\n"));
    }

    fn bench(&self, line: &str) -> Output {
        let endpoint = format!("--endpoints=127.0.0.1:{}", self.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_conclave-bench"));
        command.args(line.split_whitespace()).arg(endpoint).current_dir(self.dir.path()).output().unwrap()
    }

    /// Standard output of a command that succeeds without failed requests.
    fn good(&self, line: &str) -> String {
        let output = self.bench(line);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {out}{err}");
        assert!(!out.contains("Error distribution") && err.is_empty(), "{line}: {out}{err}");
        out.into_owned()
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn writes_and_reads() {
    let member = Member::start();
    let out = member
        .good("put --total=300 --clients=10 --conns=2 --sequential-keys --key-space-size=300 --check-hashkv --sample");
    for words in ["Summary:\n", "Response time histogram:\n", "Latency distribution:\n", "HashKV: ", "UNIX-SECOND"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    member.good(
        "put --total=300 --clients=4 --key-space-size=50 --compact-interval=20ms --compact-index-delta=10 --rate=2000",
    );
    for flags in ["", "--stream", "--paginate", "--count-only", "--keys-only", "--limit=5 --consistency=s"] {
        let out = member.good(&format!("range --prefix --total=20 --clients=2 {flags}"));
        assert!(out.contains("izable range\n") && out.contains("Requests/sec:"), "{out}");
    }
    member.good("txn-put --total=50 --clients=4 --txn-ops=5 --key-space-size=100");
    let out = member.good("txn-mixed --total=60 --clients=4");
    assert!(out.contains("Total Read Ops: ") && out.contains("Total Write Ops: "));
}

#[test]
fn watchers_leases_and_transactions() {
    let member = Member::start();
    let out = member.good("watch --streams=3 --watch-per-stream=5 --watched-key-total=4 --put-total=20 --sequential-keys --key-space-size=4");
    assert!(out.contains("Watch creation summary:") && out.contains("Watch events received summary:"), "{out}");
    member.good("watch-get --watchers=50 --streams=2");
    let out = member.good("watch-latency --streams=2 --watchers-per-stream=2 --put-total=10 --put-rate=200 --prevkv");
    assert!(out.contains("\nPut summary:\n") && out.contains("\nWatch events summary:\n"), "{out}");
    member.good("lease-keepalive --total=40 --clients=4");
    member.good("lease-keepalive --total=40 --clients=4 --reuse-stream");
    for isolation in ["c", "r", "s", "ss"] {
        member.good(&format!("stm --total=40 --clients=4 --keys=3 --keys-per-txn=2 --isolation={isolation}"));
    }
    member.good("stm --total=20 --clients=4 --stm-locker=lock-client");
}

#[test]
fn a_mix_and_its_files() {
    let member = Member::start();
    let mix = "
keys:
  a: { count: 200, value-size: [10, 50], distribution: zipf }
  b: { count: 50, distribution: hotspot, hot-keys: 5 }
operations:
  - { op: get, keys: a, weight: 4 }
  - { op: put, keys: b, weight: 4 }
  - { op: list, keys: a, limit: 10 }
  - { op: count, keys: a, serializable: true }
  - { op: txn, keys: b, reads: 1, writes: 2 }
  - { op: delete, keys: b }
";
    std::fs::write(member.dir.path().join("mix.yaml"), mix).unwrap();
    let flags = "--total=400 --clients=8 --seed=7 --percentiles --json=out.json --csv=out.csv --html=out.html";
    let out = member.good(&format!("mix mix.yaml {flags}"));
    assert!(out.contains("\nall: 400 requests\n") && out.contains("99.99%"), "{out}");
    let json: serde_json::Value = serde_json::from_str(&member.file("out.json")).unwrap();
    let reports = json["reports"].as_array().unwrap();
    assert_eq!((reports.len(), &reports[6]["succeeded"]), (7, &400.into()));
    let parts: u64 = reports[..6].iter().map(|report| report["succeeded"].as_u64().unwrap()).sum();
    assert_eq!(parts, 400);
    assert!(json["client_cpu_us_per_request"].as_f64().unwrap() > 0.0);
    assert!(member.file("out.csv").starts_with("name,second,count") && member.file("out.html").contains("<svg"));
}

#[test]
fn a_short_soak_finds_no_fault() {
    let member = Member::start();
    let data = member.dir.path().join("data");
    let flags = "--keys=2000 --leases=1000 --writers=20 --run=3s --window=500ms --readers=4 --watchers=3 --compact-every=500ms \
                 --keep-revisions=3000 --defrag-every=400ms --snapshot-every=300ms --report=soak.md";
    let output = member.bench(&format!("soak {flags} --pid={} --data-dir={}", member.child.id(), data.display()));
    let out = String::from_utf8_lossy(&output.stdout);
    // whether it was flat is a matter of the machine; whether it was right is not
    assert!(out.contains("- ok: 0 faults") && out.contains("- ok: 0 events missing"), "{out}");
    assert!(member.file("soak.md").contains("Verdict: "));
}

#[test]
fn a_server_with_tls() {
    let member = Member::start_with("https", &["--auto-tls"]);
    let output = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conclave-bench"));
        command
            .args(line.split_whitespace())
            .arg(format!("--endpoints=https://127.0.0.1:{}", member.port))
            .output()
            .unwrap()
    };
    let out = output("put --total=50 --clients=5 --conns=2 --insecure-skip-tls-verify");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("Requests/sec:") && !text.contains("Error"), "{out:?}");
    // nobody we trust has signed that certificate
    let refused = output("put --total=50");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate"), "{refused:?}");
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn mistakes_say_what_to_do() {
    let bench = |line: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_conclave-bench")).args(line.split_whitespace()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (line, words) in [
        (format!("put --endpoints=127.0.0.1:{port}"), "Is the server running?"),
        ("put --endpoints=nowhere".into(), "is not an endpoint"),
        ("put --total=many".into(), "not a whole number"),
        ("range".into(), "range needs a KEY"),
        ("range a --consistency=x".into(), "neither l nor s"),
        ("stm --isolation=x".into(), "--isolation is c, r, s or ss"),
        ("mix /no/such/file".into(), "cannot read /no/such/file"),
        ("boot".into(), "unknown command"),
    ] {
        let (code, said) = bench(&line);
        assert_eq!(code, Some(1), "{line}");
        assert!(said.starts_with("Error: ") && said.contains(words), "{line}: {said}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_conclave-bench")).arg("--help").output().unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("lease-keepalive"));
}
