//! Members in network namespaces of their own, joined by a bridge in the namespace of this process: links that are cut, in one direction or
//! both, that lose packets, or are slow.
//!
//! This process must be alone in its namespace (`unshare --net`): nothing outside of it changes. Where the machine does not allow that,
//! [`Network::new`] says why, and there are no such faults. Must never touch a namespace that it did not make.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set by who has put this process into a namespace of its own.
pub const ALONE: &str = "CONCLAVE_CHAOS_ALONE";

/// The namespaces. They are gone when it is dropped.
pub struct Network {
    holders: Vec<Child>,
}

/// What becomes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing passes, clients included.
    Down,
    /// The member hears none of the others; they hear it.
    Deaf,
    /// Other members and this one hear nothing of each other; clients reach it.
    Apart,
    /// A third of all packets from other members is lost.
    Lossy,
    /// Little passes, and late.
    Slow,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|why| format!("{program} does not run: {why}"))?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {}", args.join(" "), said())) }
}

impl Network {
    /// Address of a member.
    pub fn host(member: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, member as u8 + 1)
    }

    /// For so many members.
    ///
    /// # Errors
    /// Why the machine has none.
    pub fn new(members: usize) -> Result<Self, String> {
        if std::env::var_os(ALONE).is_none() {
            return Err("this process is not in a network namespace of its own".to_owned());
        }
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["link", "add", "br0", "type", "bridge"])?;
        run("ip", &["addr", "add", "10.77.0.254/24", "dev", "br0"])?;
        run("ip", &["link", "set", "br0", "up"])?;
        let mut network = Self { holders: Vec::new() };
        for member in 0..members {
            network.add(member)?;
        }
        Ok(network)
    }

    fn add(&mut self, member: usize) -> Result<(), String> {
        let holder = Command::new("unshare").args(["--net", "sleep", "1000000"]).stdin(Stdio::null()).spawn();
        let holder = holder.map_err(|why| format!("unshare does not run: {why}"))?;
        let id = holder.id().to_string();
        self.holders.push(holder);
        let namespace = |id: &str| std::fs::read_link(Path::new("/proc").join(id).join("ns/net")).ok();
        // until it has left ours
        for _ in 0..500 {
            if namespace(&id).is_some_and(|theirs| Some(theirs) != namespace("self")) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let outer = format!("v{member}");
        run("ip", &["link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &id])?;
        run("ip", &["link", "set", &outer, "master", "br0", "up"])?;
        let address = format!("{}/24", Self::host(member));
        self.inside(member, &["ip", "addr", "add", &address, "dev", "eth0"])?;
        self.inside(member, &["ip", "link", "set", "eth0", "up"])?;
        self.inside(member, &["ip", "link", "set", "lo", "up"])
    }

    /// What to put in front of a command that runs as this member.
    pub fn enter(&self, member: usize) -> Vec<String> {
        let id = self.holders[member].id();
        vec!["nsenter".into(), format!("--net=/proc/{id}/ns/net"), "--".into()]
    }

    fn inside(&self, member: usize, command: &[&str]) -> Result<(), String> {
        let enter = self.enter(member);
        let args: Vec<&str> = enter[1..].iter().map(String::as_str).chain(command.iter().copied()).collect();
        run("nsenter", &args)
    }

    /// Breaks the link of a member.
    ///
    /// # Errors
    /// What the machine cannot do.
    pub fn break_link(&self, member: usize, link: Link) -> Result<(), String> {
        let outer = format!("v{member}");
        let drop = |chain: &str, side: &str, more: &[&str]| {
            // members have the lower half of the addresses, clients are in the upper one
            let mut rule = vec!["iptables", "-A", chain, side, "10.77.0.0/25"];
            rule.extend_from_slice(more);
            rule.extend_from_slice(&["-j", "DROP"]);
            self.inside(member, &rule)
        };
        match link {
            Link::Down => run("ip", &["link", "set", &outer, "down"]),
            Link::Deaf => drop("INPUT", "-s", &[]),
            Link::Apart => drop("INPUT", "-s", &[]).and_then(|()| drop("OUTPUT", "-d", &[])),
            Link::Lossy => drop("INPUT", "-s", &["-m", "statistic", "--mode", "random", "--probability", "0.33"]),
            Link::Slow => run(
                "tc",
                &["qdisc", "add", "dev", &outer, "root", "tbf", "rate", "400kbit", "burst", "8kb", "latency", "400ms"],
            ),
        }
    }

    /// Mends the link of a member, whatever it had.
    pub fn mend(&self, member: usize) {
        let outer = format!("v{member}");
        // what was not broken says so
        let _ = run("ip", &["link", "set", &outer, "up"]);
        let _ = self.inside(member, &["iptables", "-F"]);
        let _ = run("tc", &["qdisc", "del", "dev", &outer, "root"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            // it only sleeps
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}
