//! The space quota: refuses requests that grow the store beyond it, and raises the alarm that stops further writes.

use super::client_services::ClientServices;
use super::status;
use crate::door::Status;
use model::request::{AlarmAction, AlarmRequest, AlarmType};
use model::{AlarmMember, Caller, Command};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Least time between two proposals of the alarm by one connection thread.
const ALARM_PAUSE: Duration = Duration::from_secs(1);

/// Admits a request that is taken to cost so many bytes. One that costs nothing always passes.
///
/// # Errors
/// It does not fit into the quota, or the disk is nearly full.
pub(super) fn admit_cost(services: &ClientServices, cost: i64) -> Result<(), Status> {
    if cost != 0 && services.ports().gauges.disk_low.load(Relaxed) {
        // whoever measured the disk raises the alarm
        return Err(status::NO_SPACE);
    }
    let quota = services.config().quota_bytes;
    if quota <= 0 || cost == 0 || services.ports().reads.logical_bytes() + cost < quota {
        return Ok(());
    }
    raise_alarm(services, quota);
    Err(status::NO_SPACE)
}

/// Proposes the alarm, unless it stands or was proposed a moment ago: each proposal is an entry of the log, and space is
/// short.
fn raise_alarm(services: &ClientServices, quota: i64) {
    let now = services.handle().now();
    let last = services.alarm_proposed().get();
    if last.is_some_and(|last| now.saturating_duration_since(last) < ALARM_PAUSE) {
        return;
    }
    services.alarm_proposed().set(Some(now));
    let member_id = services.ports().identity.member_id;
    let stands = |a: &AlarmMember| a.alarm == AlarmType::Nospace && a.member_id == member_id;
    if services.ports().reads.status().alarms.iter().any(stands) {
        return;
    }
    tracing::warn!(quota, "database space exceeded, raising the NOSPACE alarm");
    let action = AlarmAction::Activate as i32;
    let alarm = Command::Alarm(AlarmRequest { action, member_id, alarm: AlarmType::Nospace as i32 });
    services.propose_quietly(Caller::Internal, alarm);
}
