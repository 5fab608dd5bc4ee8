//! Feature gates: names of etcd 3.7, their stages and defaults.

use super::syntax;
use std::collections::BTreeMap;

/// How ripe a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off by default.
    Alpha,
    /// On by default.
    Beta,
}

/// A gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Name.
    pub name: &'static str,
    /// Stage.
    pub stage: Stage,
    /// Why it makes no difference here; `None` when it does what etcd's does.
    pub here: Option<&'static str>,
}

/// All gates. Most change nothing here; each of those says why setting it is harmless.
pub const GATES: &[Gate] = &[
    Gate { name: "CompactHashCheck", stage: Stage::Alpha, here: None },
    Gate { name: "FastLeaseKeepAlive", stage: Stage::Beta, here: Some("renewing never waits for the applier") },
    Gate { name: "InitialCorruptCheck", stage: Stage::Alpha, here: None },
    Gate {
        name: "LeaseCheckpoint",
        stage: Stage::Alpha,
        here: Some("the leader always notes how long a lease has left"),
    },
    Gate {
        name: "LeaseCheckpointPersist",
        stage: Stage::Alpha,
        here: Some("the leader always notes how long a lease has left"),
    },
    Gate { name: "PriorityRequest", stage: Stage::Alpha, here: Some("revoking leases is never turned away") },
    Gate { name: "SetMemberLocalAddr", stage: Stage::Alpha, here: None },
    Gate { name: "StopGRPCServiceOnDefrag", stage: Stage::Alpha, here: Some("defragmenting does not block") },
    Gate { name: "TxnModeWriteWithSharedBuffer", stage: Stage::Beta, here: Some("there is no such buffer") },
];

/// Gates that were named, by name.
pub type Chosen = BTreeMap<String, bool>;

/// Reads `A=true,B=false`.
///
/// # Errors
/// etcd's text.
pub fn parse(text: &str) -> Result<Chosen, String> {
    let mut chosen = Chosen::new();
    for part in syntax::list(text) {
        let (name, on) = part.split_once('=').ok_or_else(|| format!("missing bool value for {part}"))?;
        let (name, on) = (name.trim(), on.trim());
        let parsed = syntax::boolean(on).ok_or_else(|| {
            format!("invalid value of {name}={on}, err: strconv.ParseBool: parsing {on:?}: invalid syntax")
        })?;
        if !matches!(name, "AllAlpha" | "AllBeta") && GATES.iter().all(|gate| gate.name != name) {
            return Err(format!("unrecognized feature gate: {name}"));
        }
        chosen.insert(name.to_owned(), parsed);
    }
    Ok(chosen)
}

/// Whether a gate is on, given what was chosen.
pub fn is_on(chosen: &Chosen, name: &str) -> bool {
    let all = |stage| match stage {
        Stage::Alpha => chosen.get("AllAlpha").copied().unwrap_or(false),
        Stage::Beta => chosen.get("AllBeta").copied().unwrap_or(true),
    };
    let default = GATES.iter().find(|gate| gate.name == name).is_some_and(|gate| all(gate.stage));
    chosen.get(name).copied().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_and_their_families() {
        let chosen = parse("AllAlpha=true, LeaseCheckpoint=false").unwrap();
        assert!(is_on(&chosen, "InitialCorruptCheck") && is_on(&chosen, "FastLeaseKeepAlive"));
        assert!(!is_on(&chosen, "LeaseCheckpoint"));
        assert!(parse("Foo=true").unwrap_err().contains("unrecognized feature gate: Foo"));
        assert!(parse("LeaseCheckpoint").unwrap_err().contains("missing bool value"));
        assert!(parse("LeaseCheckpoint=maybe").is_err());
    }
}
