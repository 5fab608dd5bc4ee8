//! A client that adds and deletes roles all the time: administrative entries, which must count once on every member.
//!
//! What it has added is not looked at: the revision of users is compared between members, and grows with every entry that counts.

use super::client::Client;
use api::etcdserverpb::auth_client::AuthClient;
use api::etcdserverpb::{AuthRoleAddRequest, AuthRoleDeleteRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Works until it is told to stop, and rests while members are compared; counts what was acknowledged.
pub async fn run(mut client: Client, done: Arc<AtomicU64>, rest: Arc<AtomicBool>, stop: Arc<AtomicBool>) {
    let mut number = 0_u64;
    while !stop.load(Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if rest.load(Relaxed) {
            continue;
        }
        let Some(stubs) = client.stubs().await else { continue };
        let mut auth = AuthClient::new(stubs.channel);
        let name = format!("role-{}", number / 2 % 20);
        number += 1;
        let changed = match number % 2 {
            1 => client.ask(async { auth.role_add(AuthRoleAddRequest { name }).await.map(drop) }).await,
            _ => client.ask(async { auth.role_delete(AuthRoleDeleteRequest { role: name }).await.map(drop) }).await,
        };
        done.fetch_add(u64::from(changed.is_ok()), Relaxed);
    }
}
