//! Runs steps through one tool and keeps what it said.

use crate::cases::{Action, Step};
use crate::normal::Names;
use regex::bytes::Regex;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest a step takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long output must not grow before what runs beside is ended.
const QUIET: Duration = Duration::from_millis(700);

/// What came of a step.
pub struct Outcome {
    line: String,
    out: Vec<u8>,
    err: Vec<u8>,
    code: Option<i32>,
    /// Why another tool may do something else.
    pub reason: Option<String>,
}

impl Outcome {
    /// As `expected.txt` has it: the line, output behind `|`, errors behind `!`, the exit code behind `=`.
    pub fn shown(&self) -> String {
        let code = self.code.map_or("signal".to_owned(), |code| code.to_string());
        format!("$ {}\n{}{}= {code}\n\n", self.line, marked('|', &self.out), marked('!', &self.err))
    }
}

fn marked(mark: char, text: &[u8]) -> String {
    let line = |line: &[u8]| {
        let shown: String = line
            .utf8_chunks()
            .map(|part| {
                let bad: String = part.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
                let good: String = part
                    .valid()
                    .chars()
                    .map(|c| if c.is_control() && c != '\t' { format!("\\x{:02x}", c as u32) } else { c.to_string() })
                    .collect();
                good + &bad
            })
            .collect();
        format!("{mark} {shown}").trim_end().to_owned() + "\n"
    };
    let whole = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() { String::new() } else { whole.split(|b| *b == b'\n').map(line).collect() }
}

/// A tool, and what is known about its server.
pub struct Tool {
    path: PathBuf,
    endpoint: String,
    folder: PathBuf,
    names: Names,
    last: Vec<u8>,
    beside: Option<(Child, String, Option<String>)>,
}

impl Tool {
    /// A tool for this server; files go into `folder`.
    pub fn new(path: &Path, endpoint: &str, folder: &Path) -> Self {
        let mut names = Names::default();
        names.add("EP", endpoint);
        names.add("TMP", &folder.display().to_string());
        Self {
            path: path.to_owned(),
            endpoint: endpoint.to_owned(),
            folder: folder.to_owned(),
            names,
            last: Vec::new(),
            beside: None,
        }
    }

    /// Remembers a value under a name.
    pub fn name(&mut self, name: &str, value: &str) {
        self.names.add(name, value);
    }

    /// Does a step; what came of it, when that is to be looked at.
    pub fn run(&mut self, step: &Step) -> Option<Outcome> {
        let line = step.args.join(" ");
        match &step.action {
            Action::Keep(name, pattern) => {
                self.keep(name, pattern);
                None
            }
            Action::Start => {
                let (out, err) = (self.file("out", true), self.file("err", true));
                let child = self.command(step).stdout(out).stderr(err).spawn().expect("start the tool");
                self.beside = Some((child, line, step.reason.clone()));
                self.wait_for_quiet();
                None
            }
            Action::End => Some(self.end(&line)),
            Action::Run => {
                let child = self.command(step).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
                let (out, err, code) = finish(child.expect("start the tool"), &step.input, &line);
                self.last.clone_from(&out);
                Some(self.outcome(line, &out, &err, code, step.reason.clone()))
            }
        }
    }

    fn command(&self, step: &Step) -> Command {
        let mut command = Command::new(&self.path);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(step.env.iter().map(|(name, value)| (name, self.names.fill(value))));
        if step.endpoint {
            command.arg(format!("--endpoints={}", self.endpoint));
        }
        command.args(step.args.iter().map(|arg| self.names.fill(arg)));
        command.stdin(if step.input.is_empty() { Stdio::null() } else { Stdio::piped() }).current_dir(&self.folder);
        command
    }

    fn outcome(&self, line: String, out: &[u8], err: &[u8], code: Option<i32>, reason: Option<String>) -> Outcome {
        Outcome { line, out: self.names.normal(out), err: self.names.normal(err), code, reason }
    }

    fn keep(&mut self, name: &str, pattern: &str) {
        let found = Regex::new(pattern).expect("a pattern").captures(&self.last).and_then(|found| found.get(1));
        let shown = String::from_utf8_lossy(&self.last);
        let found = found.unwrap_or_else(|| panic!("{}: no {pattern} in {shown}", self.path.display()));
        self.names.add(name, &String::from_utf8_lossy(found.as_bytes()));
    }

    fn file(&self, name: &str, fresh: bool) -> std::fs::File {
        std::fs::File::options()
            .create(true)
            .write(true)
            .read(true)
            .truncate(fresh)
            .open(self.folder.join(name))
            .expect("a file")
    }

    fn wait_for_quiet(&self) {
        let size = || ["out", "err"].map(|name| self.file(name, false).metadata().map_or(0, |data| data.len()));
        let start = Instant::now();
        let (mut last, mut since) = (size(), start);
        while since.elapsed() < QUIET && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
            let now = size();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// Ends what runs beside with SIGINT, once it has nothing more to say.
    fn end(&mut self, signal: &str) -> Outcome {
        self.wait_for_quiet();
        let (mut child, line, reason) = self.beside.take().expect("something that runs beside");
        if signal != "wait" {
            let signal = if signal.is_empty() { "INT" } else { signal };
            let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
            assert!(sent.expect("run kill").success());
        }
        let code = wait(&mut child, &line);
        let read = |name: &str| {
            let mut text = Vec::new();
            self.file(name, false).read_to_end(&mut text).expect("read what it said");
            text
        };
        self.outcome(line, &read("out"), &read("err"), code, reason)
    }
}

fn finish(mut child: Child, input: &str, line: &str) -> (Vec<u8>, Vec<u8>, Option<i32>) {
    if let Some(mut stdin) = child.stdin.take() {
        // it may end before it has read everything
        let _ = stdin.write_all(input.as_bytes());
    }
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.expect("a pipe").read_to_end(&mut text).expect("read what it said");
            text
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let code = wait(&mut child, line);
    (out.join().expect("output"), err.join().expect("errors"), code)
}

/// The exit code; none when a signal ended it, ours when it takes too long.
fn wait(child: &mut Child, line: &str) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("ask for the tool") {
            return status.code();
        }
        if start.elapsed() > PATIENCE {
            println!("still running after {PATIENCE:?}: {line}");
            // it may end by itself just now
            let _ = child.kill();
            return child.wait().expect("wait for the tool").code();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
