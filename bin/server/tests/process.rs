//! The daemon as a process: exit codes, output, start, stop, ports. Needs loopback only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SIGTERM: i32 = 15;
const READY: &str = "ready to serve client requests";

fn conclave() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    conclave().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Flags of a member on a free port, with all its data in `dir`.
fn member(dir: &Path, port: u16) -> Vec<String> {
    let url = format!("http://127.0.0.1:{port}");
    vec![
        format!("--data-dir={}", dir.join("data").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        // several members of this machine have nothing to do with each other
        "--listen-peer-urls=http://127.0.0.1:0".into(),
        "--snapshot-catchup-entries=1000".into(),
    ]
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running member, killed when dropped, and the lines it wrote.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(args: &[String]) -> Self {
        Self::start_as(conclave().args(args))
    }

    fn start_as(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    fn until(&mut self, words: &str) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
        panic!("{words:?} never came; output was:\n{}", self.seen.join("\n"));
    }

    /// SIGTERM by the system's own tool: sending signals needs `unsafe` in Rust's library.
    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        let took = begin.elapsed();
        self.seen.extend(self.lines.iter());
        (status.signal(), took)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn version_and_help() {
    let version = output(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let lines: Vec<String> = text(&version.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "etcd Version: 3.7.1");
    assert!(lines[1].starts_with("Git SHA: ") && lines[2].starts_with("Go Version: "), "{lines:?}");
    assert!(lines[3].starts_with("Go OS/Arch: linux/") && lines[4].starts_with("Conclave Version: "), "{lines:?}");
    let help = output(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stdout);
    for words in ["--listen-client-urls 'http://localhost:2379'", "Client TLS:", "--auto-compaction-retention"] {
        assert!(help.contains(words), "{words} is missing");
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let unknown = output(&["--bogus"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).starts_with("flag provided but not defined: -bogus\nUsage:"));
    for (args, words) in [
        (&["foo"][..], "\"foo\" is not a valid flag"),
        (&["--heartbeat-interval=1000"], "should be at least as 5 times"),
        (&["--config-file=/no/such/file"], "cannot read configuration file /no/such/file"),
        (&["--log-level=loud"], "unrecognized level"),
    ] {
        let refused = output(args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        let said = text(&refused.stderr);
        let line: serde_json::Value = serde_json::from_str(said.trim_end()).expect("one JSON line");
        assert_eq!(line["level"], "fatal");
        assert!(line["error"].as_str().unwrap().contains(words), "{said}");
    }
    let twice = conclave().args(["--name", "a"]).env("ETCD_NAME", "a").output().unwrap();
    assert_eq!(twice.status.code(), Some(1));
    assert!(text(&twice.stderr).contains("conflicting environment variable"));
}

/// What etcd 3.7.1 says to the same arguments; exit code 2 is Go's for flags it cannot read.
#[test]
fn arguments_that_cannot_be_read_get_gos_words_and_exit_code() {
    let cases = [
        ("--experimental-bogus=1", "flag provided but not defined: -experimental-bogus"),
        ("--name", "flag needs an argument: -name"),
        ("---name", "bad flag syntax: ---name"),
        ("--heartbeat-interval=abc", "invalid value \"abc\" for flag -heartbeat-interval: parse error"),
        ("--strict-reconfig-check=foo", "invalid boolean value \"foo\" for -strict-reconfig-check: parse error"),
        ("--quota-backend-bytes=x", "invalid value \"x\" for flag -quota-backend-bytes: parse error"),
        ("--max-request-bytes=-1", "invalid value \"-1\" for flag -max-request-bytes: parse error"),
        ("--snapshot-count=-5", "invalid value \"-5\" for flag -snapshot-count: parse error"),
        ("--max-txn-ops=a", "invalid value \"a\" for flag -max-txn-ops: parse error"),
        ("--v2-deprecation=not-yet", "invalid value \"not-yet\" for flag -v2-deprecation: invalid value \"not-yet\""),
        ("--initial-cluster-state=maybe", "invalid value \"maybe\" for flag -initial-cluster-state: invalid value"),
        ("--discovery-fallback=x", "invalid value \"x\" for flag -discovery-fallback: invalid value"),
        (
            "--listen-client-urls=ftp://127.0.0.1:1",
            "invalid value \"ftp://127.0.0.1:1\" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:1",
        ),
        (
            "--listen-client-urls=http://127.0.0.1",
            "invalid value \"http://127.0.0.1\" for flag -listen-client-urls: URL address does not have the form \"host:port\": http://127.0.0.1",
        ),
    ];
    for (arg, first_line) in cases {
        let refused = output(&[arg]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arg}: {said}");
        assert_eq!(said.lines().next(), Some(first_line), "{arg}");
    }
}

/// Understood and wrong: exit code 1, the reason in etcd's words as the error of one line of log.
#[test]
fn arguments_that_are_wrong_get_etcds_words_and_exit_code() {
    let cases = [
        ("foo", "\"foo\" is not a valid flag"),
        (
            "--heartbeat-interval=1000",
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[1000ms]",
        ),
        ("--election-timeout=60000", "--election-timeout[60000ms] is too long, and should be set less than 50000ms"),
        ("--heartbeat-interval=0", "--heartbeat-interval must be >0 (set to 0ms)"),
        ("--listen-client-urls=http://foo:1", "expected IP in URL for binding (http://foo:1)"),
        ("--auto-compaction-mode=x", "unknown auto-compaction-mode \"x\""),
        ("--log-format=xml", "unknown log format: xml, supported values json, console"),
        ("--tls-min-version=TLS9", "unexpected TLS version \"TLS9\" (must be one of: TLS1.2, TLS1.3)"),
        (
            "--listen-client-urls=http://127.0.0.1:1",
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().join("data").display());
    for (arg, error) in cases {
        let refused = output(&[&data, arg]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{arg}: {said}");
        let line: serde_json::Value =
            serde_json::from_str(said.trim_end()).unwrap_or_else(|why| panic!("{said}: {why}"));
        assert_eq!(line["error"], error, "{arg}");
        assert!(!dir.path().join("data").exists(), "{arg}: a refusal makes no folder");
    }
}

#[test]
fn starts_serves_and_stops_by_its_signal() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    for round in 0..2 {
        let mut running = Running::start(&member(dir.path(), port));
        running.until(READY);
        let mode = std::fs::metadata(dir.path().join("data")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "nobody else reads the data folder");
        let serving = running.until("serving client traffic insecurely; this is strongly discouraged!");
        assert!(serving.contains(&format!("127.0.0.1:{port}")), "{serving}");
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let (signal, took) = running.terminate();
        assert_eq!(signal, Some(SIGTERM), "round {round}");
        assert!(took < Duration::from_millis(1500), "stopping took {took:?}");
        let all = running.seen.join("\n");
        assert!(all.contains("\"snapshot-catchup-entries\":1000") && all.contains("closed etcd server"), "{all}");
        for line in &running.seen {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
            for key in ["level", "ts", "caller", "msg"] {
                assert!(line[key].is_string(), "{line}");
            }
            assert_ne!(line["level"], "error", "{line}");
        }
    }
}

#[test]
fn a_taken_port_ends_with_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = conclave().args(member(dir.path(), port)).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "fatal");
    let words = format!("127.0.0.1:{port}: address already in use");
    assert!(last["error"].as_str().unwrap().contains(&words), "{said}");
}

#[test]
fn settings_from_a_file_and_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", free_port());
    let file = dir.path().join("conf.yml");
    let data = dir.path().join("data").display().to_string();
    let log = dir.path().join("log");
    let yaml = format!(
        "name: from-file\ndata-dir: {data}\nlisten-client-urls: {url}\nadvertise-client-urls: {url}\nlisten-peer-urls: http://127.0.0.1:0\nlog-outputs: [{}]\n",
        log.display()
    );
    std::fs::write(&file, yaml).unwrap();
    let mut command = conclave();
    command.env("ETCD_CONFIG_FILE", &file).env("ETCD_NAME", "ignored").env("ETCD_UNKNOWN", "x");
    let mut child = command.arg("--heartbeat-interval=50").stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let written = loop {
        let written = std::fs::read_to_string(&log).unwrap_or_default();
        if written.contains(READY) || Instant::now() > end {
            break written;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let _ = child.kill();
    let _ = child.wait();
    assert!(written.contains("\"name\":\"from-file\"") && written.contains(READY), "{written}");
    let ignored = written.lines().find(|line| line.contains("ignored, because all settings are read from"));
    let ignored =
        ignored.unwrap_or_else(|| panic!("flags and variables beside the file are ignored in silence: {written}"));
    assert!(ignored.contains("\"warn\"") && ignored.contains(": --heartbeat-interval, ETCD_NAME\""), "{ignored}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "everything goes to the file");
}

/// Variables that images and unit files carry, and a file that etcd 3.7.1 takes: each is said, none is a reason not to serve.
#[test]
fn settings_of_older_releases_do_not_refuse_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let vars = [
        ("ETCD_ENABLE_V2", "true"),
        ("ETCD_PROXY", "on"),
        ("ETCD_EXPERIMENTAL_ENABLE_V2V3", "/x"),
        ("ETCD_UNSAFE_NO_FSYNC", "true"),
        ("ETCD_FORCE_NEW_CLUSTER", "true"),
        ("ETCD_VERSION", "v3.5.9"),
        ("ETCD_DISCOVERY", "https://discovery.etcd.io/x"),
        ("ETCD_LOG_LEVEL", "WARN"),
    ];
    let args = member(dir.path(), free_port());
    let running = Running::start_as(conclave().envs(vars).args(args));
    assert_serves(running, &["ETCD_PROXY=on", "/x", "--unsafe-no-fsync", "v3.5.9", "ETCD_DISCOVERY"]);
    let mut args = member(dir.path(), free_port());
    args.extend(["--max-snapshots=10".into(), "--v2-deprecation=write-only-drop-data".into()]);
    let running = Running::start_as(conclave().args(args));
    let v2 = "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.";
    assert_serves(running, &["--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.", v2]);

    let file = dir.path().join("conf.yml");
    let url = format!("http://127.0.0.1:{}", free_port());
    let data = dir.path().join("other").display().to_string();
    let yaml = format!(
        "Data-Dir: {data}\nlisten-client-urls: {url}\nlisten-peer-urls: http://127.0.0.1:0\nenable-v2: true\nproxy: 'on'\nlog-level: WARN\n\
         quota-backend-bytes: 8.0e9\nlog-rotation-config-json: '{{\"compress\": true}}'\n"
    );
    std::fs::write(&file, yaml).unwrap();
    let running = Running::start_as(conclave().arg("--config-file").arg(&file));
    assert_serves(running, &["proxy=on"]);
    assert!(dir.path().join("other/member").exists(), "keys of a file may be written in any case");
}

/// Waits until a member that logs warnings alone serves, which it says of plain connections only with a higher level.
fn assert_serves(mut running: Running, warnings: &[&str]) {
    let end = Instant::now() + Duration::from_secs(30);
    let serves = |running: &mut Running| {
        running.seen.extend(running.lines.try_iter());
        if let Some(status) = running.child.try_wait().unwrap() {
            panic!("ended, {status}: {}", running.seen.join("\n"));
        }
        warnings.iter().all(|words| running.seen.iter().any(|line| line.contains(words)))
    };
    while !serves(&mut running) {
        assert!(Instant::now() < end, "{warnings:?} are not all said: {}", running.seen.join("\n"));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(serves(&mut running));
    let (signal, _) = running.terminate();
    assert_eq!(signal, Some(SIGTERM), "{}", running.seen.join("\n"));
    assert!(!running.seen.iter().any(|line| line.contains("\"fatal\"")), "{}", running.seen.join("\n"));
}

#[test]
fn the_soft_limit_of_open_files_is_raised_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.env_clear().stdin(Stdio::null());
    // only the soft limit is lowered; there is always a higher hard one to go back to
    shell.arg("-c").arg("ulimit -Sn 256; exec \"$@\"").arg("sh").arg(env!("CARGO_BIN_EXE_conclave"));
    let mut running = Running::start_as(shell.args(member(dir.path(), free_port())));
    running.until(READY);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard limit: {line}");
    assert_ne!(words[3], "256");
    assert!(running.seen.iter().any(|line| line.contains("raised the limit of open files")), "{:?}", running.seen);
}

/// A full pipe holds up nobody: neither a start that fails, nor one that succeeds, nor the end by a signal.
#[test]
fn a_log_that_nobody_reads_holds_up_neither_start_nor_stop() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (mut reader, writer) = std::io::pipe().unwrap();
    // as full as it gets: whoever writes another byte waits
    fill(&writer);
    let mut child = conclave().args(member(dir.path(), port)).stderr(writer).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "it does not serve");
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            panic!("SIGTERM is not heard while the log is stuck");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.signal(), Some(SIGTERM));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains(READY), "the pipe was full");
}

/// Fills a pipe without waiting for a reader.
fn fill(pipe: &std::io::PipeWriter) {
    let mut writer = pipe;
    rustix::io::ioctl_fionbio(pipe, true).unwrap();
    for size in [4096, 1] {
        while writer.write(&vec![b'.'; size]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(pipe, false).unwrap();
}

#[test]
fn a_member_starts_with_another_time_under_faketime() {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let library =
        places.iter().map(|place| Path::new(place).join("faketime/libfaketimeMT.so.1")).find(|lib| lib.exists());
    let Some(library) = library else {
        println!("skipped: libfaketime is not installed");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut command = conclave();
    command.args(member(dir.path(), free_port())).env("LD_PRELOAD", library).env("FAKETIME", "@2031-05-06 07:08:09");
    let mut running = Running::start_as(&mut command);
    assert!(running.until(READY).contains("\"ts\":\"2031-05-06"), "the lines carry the time that was set");
}

/// Head and body of an answer to a GET.
fn answer(port: u16, path: &str) -> (String, Vec<u8>) {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let body = answer.split_off(end);
    (text(&answer), body)
}

#[test]
fn a_running_member_is_profiled_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut args = member(dir.path(), port);
    args.push("--enable-pprof".into());
    let mut running = Running::start(&args);
    running.until(READY);
    // whichever of the two comes first is made, and the other one refused meanwhile
    let both = [(); 2].map(|()| std::thread::spawn(move || answer(port, "/debug/pprof/profile?seconds=5")));
    let answers = both.map(|asked| asked.join().unwrap());
    let refused = answers.iter().find(|(head, _)| head.starts_with("HTTP/1.1 500 ")).expect("one is refused");
    assert!(text(&refused.1).contains("cpu profiling already in use"), "{}", text(&refused.1));
    let made = answers.iter().find(|(head, _)| head.starts_with("HTTP/1.1 200 ")).expect("one is made");
    let mut profile = Vec::new();
    flate2::read::GzDecoder::new(&made.1[..]).read_to_end(&mut profile).unwrap();
    let words = String::from_utf8_lossy(&profile);
    for word in ["samples", "count", "cpu", "nanoseconds"] {
        assert!(words.contains(word), "{word:?} is not in the profile of {} bytes", profile.len());
    }
    assert_eq!(running.terminate().0, Some(SIGTERM));
}

#[test]
fn slow_applies_and_traffic_on_separate_ports_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let [port, http] = [free_port(), free_port()];
    let mut args = member(dir.path(), port);
    args.push("--warning-apply-duration=1ns".into());
    args.push(format!("--listen-client-http-urls=http://127.0.0.1:{http}"));
    let mut running = Running::start(&args);
    let slow = running.until("apply request took too long");
    assert!(slow.contains("\"expected-duration\":\"1ns\"") && slow.contains("\"prefix\":"), "{slow}");
    let grpc = running.until("serving client traffic insecurely");
    assert!(grpc.contains("\"traffic\":\"grpc\"") && grpc.contains(&port.to_string()), "{grpc}");
    let pages = running.until("serving client traffic insecurely");
    assert!(pages.contains("\"traffic\":\"http\"") && pages.contains(&http.to_string()), "{pages}");
    let metrics = text(&answer(http, "/metrics").1);
    let slow = metrics.lines().find_map(|line| line.strip_prefix("etcd_server_slow_apply_total ")).unwrap();
    assert!(slow.parse::<u64>().unwrap() >= 1, "{slow}");
}
