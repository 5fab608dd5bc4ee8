//! Registers this member in the discovery service, and waits until the cluster is complete.
//!
//! Failures of the service are tried again for ever, as in etcd: members of a cluster that is being set up wait for each other. What the
//! registry itself says against this member ends the start.

use super::ServiceSettings;
use super::service::Service;
use api::etcdserverpb as pb;
use bytes::Bytes;
use daemon::registry::{Keys, Members, RegistryError, size};
use std::time::Duration;
use tonic::Status;

/// Pauses double from two seconds to this. Source: etcd's `maxExponentialRetries`.
const LONGEST_PAUSE: Duration = Duration::from_secs(256);

/// The members of the new cluster, as `--initial-cluster` has them.
pub(super) async fn join(
    settings: &ServiceSettings,
    name: &str,
    advertised: &[String],
) -> Result<String, RegistryError> {
    let own = embed::member_id(advertised, &settings.token);
    let mut registry = Registry {
        service: Service::new(settings)?,
        keys: Keys::of(&settings.token),
        own,
        pause: Duration::from_secs(2),
    };
    registry.look().await?;
    let urls: Vec<String> = advertised.iter().map(|url| format!("{name}={url}")).collect();
    registry.register(&urls.join(",")).await;
    let (mut members, size, mut revision) = registry.look().await?;
    while members.len() < size {
        tracing::info!("clusterSize" = size, "found-peers" = members.len(), "waiting for peers from discovery service");
        if let Err(why) = registry.wait(&mut members, size, revision).await {
            tracing::warn!(error = why.message(), "lost the watch at the discovery service");
            // what came meanwhile is in the list
            (members, _, revision) = registry.look().await?;
        }
    }
    tracing::info!(
        "clusterSize" = size,
        "found-peers" = members.len(),
        "found all needed peers from discovery service"
    );
    members.cluster(size)
}

struct Registry {
    service: Service,
    keys: Keys,
    own: u64,
    /// Before the next try.
    pause: Duration,
}

impl Registry {
    /// The members there are, how many there will be, and the revision of that. Refused when there is no room for this one.
    async fn look(&mut self) -> Result<(Members, usize, i64), RegistryError> {
        loop {
            match self.try_look().await {
                Ok(Ok((members, size, revision))) => {
                    members.refuse_late(&self.keys.member(self.own), size)?;
                    return Ok((members, size, revision));
                }
                Ok(Err(why)) => return Err(why),
                Err(why) => self.back_off("cluster status check", &why).await,
            }
        }
    }

    async fn try_look(&mut self) -> Result<Result<(Members, usize, i64), RegistryError>, Status> {
        self.service.log_in().await?;
        let found = self.service.read(&self.keys.size(), Bytes::new()).await?;
        let size = match size(found.kvs.first().map(|kv| kv.value.as_ref())) {
            Ok(size) => size,
            Err(why) => return Ok(Err(why)),
        };
        let prefix = self.keys.members();
        let found = self.service.read(&prefix, end_of_prefix(&prefix)).await?;
        let mut members = Members::default();
        for kv in &found.kvs {
            members.add(&kv.key, &kv.value, kv.create_revision);
        }
        Ok(Ok((members, size, found.header.map_or(0, |header| header.revision))))
    }

    async fn register(&mut self, urls: &str) {
        let key = self.keys.member(self.own);
        while let Err(why) = self.service.write(&key, urls).await {
            self.back_off("register member itself", &why).await;
        }
        tracing::info!("memberKey" = key, "memberInfo" = urls, "register member itself successfully");
    }

    /// Adds who registers behind a revision, until all are there.
    async fn wait(&self, members: &mut Members, size: usize, revision: i64) -> Result<(), Status> {
        let prefix = self.keys.members();
        let create = pb::WatchCreateRequest {
            range_end: end_of_prefix(&prefix),
            key: prefix.into(),
            start_revision: revision + 1,
            ..Default::default()
        };
        let mut answers = self.service.watch(create).await?;
        while members.len() < size {
            let answer = answers.message().await?;
            let answer = answer.ok_or_else(|| Status::unavailable("the stream has ended"))?;
            if answer.canceled {
                return Err(Status::unavailable(answer.cancel_reason));
            }
            for kv in answer.events.iter().filter_map(|event| event.kv.as_ref()) {
                members.add(&kv.key, &kv.value, kv.create_revision);
            }
        }
        Ok(())
    }

    async fn back_off(&mut self, reason: &str, why: &Status) {
        let backoff = format!("{:?}", self.pause);
        let error = why.message();
        tracing::warn!(reason, backoff, error, "retry connecting to discovery service");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// The first key behind all that begin with a text; its last byte is no 0xff.
fn end_of_prefix(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}
