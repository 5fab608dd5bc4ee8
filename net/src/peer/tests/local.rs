//! The transport inside one process keeps the same promises.

use super::harness::{Recorder, lock, run, until};
use crate::peer::codec::talk::NoAnswer;
use crate::peer::local::{LocalNetwork, LocalTransport};
use crate::peer::port::{CallError, PeerAddress, PeerSender, Peers, Question, Transport, Vitals};
use bytes::Bytes;
use raft::{Body, EntryKind, Message, Proposal};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn members(ids: &[u64]) -> Peers {
    let member = |id: &u64| PeerAddress { member: *id, urls: Vec::new() };
    Peers { members: ids.iter().map(member).collect(), removed: Vec::new() }
}

fn three(network: &LocalNetwork) -> [(LocalTransport, Arc<Recorder>); 3] {
    [1, 2, 3].map(|id| {
        let recorder = Arc::new(Recorder::default());
        let transport = network.join(id, recorder.clone());
        transport.set_peers(members(&[1, 2, 3]));
        (transport, recorder)
    })
}

fn heartbeat(from: u64, to: u64, commit: u64) -> Message {
    Message { from, to, term: 3, body: Body::Heartbeat { commit, read_round: 0 } }
}

#[test]
fn three_members_of_one_process_hear_each_other() {
    let network = LocalNetwork::default();
    let [(one, _), (two, got_two), (_three, got_three)] = three(&network);
    one.send((1..=100).flat_map(|commit| [heartbeat(1, 2, commit), heartbeat(1, 3, commit)]).collect());
    let all: Vec<u64> = (1..=100).collect();
    assert_eq!(got_two.heartbeats(), all);
    assert_eq!(got_three.heartbeats(), all);
    two.set_vitals(Vitals { applied: 4, ..Vitals::default() });
    assert_eq!(lock(&got_three.vitals)[0].0, 2);
    assert!(one.active_since(2).is_some() && one.active_since(9).is_none());
}

#[test]
fn what_does_not_fit_or_has_no_receiver_is_told() {
    let network = LocalNetwork::default();
    let [(one, got_one), (_two, got_two), (three, _)] = three(&network);
    let propose = |number: u64| {
        let mut data = number.to_le_bytes().to_vec();
        data.resize(10 << 20, 0);
        let list = vec![Proposal { kind: EntryKind::Normal, data: data.into() }];
        Message { from: 1, to: 2, term: 0, body: Body::Propose(list) }
    };
    *lock(&got_two.hold) = true;
    (1..=5).for_each(|number| one.send(vec![propose(number)]));
    assert_eq!(got_two.proposals(), [1, 2, 3]);
    assert_eq!(got_one.never_left(), [4, 5]);
    lock(&got_two.held).clear();
    one.send(vec![propose(6)]);
    assert_eq!(got_two.proposals(), [1, 2, 3, 6]);
    three.stop();
    one.send(vec![heartbeat(1, 3, 1)]);
    assert_eq!(lock(&got_one.unreachable).last().map(|(peer, list)| (*peer, list.len())), Some((3, 1)));
    assert!(one.active_since(3).is_none());
}

#[test]
fn calls_inside_a_process_have_one_outcome_each() {
    run(async {
        let network = LocalNetwork::default();
        let [(one, _), (_two, got_two), _three] = three(&network);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = kept.clone();
        *lock(&got_two.on_call) = Some(Box::new(move |_, call, respond| match call.kind {
            1 => respond.answer(Ok(call.body)),
            2 => lock(&keep).push(respond),
            _ => respond.answer(Err(NoAnswer::NotCapable)),
        }));
        let outcomes: Arc<Mutex<Vec<Result<Bytes, CallError>>>> = Arc::default();
        for kind in [1, 2, 3] {
            let take = outcomes.clone();
            let question = Question { kind, body: Bytes::from_static(b"q"), deadline: Duration::from_millis(100) };
            one.call(2, question, Box::new(move |outcome| lock(&take).push(outcome)));
        }
        until("all outcomes", || lock(&outcomes).len() == 3).await;
        let refused = Err(CallError::Refused(NoAnswer::NotCapable));
        assert_eq!(*lock(&outcomes), [Ok(Bytes::from_static(b"q")), refused, Err(CallError::Unknown)]);
    });
}
