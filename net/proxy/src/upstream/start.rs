//! Starts the pool: the keepers of its endpoints, and whoever asks the members for newer ones.

use super::UpstreamConfig;
use super::call::Repeat;
use super::endpoints::Endpoints;
use super::keeper::keep;
use super::metadata::Context;
use super::pool::{End, Pool, Shared, lock};
use api::etcdserverpb as pb;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

impl Pool {
    /// Begins to connect. Must be called inside a tokio runtime.
    pub fn start(config: UpstreamConfig) -> Self {
        let texts = config.endpoints.clone();
        let shared = Arc::new(Shared {
            config,
            endpoints: Mutex::new(Endpoints::new()),
            opened: Notify::new(),
            keepers: Mutex::default(),
        });
        set(&shared, &texts);
        let sync = shared.config.auto_sync.map(|every| {
            let pool = Self { shared: shared.clone(), _end: None };
            tokio::spawn(synchronize(pool, every)).abort_handle()
        });
        let end = Arc::new(End(shared.clone(), sync));
        Self { shared, _end: Some(end) }
    }
}

/// Makes these the endpoints: keepers of new ones begin, those of others end.
fn set(shared: &Arc<Shared>, texts: &[String]) {
    let (new, gone) = lock(&shared.endpoints).set(texts);
    let mut keepers = lock(&shared.keepers);
    for text in gone {
        if let Some(keeper) = keepers.remove(&text) {
            keeper.abort();
        }
        tracing::info!(endpoint = text, "left an endpoint out");
    }
    for text in new {
        let keeper = tokio::spawn(keep(shared.clone(), text.clone()));
        keepers.insert(text, keeper.abort_handle());
    }
}

/// Asks for the members now and then, and makes their client URLs the endpoints.
async fn synchronize(pool: Pool, every: Duration) {
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let request = pb::MemberListRequest { linearizable: true };
        let path = "/etcdserverpb.Cluster/MemberList";
        let answer: Result<pb::MemberListResponse, _> =
            pool.unary(path, &Context::default(), request, Repeat::Safe).await;
        let members = match answer {
            Ok(answer) => answer.members,
            Err(why) => {
                tracing::warn!(error = why.message(), "cannot ask for the endpoints of the cluster");
                continue;
            }
        };
        // members that have not started have no name yet, and learners serve hardly anything
        let voters = members.iter().filter(|member| !member.name.is_empty() && !member.is_learner);
        let urls: Vec<String> = voters.flat_map(|member| member.client_urls.clone()).collect();
        if urls.is_empty() || urls == pool.endpoints() {
            continue;
        }
        tracing::info!(endpoints = urls.join(","), "the endpoints of the cluster have changed");
        set(&pool.shared, &urls);
    }
}
