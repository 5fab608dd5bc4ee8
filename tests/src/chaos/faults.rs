//! What each fault does to the cluster. Afterwards nothing is broken any more, but members may have to be started again.
//!
//! Must never leave a link, a disk, a clock or a process as the fault made it.

use super::cluster::{Cluster, MEMBERS};
use super::network::Link;
use super::plan::Fault;
use crate::machine::Shim;
use crate::request::put;
use api::authpb::UserAddOptions;
use api::etcdserverpb::auth_client::AuthClient;
use api::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthUserAddRequest, AuthUserGrantRoleRequest,
    AuthenticateRequest, CompactionRequest, DefragmentRequest, MoveLeaderRequest,
};
use std::time::Duration;
use tonic::Request;

/// How long something stays broken.
const BROKEN: Duration = Duration::from_secs(3);
/// Puts that leave whoever did not hear them behind what the log keeps.
const MANY: usize = 400;

/// What came of a fault.
pub enum Outcome {
    /// It happened.
    Happened,
    /// The machine does not allow it.
    Skipped(String),
}

impl Cluster {
    /// Breaks something, and mends it.
    ///
    /// # Errors
    /// What the cluster did not do.
    pub async fn suffer(&mut self, fault: Fault, seed: u64, compactable: i64) -> Result<Outcome, String> {
        let leader = self.leader().await?;
        let follower = (leader + 1 + (seed as usize) % (MEMBERS - 1)) % MEMBERS;
        match fault {
            Fault::KillLeader => self.kill(leader),
            Fault::KillFollower => self.kill(follower),
            Fault::KillAll => (0..MEMBERS).for_each(|member| self.kill(member)),
            Fault::StopLeader => self.terminate(leader).await,
            Fault::RestartAll => {
                for member in 0..MEMBERS {
                    self.terminate(member).await;
                }
            }
            Fault::PauseLeader => self.pause(leader, leader, 0).await,
            Fault::PauseFollower => self.pause(follower, leader, MANY).await,
            Fault::WipeFollower => self.replace(follower).await?,
            Fault::RebuildFollower => self.rebuild(follower).await?,
            Fault::CutLeader => return self.cut(leader, Link::Down).await,
            Fault::CutFollower => return self.cut(follower, Link::Down).await,
            Fault::DeafLeader => return self.cut(leader, Link::Deaf).await,
            Fault::LeaderApart => return self.cut(leader, Link::Apart).await,
            Fault::LossyFollower => return self.cut(follower, Link::Lossy).await,
            Fault::SlowLeader => return self.cut(leader, Link::Slow).await,
            Fault::FrozenLeader => return self.under(leader, "hold 1 /wal/\n").await,
            Fault::FrozenFollower => return self.under(follower, "hold 1 /wal/\n").await,
            Fault::ClockOfLeader => return self.under(leader, "clock 3600 -\n").await,
            Fault::MoveLeader => self.move_leader(leader, follower).await,
            Fault::Authentication => self.authentication(follower).await?,
            Fault::Defragment => self.defragment().await,
            Fault::Compact => self.compact(follower, compactable).await,
        }
        Ok(Outcome::Happened)
    }

    /// SIGSTOP, then SIGCONT. Meanwhile so many puts go to another member.
    async fn pause(&mut self, member: usize, busy: usize, puts: usize) {
        let Some(daemon) = &self.members[member] else { return };
        daemon.signal("STOP");
        if puts == 0 {
            tokio::time::sleep(BROKEN).await;
        } else if let Ok(stubs) = self.stubs(busy).await {
            for number in 0..puts {
                // one that is refused is one less
                let _ = stubs.kv.clone().put(put(format!("behind/{}", number % 50), number.to_string())).await;
            }
        }
        if let Some(daemon) = &self.members[member] {
            daemon.signal("CONT");
        }
    }

    async fn cut(&mut self, member: usize, link: Link) -> Result<Outcome, String> {
        let Some(network) = &self.network else {
            return Ok(Outcome::Skipped("members have no network namespaces of their own".to_owned()));
        };
        if let Err(why) = network.break_link(member, link) {
            network.mend(member);
            return Ok(Outcome::Skipped(why));
        }
        tokio::time::sleep(BROKEN).await;
        network.mend(member);
        Ok(Outcome::Happened)
    }

    /// A member under a rule of the library that makes calls fail.
    async fn under(&mut self, member: usize, rule: &str) -> Result<Outcome, String> {
        let Some(shim) = self.shims[member].as_ref() else {
            return Ok(Outcome::Skipped("there is no C compiler for the library".to_owned()));
        };
        shim.set(rule);
        tokio::time::sleep(BROKEN).await;
        self.shims[member].iter().for_each(|shim: &Shim| shim.set(""));
        Ok(Outcome::Happened)
    }

    async fn rebuild(&mut self, member: usize) -> Result<(), String> {
        self.until("a rebuild", async |this: &mut Self| {
            let channel = this.stubs(member).await.ok()?.channel;
            let mut client = api::conclave::maintenance_client::MaintenanceClient::new(channel);
            client.rebuild(api::conclave::RebuildRequest {}).await.ok().map(drop)
        })
        .await
    }

    async fn move_leader(&mut self, leader: usize, to: usize) {
        if let (Ok(target_id), Ok(stubs)) = (self.id(to).await, self.stubs(leader).await) {
            // another one may lead by now
            let _ = stubs.maintenance.clone().move_leader(MoveLeaderRequest { target_id }).await;
        }
    }

    async fn defragment(&mut self) {
        for member in 0..MEMBERS {
            if let Ok(stubs) = self.stubs(member).await {
                // one that is received or installs a snapshot refuses
                let _ = stubs.maintenance.clone().defragment(DefragmentRequest {}).await;
            }
        }
    }

    async fn compact(&mut self, member: usize, revision: i64) {
        if let Ok(stubs) = self.stubs(member).await {
            // it may be compacted already
            let _ = stubs.kv.clone().compact(CompactionRequest { revision, physical: true }).await;
        }
    }

    /// Makes root, once; turns authentication on, and off again.
    async fn authentication(&mut self, member: usize) -> Result<(), String> {
        self.until("a root user", async |this: &mut Self| {
            let mut auth = AuthClient::new(this.stubs(member).await.ok()?.channel);
            let options = Some(UserAddOptions::default());
            let user =
                AuthUserAddRequest { name: "root".into(), password: "root".into(), options, ..Default::default() };
            // they may be there
            let _ = auth.user_add(user).await;
            let _ = auth.role_add(AuthRoleAddRequest { name: "root".into() }).await;
            let grant = AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
            let _ = auth.user_grant_role(grant).await;
            auth.auth_enable(AuthEnableRequest {}).await.ok().map(drop)
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.until("the end of authentication", async |this: &mut Self| {
            let mut auth = AuthClient::new(this.stubs(member).await.ok()?.channel);
            let login = AuthenticateRequest { name: "root".into(), password: "root".into() };
            let token = match auth.authenticate(login).await {
                Ok(answer) => answer.into_inner().token,
                // a former attempt had its effect
                Err(why) => return why.message().contains("not enabled").then_some(()),
            };
            let mut disable = Request::new(AuthDisableRequest {});
            disable.metadata_mut().insert("token", token.parse().ok()?);
            auth.auth_disable(disable).await.ok().map(drop)
        })
        .await
    }
}
