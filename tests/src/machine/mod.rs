//! Bad machines to order: small disks in mount namespaces of their own, calls that fail, clocks that jump.
//!
//! Nothing outside of the test's own processes changes. Where the machine does not allow it, the constructors say so with `None`
//! and a line that tells why; a test is skipped then. Must never end or touch a process that it did not start.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A tmpfs that only processes of its mount namespace see. Gone when dropped.
pub struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `size` (as in `96m`) on the empty folder `at`.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder to mount on");
        let script = "mount -t tmpfs -o size=\"$1\",mode=0700 small \"$2\" && echo mounted && exec sleep 1000000";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", size]).arg(at);
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut holder = match started {
            Ok(holder) => holder,
            Err(why) => return skipped(&format!("unshare does not run: {why}")),
        };
        let mut said = String::new();
        let out = holder.stdout.as_mut().expect("piped");
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said);
        if said.trim() != "mounted" {
            let _ = holder.kill();
            let output = holder.wait_with_output().expect("it ended");
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return skipped(&format!("no mount namespace (it needs root): {why}"));
        }
        Some(Self { holder, at: at.to_owned() })
    }

    /// What to put in front of a command so that it sees the disk.
    pub fn enter(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--mount=/proc/{}/ns/mnt", self.holder.id()), "--".into()]
    }

    /// The same folder as seen from outside.
    pub fn seen_from_outside(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.at.display()))
    }

    /// Mounts it again with these options, such as `ro`.
    ///
    /// # Panics
    /// When that fails.
    pub fn remount(&self, options: &str) {
        let mut command = Command::new("nsenter");
        command.args(&self.enter()[1..]).args(["mount", "-o", &format!("remount,{options}")]).arg(&self.at);
        let status = command.status().expect("nsenter runs");
        assert!(status.success(), "remount,{options}: {status}");
    }

    /// Takes all free space but `leave` bytes with a file, which may be there already.
    pub fn fill(&self, leave: u64) {
        use std::io::Write;
        let path = self.ballast();
        let mut file = std::fs::File::options().create(true).append(true).open(path).expect("the ballast");
        loop {
            let free = self.free();
            if free <= leave {
                return;
            }
            let step = (free - leave).min(1 << 20) as usize;
            // somebody else may take the space first
            if file.write_all(&vec![0x55; step]).is_err() {
                return;
            }
        }
    }

    /// Gives back what [`Self::fill`] took.
    pub fn free_again(&self) {
        // there may be none
        let _ = std::fs::remove_file(self.ballast());
    }

    /// Free bytes.
    ///
    /// # Panics
    /// When they cannot be asked for.
    pub fn free(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(self.seen_from_outside()).output();
        let text = String::from_utf8(output.expect("stat runs").stdout).expect("numbers");
        let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().expect("a number"));
        numbers.next().expect("blocks") * numbers.next().expect("their size")
    }

    fn ballast(&self) -> PathBuf {
        self.seen_from_outside().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    println!("skipped: {why}");
    None
}

/// The library that makes calls fail and sets clocks; see `shim.c`.
pub struct Shim {
    library: PathBuf,
    rules: PathBuf,
}

impl Shim {
    /// Compiles the library once per process; rules are kept in `dir`, empty at first.
    pub fn new(dir: &Path) -> Option<Self> {
        static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
        let library = BUILT.get_or_init(build).clone()?;
        let rules = dir.join("shim-rules");
        std::fs::write(&rules, b"").expect("the rules");
        Some(Self { library, rules })
    }

    /// Variables that put a process under it.
    pub fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD".into(), text(&self.library)), ("SHIM_RULES".into(), text(&self.rules))]
    }

    /// From now on.
    ///
    /// # Panics
    /// When the rules cannot be written.
    pub fn set(&self, rules: &str) {
        // readers must never see half a file
        let next = self.rules.with_extension("next");
        std::fs::write(&next, rules).expect("the rules");
        std::fs::rename(next, &self.rules).expect("the rules");
    }
}

fn build() -> Option<PathBuf> {
    // next to the test binary, so that a build folder that is removed takes it along
    let library = std::env::current_exe().expect("the test's own path").with_file_name("conclave-shim.so");
    let dir = TempDir::new().expect("a temporary folder");
    let source = dir.path().join("shim.c");
    std::fs::write(&source, include_str!("shim.c")).expect("the source");
    let built = dir.path().join("shim.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&built).arg(&source).arg("-ldl");
    match command.output() {
        Err(why) => return skipped(&format!("no C compiler: {why}")),
        Ok(output) if !output.status.success() => {
            return skipped(&format!("the shim does not compile: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(_) => {}
    }
    // another test process may use the one that is there
    let next = library.with_extension(std::process::id().to_string());
    std::fs::copy(&built, &next).and_then(|_| std::fs::rename(&next, &library)).expect("keep the shim");
    Some(library)
}
