//! The families of the process: memory, CPU, descriptors, as Prometheus' libraries name them.
//!
//! Read from `/proc` at each scrape; what the system does not say is left out. Must never fail a scrape.

use super::page::Page;
use std::collections::HashMap;
use std::fs;

/// Ticks of `/proc/self/stat` in a second: the same on every Linux.
const TICKS: f64 = 100.0;
/// What Prometheus' libraries show for "unlimited".
const UNLIMITED: f64 = u64::MAX as f64;

/// All of them, as a page of their own: for programs that are no member.
pub fn process_page() -> String {
    let mut page = Page::new();
    write(&mut page);
    page.into_text()
}

/// All of them.
pub(super) fn write(page: &mut Page) {
    memory(page);
    times(page);
    descriptors(page);
    network(page);
}

fn memory(page: &mut Page) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = kib(&status, "VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Bytes of memory that are resident.", bytes);
    }
    if let Some(bytes) = kib(&status, "VmSize:") {
        page.gauge("process_virtual_memory_bytes", "Bytes of the address space.", bytes);
    }
    if let Some(most) = limit("Max address space") {
        page.gauge("process_virtual_memory_max_bytes", "Bytes that the address space may have.", most);
    }
}

/// Memory in the names of Go's `memstats`, as far as they mean something for a process without a collector.
pub(super) fn memory_json() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let pairs = [("Sys", "VmRSS:"), ("HeapSys", "RssAnon:"), ("StackSys", "VmStk:")];
    let known = pairs.iter().filter_map(|(key, name)| Some(format!("\"{key}\":{}", kib(&status, name)?)));
    known.collect::<Vec<_>>().join(",")
}

/// Bytes of a line of `/proc/self/status`.
fn kib(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// The soft limit of that name.
pub(super) fn limit(name: &str) -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let soft = rest.split_whitespace().next()?;
    if soft == "unlimited" { Some(UNLIMITED) } else { soft.parse().ok() }
}

fn times(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // the name of the process may hold anything, and ends at the last bracket
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
        let help = "Seconds of CPU that the process took, in user and system mode.";
        page.counter("process_cpu_seconds_total", help, (user + system) / TICKS);
    }
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|stat| {
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse::<f64>().ok()
    });
    if let (Some(booted), Some(started)) = (booted, ticks(19)) {
        let help = "When the process was started, in seconds since 1970.";
        page.gauge("process_start_time_seconds", help, booted + started / TICKS);
    }
}

fn descriptors(page: &mut Page) {
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = open.count() as f64;
        page.gauge("os_fd_used", "File descriptors that are open.", open);
        page.gauge("process_open_fds", "File descriptors that are open.", open);
    }
    if let Some(most) = limit("Max open files") {
        page.gauge("os_fd_limit", "File descriptors that may be open.", most);
        page.gauge("process_max_fds", "File descriptors that may be open.", most);
    }
}

fn network(page: &mut Page) {
    let text = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return };
    let all: HashMap<&str, &str> = names.split_whitespace().zip(values.split_whitespace()).collect();
    let octets = |name: &str| all.get(name).and_then(|text| text.parse::<f64>().ok());
    if let Some(bytes) = octets("InOctets") {
        let help = "Bytes that the network namespace of the process received.";
        page.counter("process_network_receive_bytes_total", help, bytes);
    }
    if let Some(bytes) = octets("OutOctets") {
        let help = "Bytes that the network namespace of the process sent.";
        page.counter("process_network_transmit_bytes_total", help, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let mut page = Page::new();
        write(&mut page);
        let page = page.into_text();
        let value = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.split(' ').next() == Some(name)).expect(name);
            line.rsplit(' ').next().expect(name).parse().expect(name)
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0 && value("os_fd_limit") >= value("process_open_fds"));
        assert!(value("process_virtual_memory_max_bytes") > 1e9);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-5.0..100_000.0).contains(&age), "{age}");
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
