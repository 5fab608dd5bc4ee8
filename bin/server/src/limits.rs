//! What the operating system lets this process have: open files, and memory of its cgroup.
//!
//! Must never fail the start: where nothing can be learned or changed, the process goes on with what it has.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};

/// Raises the soft limit of open files to the hard one: each connection takes a file, and the usual soft limit is 1,024. What was and
/// what is now, when something changed.
///
/// # Errors
/// A sentence for the log.
pub fn raise_open_files() -> Result<Option<(u64, u64)>, String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(soft) = current else { return Ok(None) };
    if maximum == Some(soft) {
        return Ok(None);
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|why| format!("cannot raise the limit of open files from {soft}: {why}"))?;
    Ok(Some((soft, maximum.unwrap_or(u64::MAX))))
}

/// Memory that this process can have at most: the machine's, or less in a cgroup. None where neither is known.
pub fn memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine =
        info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let machine = machine.map(|kib: u64| kib << 10);
    machine.into_iter().chain(cgroup_memory()).min()
}

/// The least memory limit among the cgroups that this process is in, of either version; none where there is no limit.
pub fn cgroup_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    least_limit(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
}

/// As [`cgroup_memory`], of what the kernel says in `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn least_limit(cgroup: &str, mountinfo: &str) -> Option<u64> {
    let mounts = mountinfo.lines().filter_map(Hierarchy::of_line);
    let limits = mounts.filter_map(|mount| {
        let own = cgroup.lines().find_map(|line| mount.path_in(line))?;
        mount.least_limit(&own)
    });
    limits.min()
}

/// A mounted hierarchy of cgroups that bounds memory.
struct Hierarchy {
    /// Where it is mounted.
    at: PathBuf,
    /// Which of its groups is mounted there: not the root in a container that sees its own part alone.
    root: PathBuf,
    is_v2: bool,
}

impl Hierarchy {
    /// A line of `mountinfo`: id, parent, device, root, mount point, options …, `-`, type, source, options of the file system.
    fn of_line(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut own = before.split_ascii_whitespace().skip(3);
        let root = own.next()?;
        let at = own.next()?;
        let mut system = after.split_ascii_whitespace();
        let is_v2 = match system.next()? {
            "cgroup2" => true,
            "cgroup" if system.next_back()?.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Self { at: unescaped(at), root: unescaped(root), is_v2 })
    }

    /// The path that a line of `/proc/self/cgroup` gives for this hierarchy: `0::/path` or `4:memory:/path`.
    fn path_in(&self, line: &str) -> Option<PathBuf> {
        let mut parts = line.splitn(3, ':');
        let id = parts.next()?;
        let controllers = parts.next()?;
        let path = parts.next()?;
        let fits = match self.is_v2 {
            true => id == "0" && controllers.is_empty(),
            false => controllers.split(',').any(|name| name == "memory"),
        };
        fits.then(|| PathBuf::from(path))
    }

    /// The least limit of the group and of those above it, as far as they are mounted.
    fn least_limit(&self, own: &Path) -> Option<u64> {
        // a path outside of what is mounted: a namespace of its own, whose root is the mount
        let below = own.strip_prefix(&self.root).or_else(|_| own.strip_prefix("/")).ok()?;
        let dir = self.at.join(below);
        let start = if dir.is_dir() { dir } else { self.at.clone() };
        let above = start.ancestors().take_while(|dir| dir.starts_with(&self.at));
        above.filter_map(|dir| self.limit(dir)).min()
    }

    fn limit(&self, dir: &Path) -> Option<u64> {
        // above the second one, the kernel slows the process down instead of ending it: no less of a limit
        let files: &[&str] = if self.is_v2 { &["memory.max", "memory.high"] } else { &["memory.limit_in_bytes"] };
        let limits = files.iter().filter_map(|file| {
            let text = std::fs::read_to_string(dir.join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        });
        // version 1 writes "none" as the largest number of pages
        limits.filter(|bytes| *bytes < 1 << 60).min()
    }
}

/// Blanks of paths are `\040` in `mountinfo`.
fn unescaped(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A folder that looks like a hierarchy: groups with what their file says.
    fn hierarchy(file: &str, groups: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (group, text) in groups {
            let at = dir.path().join(group);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join(file), text).unwrap();
        }
        dir
    }

    fn mount(dir: &tempfile::TempDir, root: &str, system: &str) -> String {
        format!("30 23 0:26 {root} {} rw,nosuid shared:9 - {system}\n", dir.path().display())
    }

    #[test]
    fn the_least_limit_of_the_path_counts_in_version_2() {
        let groups =
            [("", ""), ("a", "268435456\n"), ("a/b", "max\n"), ("a/b/c", "536870912\n"), ("other", "1048576\n")];
        let dir = hierarchy("memory.max", &groups);
        let mounts = mount(&dir, "/", "cgroup2 cgroup2 rw,nsdelegate");
        assert_eq!(least_limit("0::/a/b/c\n", &mounts), Some(256 * MIB));
        assert_eq!(least_limit("0::/a/b\n", &mounts), Some(256 * MIB));
        assert_eq!(least_limit("0::/\n", &mounts), None, "the root has no limit");
        assert_eq!(least_limit("0::/\n", ""), None, "nothing is mounted");
        std::fs::write(dir.path().join("a/b/memory.high"), "134217728\n").unwrap();
        assert_eq!(least_limit("0::/a/b/c\n", &mounts), Some(128 * MIB));
    }

    #[test]
    fn the_least_limit_of_the_path_counts_in_version_1() {
        let none = "9223372036854771712\n";
        let groups = [("", none), ("docker", none), ("docker/x", "134217728\n"), ("docker/x/y", none)];
        let dir = hierarchy("memory.limit_in_bytes", &groups);
        let mounts = mount(&dir, "/", "cgroup cgroup rw,memory");
        let own = "12:cpu,cpuacct:/elsewhere\n4:memory:/docker/x/y\n0::/\n";
        assert_eq!(least_limit(own, &mounts), Some(128 * MIB));
        assert_eq!(least_limit("4:memory:/docker\n", &mounts), None);
        assert_eq!(least_limit(own, &mount(&dir, "/", "cgroup cgroup rw,cpu,cpuacct")), None, "another controller");
    }

    /// A container sees its own group as the root of the mount, and its path as the host sees it or as `/`.
    #[test]
    fn the_limit_of_a_container_is_found() {
        let dir = hierarchy("memory.limit_in_bytes", &[("", "134217728\n")]);
        let mounts = mount(&dir, "/docker/x", "cgroup cgroup rw,memory");
        assert_eq!(least_limit("4:memory:/docker/x\n", &mounts), Some(128 * MIB));
        assert_eq!(least_limit("4:memory:/\n", &mounts), Some(128 * MIB));
        assert_eq!(least_limit("4:memory:/somewhere/else\n", &mounts), Some(128 * MIB));
    }
}
