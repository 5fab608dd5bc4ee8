//! How much memory a member may use: a rule about two numbers.
//!
//! Must never ask the machine: who starts the process passes what there is.

use embed::budgets::Budgets;

/// How much of its memory a node may use, and what is to be said about it.
#[derive(Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Bytes.
    pub bytes: usize,
    /// A sentence for the log, when the operator should look at it.
    pub warning: Option<String>,
}

/// What `--memory-budget` says, or else the default, or three quarters of less memory: the rest is for what grows with the number of
/// connections, for sockets, and for files that are being written.
///
/// # Errors
/// For a flag with less than a node works with.
pub fn memory_budget(flag: Option<u64>, limit: Option<u64>) -> Result<MemoryBudget, String> {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let least = mib(Budgets::LEAST_BYTES);
    if let Some(bytes) = flag {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes < Budgets::LEAST_BYTES {
            return Err(format!("--memory-budget={}MiB: at least {least}MiB are needed", bytes >> 20));
        }
        let beyond = limit.filter(|limit| *limit < bytes as u64);
        let warning = beyond.map(|limit| {
            let limit = limit >> 20;
            format!("--memory-budget is {}MiB, but this process may have {limit}MiB: it may be killed", bytes >> 20)
        });
        return Ok(MemoryBudget { bytes, warning });
    }
    let share = limit.map_or(u64::MAX, |limit| limit / 4 * 3);
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    let warning = (share < Budgets::LEAST_BYTES).then(|| {
        let needed = mib(Budgets::LEAST_BYTES / 3 * 4);
        format!(
            "there is memory for {}MiB, a server under load needs {needed}MiB: it may be killed",
            limit.unwrap_or(0) >> 20
        )
    });
    Ok(MemoryBudget { bytes: share.clamp(Budgets::LEAST_BYTES, Budgets::DEFAULT_BYTES), warning })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_budget_is_the_flags_or_a_share_of_the_limit() {
        let chosen = |flag: Option<u64>, limit: Option<u64>| {
            let budget = memory_budget(flag.map(|mib| mib * MIB), limit.map(|mib| mib * MIB)).unwrap();
            (budget.bytes as u64 / MIB, budget.warning.is_some())
        };
        assert_eq!(chosen(None, None), (704, false));
        assert_eq!(chosen(None, Some(16_384)), (704, false));
        assert_eq!(chosen(None, Some(512)), (384, false));
        assert_eq!(chosen(None, Some(128)), (96, false));
        assert_eq!(chosen(None, Some(64)), (88, true), "it tries, and says so");
        assert_eq!(chosen(Some(2048), Some(16_384)), (2048, false));
        assert_eq!(chosen(Some(256), Some(128)), (256, true));
        assert!(memory_budget(Some(87 * MIB), None).unwrap_err().contains("at least 88MiB"));
    }

    /// The rows of the table in `docs/configuration.md`, and the part that each is about.
    const ROWS: [(&str, fn(&Budgets) -> u64); 8] = [
        ("all budgets together", |b| b.total() as u64),
        ("block cache", |b| b.block_cache as u64),
        ("memtables", |b| b.memtables as u64),
        ("requests that wait", |b| b.door.request_bytes as u64),
        ("chunks of large answers", |b| b.door.answer_bytes as u64),
        ("answers that are sorted", |b| b.owners.collected as u64),
        ("events kept for watchers", |b| b.owners.hub_ring as u64),
        ("events sent and not taken", |b| b.owners.hub_sent as u64),
    ];

    #[test]
    fn the_page_says_what_a_size_costs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = std::fs::read_to_string(path).expect("the page");
        let cells = |line: &str| -> Vec<f64> { line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect() };
        let of = |start: &str| page.lines().find(|line| line.starts_with(&format!("| {start}")));
        let groups = cells(of("memory of the cgroup").expect("the head of the table"));
        assert!(groups.len() >= 4, "{groups:?}");
        for (start, part) in ROWS {
            let written = cells(of(start).unwrap_or_else(|| panic!("no row {start}")));
            assert_eq!(written.len(), groups.len(), "{start}");
            for (group, written) in groups.iter().zip(written) {
                let bytes = memory_budget(None, Some((*group as u64) << 20)).expect("no flag is wrong").bytes;
                let is = part(&Budgets::of(bytes)) as f64 / MIB as f64;
                let close = (is - written).abs() <= if is < 10.0 { 0.06 } else { 1.0 };
                assert!(close, "{start}, {group} MiB: {written} is written, {is:.2} it is");
            }
        }
    }
}
