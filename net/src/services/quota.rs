//! The space quota: refuses requests that grow the store beyond it, and raises the alarm that stops further writes.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::status;
use super::unary::PendingCall;
use crate::door::Status;
use messages::Token;
use model::request::{AlarmAction, AlarmRequest, AlarmType};
use model::{AlarmMember, Caller, Command, Outcome};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Least time between two proposals of the alarm by one connection thread.
const ALARM_PAUSE: Duration = Duration::from_secs(1);

/// Admits a request that is taken to cost so many bytes. One that costs nothing always passes. Who is refused does not wait for the
/// alarm.
///
/// # Errors
/// It does not fit into the quota, or the disk is nearly full.
pub(super) fn admit_cost(services: &ClientServices, cost: i64) -> Result<(), Status> {
    if fits(services, cost)? {
        return Ok(());
    }
    if !is_raised(services) && !was_proposed(services) {
        services.propose_quietly(Caller::Internal, alarm(services));
    }
    Err(status::NO_SPACE)
}

/// As [`admit_cost`], for a call that can wait: whoever is told that there is no space finds the alarm raised, as in etcd.
///
/// # Errors
/// As [`admit_cost`]; the call is taken when it waits, and answered later.
pub(super) fn admit_call(services: &ClientServices, call: &mut PendingCall, cost: i64) -> Result<(), Status> {
    if fits(services, cost)? {
        return Ok(());
    }
    if !is_raised(services) {
        services.propose_for(Caller::Internal, call.take().defer().as_u64(), alarm(services), Refused);
    }
    Err(status::NO_SPACE)
}

/// A call without space, behind the proposal of the alarm. It is refused whatever becomes of that.
struct Refused;

impl DeferredCall<ClientServices> for Refused {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, _: i64, _: Outcome) {
        services.complete(token, status::NO_SPACE);
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, _: Status) {
        services.complete(token, status::NO_SPACE);
    }
}

/// Whether the store has room for so many bytes.
fn fits(services: &ClientServices, cost: i64) -> Result<bool, Status> {
    if cost != 0 && services.ports().gauges.disk_low.load(Relaxed) {
        // whoever measured the disk raises the alarm
        return Err(status::NO_SPACE);
    }
    let quota = services.config().quota_bytes;
    Ok(quota <= 0 || cost == 0 || services.ports().reads.logical_bytes() + cost < quota)
}

/// Whether this member's alarm stands.
fn is_raised(services: &ClientServices) -> bool {
    let member_id = services.ports().identity.member_id;
    let stands = |a: &AlarmMember| a.alarm == AlarmType::Nospace && a.member_id == member_id;
    services.ports().reads.status().alarms.iter().any(stands)
}

/// Whether it was proposed a moment ago, for somebody who does not wait for it: each proposal is an entry of the log, and space is short.
fn was_proposed(services: &ClientServices) -> bool {
    let now = services.handle().now();
    let last = services.alarm_proposed().get();
    if last.is_some_and(|last| now.saturating_duration_since(last) < ALARM_PAUSE) {
        return true;
    }
    services.alarm_proposed().set(Some(now));
    false
}

fn alarm(services: &ClientServices) -> Command {
    let (quota, member_id) = (services.config().quota_bytes, services.ports().identity.member_id);
    tracing::warn!(quota, "database space exceeded, raising the NOSPACE alarm");
    let action = AlarmAction::Activate as i32;
    Command::Alarm(AlarmRequest { action, member_id, alarm: AlarmType::Nospace as i32 })
}
