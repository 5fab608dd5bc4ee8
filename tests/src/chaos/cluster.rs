//! Three processes of one cluster, on networks and under libraries that can be made to fail.
//!
//! Must never end a process that it did not start.

use super::network::Network;
use crate::daemon::Settings;
use crate::machine::Shim;
use crate::{Daemon, Stubs};
use api::etcdserverpb::auth_client::AuthClient;
use api::etcdserverpb::{AuthStatusRequest, MemberAddRequest, MemberListRequest, MemberRemoveRequest};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Members.
pub const MEMBERS: usize = 3;
/// How long the cluster may take for anything when nothing is broken any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the file header. Field order is drop order.
pub struct Cluster {
    /// Those that run.
    pub members: Vec<Option<Daemon>>,
    settings: Vec<Settings>,
    /// Makes calls of a member fail or hang; none without a C compiler.
    pub shims: Vec<Option<Shim>>,
    /// Breaks links; none where there are no namespaces.
    pub network: Option<Network>,
}

impl Cluster {
    /// Starts the members, and waits until they serve.
    ///
    /// # Errors
    /// What does not work.
    pub async fn start(dir: &Path, network: Option<Network>) -> Result<Self, String> {
        let mut settings = Settings::of_cluster(dir, MEMBERS);
        let mut shims = Vec::new();
        for (member, one) in settings.iter_mut().enumerate() {
            if let Some(network) = &network {
                (one.host, one.client, one.peer) = (Network::host(member), 2379, 2380);
                one.within = network.enter(member);
            }
            let folder = dir.join(format!("shim{member}"));
            std::fs::create_dir_all(&folder).map_err(|why| why.to_string())?;
            let shim = Shim::new(&folder);
            one.variables = shim.as_ref().map(Shim::variables).unwrap_or_default();
            // few entries are kept, so that whoever was away for long needs a snapshot
            one.flags = vec!["--snapshot-catchup-entries=50".into(), "--bcrypt-cost=4".into()];
            shims.push(shim);
        }
        let names: Vec<String> = settings.iter().map(|one| format!("{}={}", one.name, one.peer_url())).collect();
        settings.iter_mut().for_each(|one| one.cluster = Some(names.join(",")));
        let mut cluster = Self { members: (0..MEMBERS).map(|_| None).collect(), settings, shims, network };
        cluster.serve().await?;
        Ok(cluster)
    }

    /// Where clients are served.
    pub fn addresses(&self) -> Arc<Vec<String>> {
        Arc::new(self.settings.iter().map(|one| one.address().to_string()).collect())
    }

    /// Starts who does not run, and waits until all serve.
    ///
    /// # Errors
    /// Who does not, with the end of its log.
    pub async fn serve(&mut self) -> Result<(), String> {
        for (member, settings) in self.members.iter_mut().zip(&self.settings) {
            member.get_or_insert_with(|| Daemon::spawn(settings.clone()));
        }
        for member in 0..MEMBERS {
            self.until(&format!("service of m{}", member + 1), async |this: &mut Self| {
                let stubs = this.stubs(member).await.ok()?;
                // the socket is there before the member serves: only an answer shows that it does
                let read = stubs.range(crate::request::get("service"));
                tokio::time::timeout(Duration::from_secs(2), read).await.ok()?.ok().map(drop)
            })
            .await?;
        }
        Ok(())
    }

    /// A new connection to a member.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn stubs(&self, member: usize) -> Result<Stubs, String> {
        let address = self.settings[member].address().to_string();
        let connect = Stubs::connect(&address, Duration::ZERO);
        tokio::time::timeout(Duration::from_secs(2), connect).await.map_err(|_| "no connection in time".to_owned())?
    }

    /// Waits for something that nothing announces.
    ///
    /// # Errors
    /// That it did not come, with the ends of the members' logs.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut ask: impl AsyncFnMut(&mut Self) -> Option<T>,
    ) -> Result<T, String> {
        let start = Instant::now();
        loop {
            if let Some(found) = ask(self).await {
                return Ok(found);
            }
            let ended = self.members.iter_mut().flatten().find_map(|daemon| {
                let status = daemon.ended()?;
                Some(format!("{} ended by itself, {status}:\n{}", daemon.settings.name, end_of(&daemon.log())))
            });
            if let Some(why) = ended {
                return Err(why);
            }
            if start.elapsed() > PATIENCE {
                let logs: Vec<String> = self.members.iter().flatten().map(|daemon| end_of(&daemon.log())).collect();
                return Err(format!(
                    "{what} did not come within {PATIENCE:?}:\n{}",
                    logs.join("\n--- next member ---\n")
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The position of the leader that all who run know.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn leader(&mut self) -> Result<usize, String> {
        self.until("a leader that all know", async |this: &mut Self| {
            let mut leaders = Vec::new();
            let mut ids = Vec::new();
            for member in 0..MEMBERS {
                let status = tokio::time::timeout(Duration::from_secs(2), this.status(member)).await.ok()??;
                leaders.push(status.0);
                ids.push(status.1);
            }
            leaders.dedup();
            let [leader] = leaders[..] else { return None };
            ids.iter().position(|id| *id == leader)
        })
        .await
    }

    /// Leader, id and applied index that a member says.
    async fn status(&self, member: usize) -> Option<(u64, u64, u64)> {
        let stubs = self.stubs(member).await.ok()?;
        let request = api::etcdserverpb::StatusRequest {};
        let status = stubs.maintenance.clone().status(request).await.ok()?.into_inner();
        Some((status.leader, status.header?.member_id, status.raft_applied_index))
    }

    /// Id of a member.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn id(&mut self, member: usize) -> Result<u64, String> {
        self.until("an id", async |this: &mut Self| Some(this.status(member).await?.1)).await
    }

    /// `kill -9`.
    pub fn kill(&mut self, member: usize) {
        if let Some(daemon) = self.members[member].take() {
            daemon.kill();
        }
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self, member: usize) {
        if let Some(daemon) = self.members[member].take() {
            // a panic in there is one of this harness
            let _ = tokio::task::spawn_blocking(|| daemon.terminate()).await;
        }
    }

    /// A member loses its disk: it is removed from the cluster, and added again with an empty folder.
    ///
    /// # Errors
    /// What does not work.
    pub async fn replace(&mut self, member: usize) -> Result<(), String> {
        let id = self.id(member).await?;
        self.kill(member);
        let other = (member + 1) % MEMBERS;
        let url = self.settings[member].peer_url();
        self.until("the removal of a member", async |this: &mut Self| {
            let mut cluster = this.stubs(other).await.ok()?.cluster;
            // an answer may have been lost
            let _ = cluster.member_remove(MemberRemoveRequest { id }).await;
            let list = cluster.member_list(MemberListRequest { linearizable: true }).await.ok()?.into_inner();
            list.members.iter().all(|member| member.id != id).then_some(())
        })
        .await?;
        self.until("a new member", async |this: &mut Self| {
            let mut cluster = this.stubs(other).await.ok()?.cluster;
            let request = MemberAddRequest { peer_urls: vec![url.clone()], ..MemberAddRequest::default() };
            let _ = cluster.member_add(request).await;
            let list = cluster.member_list(MemberListRequest { linearizable: true }).await.ok()?.into_inner();
            list.members.iter().any(|member| member.peer_urls.contains(&url)).then_some(())
        })
        .await?;
        let one = &mut self.settings[member];
        std::fs::remove_dir_all(&one.data).map_err(|why| why.to_string())?;
        let joins = "--initial-cluster-state=existing".to_owned();
        if !one.flags.contains(&joins) {
            one.flags.push(joins);
        }
        Ok(())
    }

    /// What all members say of their data at the same revision, once they do: HashKV, revision, and revision of users.
    ///
    /// # Errors
    /// When they do not come to say the same.
    pub async fn converge(&mut self) -> Result<(u32, i64, u64), String> {
        let mut last = Vec::new();
        let same = self
            .until("equal data on all members", async |this: &mut Self| {
                last = this.data().await?;
                let mut said = last.clone();
                said.dedup();
                (said.len() == 1).then(|| said[0])
            })
            .await;
        same.map_err(|why| format!("members say of their data (HashKV, revision, revision of users) {last:?}: {why}"))
    }

    async fn data(&self) -> Option<Vec<(u32, i64, u64)>> {
        let mut said = Vec::new();
        for member in 0..MEMBERS {
            let stubs = self.stubs(member).await.ok()?;
            let revision = stubs.range(crate::request::get("data")).await.ok()?.header?.revision;
            let hash = stubs.hash_kv(revision).await.ok()?.hash;
            let auth =
                AuthClient::new(stubs.channel.clone()).auth_status(AuthStatusRequest {}).await.ok()?.into_inner();
            said.push((hash, revision, auth.auth_revision));
        }
        Some(said)
    }

    /// How often the members have said something.
    pub fn times(&self, what: &str) -> usize {
        self.members.iter().flatten().map(|daemon| daemon.log().matches(what).count()).sum()
    }

    /// Sentences in the members' logs that must not be there.
    pub fn complaints(&self) -> Vec<String> {
        const BAD: [&str; 4] = ["panicked", "the data of members differs", "CORRUPT", "AI-"];
        let logs = self.members.iter().flatten().map(|daemon| (daemon.settings.name.clone(), daemon.log()));
        logs.flat_map(|(name, log)| {
            let bad = log.lines().filter(|line| BAD.iter().any(|bad| line.contains(bad)));
            bad.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        })
        .collect()
    }
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
