//! Bytes of a peer: hellos, and frames in any pieces. What comes out of the door is well formed and encodes back to itself.

use bytes::Bytes;
use net::peer::frame::{Ends, Lane, Limits, Reader, encode};
use net::peer::hello::{Hello, HelloAnswer, Purpose};
use raft::message::Append;
use raft::{Body, ConfState, Entry, EntryKind, Message, Proposal, Snapshot, SnapshotMeta, VoteRequest};

const ENDS: Ends = Ends { own: 2, peer: 1 };
const LIMITS: Limits = Limits { append: 8 << 10 };

/// First byte: lane, or a hello; second byte: length of the pieces.
pub fn run(data: &[u8]) {
    let [shape, piece, rest @ ..] = data else { return };
    let lane = match shape % 4 {
        0 => Lane::Control,
        1 => Lane::Append,
        2 => return hello(rest),
        _ => return answer(rest),
    };
    let mut reader = Reader::new(ENDS, lane, LIMITS);
    for piece in rest.chunks(usize::from(*piece) + 1) {
        reader.push(piece);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => accepted(&message, lane),
                Ok(None) => break,
                Err(first) => {
                    reader.push(rest);
                    assert_eq!(reader.next_message(), Err(first), "an error stays");
                    return;
                }
            }
        }
    }
}

fn accepted(message: &Message, lane: Lane) {
    assert!(message.is_well_formed() && message.to == ENDS.own && Lane::of(&message.body) == lane);
    // rkyv has more than one form of most messages, and the one it writes itself may be longer than what came in
    let Ok(bytes) = encode(message, Limits { append: 16 * LIMITS.append }) else {
        panic!("does not encode: {message:?}")
    };
    let mut again = Reader::new(ENDS, lane, Limits { append: 16 * LIMITS.append });
    again.push(&bytes);
    assert_eq!(again.next_message().as_ref(), Ok(&Some(message.clone())));
}

fn hello(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk() else { return };
    if let Ok(hello) = Hello::decode(bytes) {
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        let _ = hello.judge(7, 2);
    }
}

fn answer(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk() else { return };
    if let Ok(answer) = HelloAnswer::decode(bytes) {
        assert_eq!(HelloAnswer::decode(&answer.encode()), Ok(answer));
    }
}

fn bodies() -> Vec<(u64, Body)> {
    let entry = |index| Entry { term: 3, index, kind: EntryKind::Normal, data: Bytes::from_static(b"payload") };
    let request = VoteRequest { last_index: 9, last_term: 2, transfer: true };
    let conf_state = ConfState {
        voters: vec![1, 2],
        learners: vec![5],
        voters_outgoing: vec![2, 3],
        learners_next: vec![3],
        auto_leave: true,
    };
    let meta = SnapshotMeta { conf_state, index: 7, term: 2 };
    let proposal = |kind| Proposal { kind, data: Bytes::from_static(b"p") };
    vec![
        (3, Body::Append(Append { prev_index: 4, prev_term: 2, commit: 4, entries: vec![entry(5), entry(6)] })),
        (3, Body::Snapshot(Box::new(Snapshot { meta, data: Bytes::from_static(b"where") }))),
        (0, Body::Propose(vec![proposal(EntryKind::Normal), proposal(EntryKind::ConfChangeV2)])),
        (3, Body::AppendAccepted { index: 5 }),
        (3, Body::AppendRejected { index: 5, hint_index: 3, hint_term: 2 }),
        (3, Body::Heartbeat { commit: 5, read_round: 6 }),
        (3, Body::HeartbeatAck { read_round: 6 }),
        (3, Body::Vote(request)),
        (3, Body::VoteResp { rejected: true }),
        (3, Body::PreVote(request)),
        (3, Body::PreVoteResp { rejected: false }),
        (3, Body::TimeoutNow),
        (3, Body::TransferLeader { transferee: 2 }),
        (0, Body::ReadIndex { tag: 77 }),
        (3, Body::ReadIndexResp { index: 5, tag: 77 }),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (mut control, mut append) = (vec![0, 255], vec![1, 30]);
    let mut out = Vec::new();
    for (term, body) in bodies() {
        let lane = Lane::of(&body);
        let frame = encode(&Message { from: 1, to: 2, term, body }, LIMITS).expect("fits");
        match lane {
            Lane::Control => control.extend_from_slice(&frame),
            Lane::Append => {
                append.extend_from_slice(&frame);
                out.push([&[1, 255], &frame[..]].concat());
            }
        }
    }
    let hello = Hello { cluster: 7, member: 1, to: 2, boot_epoch: 9, oldest: 1, newest: 1, purpose: Purpose::Raft };
    let answer = HelloAnswer { member: 2, boot_epoch: 4, result: hello.judge(7, 2) };
    out.extend([control, append, [&[2, 0], &hello.encode()[..]].concat(), [&[3, 0], &answer.encode()[..]].concat()]);
    out
}
