//! Flags of metrics, profiles, traces and slow requests to settings.

use crate::flags::{Given, gates};
use crate::profile::CpuProfiler;
use embed::config::{SharedProfiler, TracingConfig};
use std::sync::Arc;
use std::time::Duration;

/// How long spans are gathered for a batch: OpenTelemetry's default.
const SPANS_DELAY: Duration = Duration::from_secs(5);
/// Every call.
const MILLION: i64 = 1_000_000;

/// Completes the settings of a node.
///
/// # Errors
/// etcd's texts.
pub fn apply(given: &Given, node: &mut embed::Config) -> Result<(), String> {
    node.slow_apply = given.duration("warning-apply-duration");
    node.slow_request = given.duration("warning-unary-request-duration");
    node.extensive_metrics = given.text("metrics") == "extensive";
    node.features = features(given);
    node.tracing = tracing(given)?;
    node.profiler = given.flag("enable-pprof").then(|| SharedProfiler(Arc::new(CpuProfiler)));
    node.shows_requests = given.text("log-level").eq_ignore_ascii_case("debug");
    Ok(())
}

/// Name, stage and state of every gate, those that stand for others among them.
fn features(given: &Given) -> Vec<(String, String, bool)> {
    let chosen = given.gates();
    let stage = |stage| match stage {
        gates::Stage::Alpha => "ALPHA",
        gates::Stage::Beta => "BETA",
    };
    let own = gates::GATES.iter().map(|gate| (gate.name, stage(gate.stage), gates::is_on(&chosen, gate.name)));
    let all = [("AllAlpha", "ALPHA"), ("AllBeta", "BETA")];
    let all = all.map(|(name, stage)| (name, stage, chosen.get(name).copied().unwrap_or(false)));
    all.into_iter().chain(own).map(|(name, stage, on)| (name.to_owned(), stage.to_owned(), on)).collect()
}

fn tracing(given: &Given) -> Result<Option<TracingConfig>, String> {
    if !given.flag("enable-distributed-tracing") {
        return Ok(None);
    }
    // etcd's spelling: people search for it
    let invalid = |why: &str| format!("distributed tracing configurition is not valid: ({why})");
    let rate: i64 = given.number("distributed-tracing-sampling-rate");
    if rate < 0 {
        return Err(invalid("tracing sampling rate must be positive"));
    }
    if rate > MILLION {
        return Err(invalid(&format!("tracing sampling rate must be less than {MILLION}")));
    }
    let address = given.text("distributed-tracing-address");
    if address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
        return Err(format!("--distributed-tracing-address={address}: give host and port, as in localhost:4317"));
    }
    Ok(Some(TracingConfig {
        address: address.to_owned(),
        service_name: given.text("distributed-tracing-service-name").to_owned(),
        instance_id: given.text("distributed-tracing-instance-id").to_owned(),
        sampling_rate: rate.unsigned_abs(),
        delay: SPANS_DELAY,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        let mut given = Given::default();
        for (flag, text) in pairs {
            given.set(flag, text).unwrap();
        }
        given
    }

    fn node(pairs: &[(&str, &str)]) -> Result<embed::Config, String> {
        let mut node = embed::Config::new("a", "/nowhere");
        apply(&given(pairs), &mut node).map(|()| node)
    }

    #[test]
    fn nothing_is_on_unless_it_is_asked_for() {
        let node = node(&[]).unwrap();
        assert!(node.tracing.is_none() && node.profiler.is_none());
        assert!(!node.extensive_metrics && !node.shows_requests);
        assert_eq!((node.slow_apply, node.slow_request), (Duration::from_millis(100), Duration::from_millis(300)));
        let off = |name: &str| node.features.iter().any(|(gate, _, on)| gate == name && !on);
        assert!(off("AllAlpha") && off("AllBeta") && off("CompactHashCheck"));
    }

    #[test]
    fn what_etcd_says_of_tracing() {
        let on = ("enable-distributed-tracing", "true");
        let with = |rate| node(&[on, ("distributed-tracing-sampling-rate", rate)]);
        let text = "distributed tracing configurition is not valid: (tracing sampling rate must be positive)";
        assert_eq!(with("-1").unwrap_err(), text);
        let text = "distributed tracing configurition is not valid: (tracing sampling rate must be less than 1000000)";
        assert_eq!(with("1000001").unwrap_err(), text);
        assert_eq!(with("1000000").unwrap().tracing.unwrap().sampling_rate, 1_000_000);
        // without tracing nobody looks at it
        assert!(node(&[("distributed-tracing-sampling-rate", "-1")]).is_ok());
        let error = node(&[on, ("distributed-tracing-address", "collector")]).unwrap_err();
        assert!(error.contains("localhost:4317"), "{error}");
    }

    #[test]
    fn switches_reach_the_node() {
        let node = node(&[
            ("metrics", "extensive"),
            ("enable-pprof", "true"),
            ("log-level", "Debug"),
            ("feature-gates", "CompactHashCheck=true"),
            ("warning-apply-duration", "1ms"),
        ])
        .unwrap();
        assert!(node.extensive_metrics && node.shows_requests && node.profiler.is_some());
        assert!(node.features.contains(&("CompactHashCheck".into(), "ALPHA".into(), true)));
        assert_eq!(node.slow_apply, Duration::from_millis(1));
    }
}
