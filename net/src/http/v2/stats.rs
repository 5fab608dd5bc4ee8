//! `/v2/stats`: what this member has counted, who leads, and how far its followers are.
//!
//! Must never show a number that nobody counted: what etcd measures and this member does not is left out or said in `docs/compat.md`.

use super::answers::{allow, json as json_answer, message};
use super::json;
use super::whole::WholeRequest;
use crate::door::HttpBody;
use crate::services::ClientServices;
use crate::services::v2::unix_nanos;
use http::{Method, Response, StatusCode};
use model::v2::Count;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

fn page(request: &WholeRequest, body: impl FnOnce() -> String) -> Response<HttpBody> {
    match allow(&request.method, &[Method::GET]) {
        Ok(()) => json_answer(StatusCode::OK, body()),
        Err(refused) => *refused,
    }
}

/// `/v2/stats/store`.
pub(super) fn store(services: &ClientServices, request: &WholeRequest) -> Response<HttpBody> {
    page(request, || {
        let stats = &services.ports().gauges.v2;
        let mut out = String::from("{");
        for (count, name) in Count::NAMES {
            let _ = write!(out, "\"{name}\":{},", stats.of(count));
        }
        let _ = write!(out, "\"watchers\":{}}}", stats.watchers.load(Relaxed));
        out
    })
}

/// `/v2/stats/self`. `started` is when the member did, nanoseconds since 1970.
pub(super) fn own(services: &ClientServices, started: i64, request: &WholeRequest) -> Response<HttpBody> {
    page(request, || {
        let (gauges, identity) = (&services.ports().gauges, &services.ports().identity);
        let leader = gauges.leader.load(Relaxed);
        let state = if leader == identity.member_id { "StateLeader" } else { "StateFollower" };
        let since = match gauges.led_since.load(Relaxed) {
            0 => started,
            since => since,
        };
        let mut out = String::from("{\"name\":");
        json::string(&mut out, identity.name.as_bytes());
        let _ = write!(out, ",\"id\":\"{:x}\",\"state\":\"{state}\"", identity.member_id);
        let _ = write!(out, ",\"startTime\":\"{}\",\"leaderInfo\":{{\"leader\":\"", json::moment(started));
        if leader != 0 {
            let _ = write!(out, "{leader:x}");
        }
        let uptime = go_duration(unix_nanos() - since);
        let _ = write!(out, "\",\"uptime\":\"{uptime}\",\"startTime\":\"{}\"}}", json::moment(since));
        let (received, sent) = (gauges.appends_received.load(Relaxed), gauges.appends_sent.load(Relaxed));
        let _ = write!(out, ",\"recvAppendRequestCnt\":{received},\"sendAppendRequestCnt\":{sent}}}");
        out
    })
}

/// `/v2/stats/leader`.
pub(super) fn leader(services: &ClientServices, request: &WholeRequest) -> Response<HttpBody> {
    let own = services.ports().identity.member_id;
    if request.method == Method::GET && services.ports().gauges.leader.load(Relaxed) != own {
        return message(StatusCode::FORBIDDEN, "not current leader");
    }
    page(request, || {
        let mut out = format!("{{\"leader\":\"{own:x}\",\"followers\":{{");
        for (at, follower) in services.config().peers.followers().into_iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let latency = follower.latency;
            let _ = write!(
                out,
                "{comma}\"{:x}\":{{\"latency\":{{\"current\":{},\"average\":{},\"standardDeviation\":{},\"minimum\":{},\"maximum\":{}}},\
                 \"counts\":{{\"fail\":{},\"success\":{}}}}}",
                follower.id,
                latency.current,
                latency.average,
                latency.deviation,
                latency.minimum,
                latency.maximum,
                follower.failed,
                follower.succeeded
            );
        }
        out.push_str("}}");
        out
    })
}

/// A length of time as Go prints it, for lengths of a second and more; shorter ones in milliseconds.
fn go_duration(nanos: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let nanos = nanos.max(0);
    if nanos < SECOND {
        return format!("{}ms", trimmed(nanos, 1_000_000));
    }
    let (hours, minutes) = (nanos / (3600 * SECOND), nanos / (60 * SECOND) % 60);
    let seconds = trimmed(nanos % (60 * SECOND), SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A number of units with its fraction, without zeros at the end.
fn trimmed(nanos: i64, unit: i64) -> String {
    let (whole, part) = (nanos / unit, nanos % unit);
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{part:0width$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_gos() {
        let shown = [1_500_000, 2_000_000_000, 61_050_000_000, 3_600_000_000_001].map(go_duration);
        assert_eq!(shown, ["1.5ms", "2s", "1m1.05s", "1h0m0.000000001s"]);
    }
}
