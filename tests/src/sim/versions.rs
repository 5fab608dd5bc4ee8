//! Members of two builds in one cluster: some begin as older ones and are upgraded one by one, while whoever leads decides the version of the
//! cluster, by the daemon's own rule.
//!
//! An older build is what it is to the others: it says its version, and knows nothing of running hashes, neither in what it tells nor in the
//! store that it leaves. Must never upgrade a member without a restart.

use super::coverage::Trouble;
use super::params::NEWER;
use super::running::CLIENT_SINK;
use super::violation::{Checked, hold};
use super::world::World;
use embed::version::{decide_cluster_version, parse, refuse_older};
use messages::propose::{Proposal, Propose};
use model::Command;
use model::request::ClusterVersionSetRequest;
use std::sync::atomic::Ordering::Acquire;
use storage::engine::{Engine, Family, Op};
use storage::schema::meta;

/// Tokens of proposals that set the version begin here.
const TOKENS: u64 = 1 << 20;
/// Pause between two of them.
const PAUSE: u64 = 3_000_000;

impl World {
    /// Whoever leads sets the version of the cluster, as the daemon does.
    pub(super) fn keep_version(&mut self) {
        if !self.params.mixed {
            return;
        }
        for at in self.serving() {
            let machine = &self.machines[at];
            let Some(run) = machine.run.as_ref().filter(|run| run.gauges.leader.load(Acquire) == machine.id) else {
                continue;
            };
            let Some(present) = self.version_at(at) else { continue };
            let others = run.gauges.other_versions();
            let Some(version) = decide_cluster_version(machine.version, others, &present, None) else { continue };
            if self.operator.versioning_until > self.now {
                continue;
            }
            self.trace
                .line(self.now, || format!("m{at}: the version of the cluster is to be {version}, it is {present:?}"));
            let token = TOKENS + at as u64;
            let command = Command::ClusterVersionSet(ClusterVersionSetRequest { ver: version }).encode(token);
            let proposal = Proposal { token, command, only_in_term: 0 };
            // a full queue is met by trying again later
            let _ = run.port.propose(Propose { sink: CLIENT_SINK, proposals: vec![proposal] });
            self.operator.versioning_until = self.now + PAUSE;
        }
    }

    /// The version of the cluster in a member's store; none while it does not run.
    fn version_at(&self, at: usize) -> Option<String> {
        let view = self.machines[at].run.as_ref()?.views.load();
        storage::read::meta::cluster_version(&view).ok().map(Option::unwrap_or_default)
    }

    /// The next member is restarted with the present build, now and then.
    pub(super) fn upgrade(&mut self) {
        let older = |at: &usize| self.machines[*at].version < NEWER && self.machines[*at].run.is_some();
        let older: Vec<usize> = (0..self.machines.len()).filter(older).collect();
        if older.is_empty() || self.is_quiet || !self.rng.chance(20) {
            return;
        }
        let at = self.rng.pick(&older);
        self.trace.line(self.now, || format!("m{at}: is upgraded"));
        self.count(at, Trouble::Upgrade);
        let power = self.rng.chance(30);
        self.crash(at, power);
        self.machines[at].version = NEWER;
    }

    /// The version that a new machine comes with: the newest that anybody runs.
    pub(super) fn newest_version(&self) -> [u16; 3] {
        self.machines.iter().map(|machine| machine.version).max().unwrap_or(NEWER)
    }

    /// What an older build leaves: a store without a running hash.
    pub(super) fn forget_hash(&self, at: usize) {
        let machine = &self.machines[at];
        if !machine.ran_older {
            return;
        }
        for nth in 0..2 {
            if let Some(engine) = machine.stores.nth(nth) {
                // a machine that stops in this step finds the row at its next start
                let _ = engine.write(vec![Op::Delete { family: Family::Meta, key: meta::RUNNING_HASH.into() }]);
            }
        }
    }

    /// No member is older than its cluster: it would be refused, and would not know what it is sent.
    pub(super) fn look_at_version(&self, at: usize) -> Checked {
        let Some(version) = self.version_at(at).filter(|_| self.params.mixed) else { return Ok(()) };
        let own = self.machines[at].version;
        hold("SIM-CLUSTER-VERSION", refuse_older(own, &version).is_ok(), || {
            format!("m{at} is of version {own:?}, its cluster of {version}")
        })
    }

    /// In the end the version of the cluster is that of its lowest member, if all of them have been heard.
    pub(super) fn judge_version(&self) -> Checked {
        let wanted = self.wanted();
        if !self.params.mixed || wanted.len() != self.replay.now().members.rows.len() {
            return Ok(());
        }
        let lowest = wanted.iter().map(|at| self.machines[*at].version).min();
        for at in wanted {
            let version = self.version_at(at).unwrap_or_default();
            hold("SIM-CLUSTER-VERSION", Some(parse(&version)) == lowest, || {
                format!("m{at}: the version of the cluster is {version:?}, the lowest member is of {lowest:?}")
            })?;
        }
        Ok(())
    }
}
