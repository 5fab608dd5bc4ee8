//! `/debug/vars` and `/debug/requests`: what developers look at.
//!
//! The first has the keys of etcd's page, as far as there is something behind them; the second is golang.org/x/net/trace's page in a
//! plain form: calls by method and by how long they took. Must never change anything.

use super::answer::json_string;
use super::metrics::Metrics;
use super::process;
use crate::door::{HttpBody, text};
use crate::services::ClientServices;
use http::{HeaderValue, Response, StatusCode, header};
use messages::admin::RaftView;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Patience with a core that has much to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// `/debug/vars`: JSON of the command line, descriptors, memory, and the state of consensus.
pub(super) async fn vars(this: ClientServices, command_line: &[String]) -> Response<HttpBody> {
    let (told, view) = oneshot::channel();
    this.describe_raft(told);
    let view = timeout(PATIENCE, view).await.ok().and_then(Result::ok);
    let words: Vec<String> = command_line.iter().map(|word| json_string(word)).collect();
    let mut body = format!("{{\n\"cmdline\": [{}],\n", words.join(","));
    let descriptors = process::limit("Max open files").unwrap_or_default();
    // writing into memory does not fail
    let _ = write!(body, "\"file_descriptor_limit\": {descriptors},\n\"memstats\": {{{}}},\n", process::memory_json());
    let raft = view.map_or_else(|| "{}".to_owned(), |view| raft_json(&view));
    let _ = write!(body, "\"raft.status\": {raft}\n}}\n");
    let mut response = text(StatusCode::OK, body);
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn raft_json(view: &RaftView) -> String {
    let RaftView { id, term, vote, commit, leader, role, applied, transferee, progress } = view;
    let progress: Vec<String> = progress
        .iter()
        .map(|peer| {
            let (id, matched, next, state) = (peer.id, peer.matched, peer.next, peer.state);
            format!("\"{id:x}\":{{\"match\":{matched},\"next\":{next},\"state\":\"{state}\"}}")
        })
        .collect();
    format!(
        "{{\"id\":\"{id:x}\",\"term\":{term},\"vote\":\"{vote:x}\",\"commit\":{commit},\"lead\":\"{leader:x}\",\
         \"raftState\":\"{role}\",\"applied\":{applied},\"progress\":{{{}}},\"leadtransferee\":\"{transferee:x}\"}}",
        progress.join(",")
    )
}

/// `/debug/requests`: a line for each method that was called.
pub(super) fn requests(metrics: &Metrics) -> Response<HttpBody> {
    let mut body = "Calls by method since the start: active, ended, with an error, and how many took no longer than so many seconds.\n\n"
        .to_owned();
    let mut head_written = false;
    for calls in metrics.calls_by_method() {
        if !head_written {
            head_written = true;
            let _ = write!(body, "{:48} {:>10} {:>10} {:>10}", "method", "active", "ended", "errors");
            for (bound, _) in &calls.times.cumulative {
                let bound = bound.map_or_else(|| "all".to_owned(), |micros| (micros as f64 / 1e6).to_string());
                let _ = write!(body, " {bound:>8}");
            }
            body.push('\n');
        }
        let _ = write!(body, "{:48} {:>10} {:>10} {:>10}", calls.path, calls.active, calls.ended, calls.errors);
        for (_, count) in &calls.times.cumulative {
            let _ = write!(body, " {count:>8}");
        }
        body.push('\n');
    }
    text(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::admin::PeerProgress;

    #[test]
    fn the_state_of_consensus_has_etcds_keys() {
        let peer = PeerProgress { id: 0xa1, matched: 7, next: 8, state: "StateReplicate" };
        let view = RaftView {
            id: 0xa1,
            term: 2,
            vote: 0xa1,
            commit: 7,
            leader: 0xa1,
            role: "StateLeader",
            applied: 7,
            transferee: 0,
            progress: vec![peer],
        };
        let expected = r#"{"id":"a1","term":2,"vote":"a1","commit":7,"lead":"a1","raftState":"StateLeader","applied":7,"progress":{"a1":{"match":7,"next":8,"state":"StateReplicate"}},"leadtransferee":"0"}"#;
        assert_eq!(raft_json(&view), expected);
    }
}
