//! Bytes of a peer: hellos, and frames in any pieces. What comes out of the door is well formed and encodes back to itself.

use bytes::Bytes;
use net::peer::codec::frame::{Frame, encode};
use net::peer::codec::hello::{DialNumbers, Hello, HelloAnswer, Purpose};
use net::peer::codec::lane::Lane;
use net::peer::codec::reader::{Ends, Reader};
use net::peer::codec::talk::{Answer, Call, NoAnswer, Vitals};
use raft::message::Append;
use raft::{Body, ConfState, Entry, EntryKind, Message, Proposal, Snapshot, SnapshotMeta, VoteRequest};

const ENDS: Ends = Ends { own: 2, peer: 1 };

/// First byte: lane, or a hello; second byte: length of the pieces.
pub fn run(data: &[u8]) {
    let [shape, piece, rest @ ..] = data else { return };
    let lane = match shape % 7 {
        0 => Lane::Control,
        1 => Lane::Append,
        2 => return hello(rest),
        3 => return answer(rest),
        4 => Lane::Calls,
        5 => Lane::Echoes,
        _ => Lane::Answers,
    };
    let mut reader = Reader::new(ENDS, lane);
    for piece in rest.chunks(usize::from(*piece) + 1) {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => accepted(&frame, lane),
                Ok(None) => break,
                Err(first) => {
                    reader.push(rest);
                    assert_eq!(reader.next_frame(), Err(first), "an error stays");
                    return;
                }
            }
        }
    }
}

fn accepted(frame: &Frame, lane: Lane) {
    if let Frame::Raft(message) = frame {
        assert!(message.is_well_formed() && message.to == ENDS.own && Lane::of(&message.body) == lane);
    }
    let mut bytes = Vec::new();
    // rkyv has more than one form of most messages, and the one it writes itself may be longer than what came in
    if encode(frame, lane, &mut bytes).is_err() {
        assert!(bytes.is_empty(), "what does not fit leaves nothing behind");
        return;
    }
    let mut again = Reader::new(ENDS, lane);
    again.push(&bytes);
    assert_eq!(again.next_frame().as_ref(), Ok(&Some(frame.clone())));
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

fn talk() -> Vec<(u8, Lane, Frame)> {
    let vitals = Vitals { stamp: 9, unsynced_micros: 4, applied: 7, version: [0, 1, 0], hashes: vec![(5, 6)], echo: 0 };
    let echo = Vitals { stamp: 3, echo: 9, ..Vitals::default() };
    let call = Call { id: 1, kind: 2, deadline_millis: 500, body: Bytes::from_static(b"call") };
    let answer = |result| Frame::Answer(Answer { id: 1, result });
    vec![
        (0, Lane::Control, Frame::Vitals(vitals)),
        (4, Lane::Calls, Frame::Call(call)),
        (5, Lane::Echoes, Frame::Vitals(echo)),
        (6, Lane::Answers, answer(Ok(Bytes::from_static(b"answer")))),
        (6, Lane::Answers, answer(Err(NoAnswer::NotCapable))),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (mut control, mut append) = (vec![0, 255], vec![1, 30]);
    let mut out = Vec::new();
    for (term, body) in bodies() {
        let lane = Lane::of(&body);
        let mut frame = Vec::new();
        encode(&Frame::Raft(Message { from: 1, to: 2, term, body }), lane, &mut frame).expect("fits");
        if lane == Lane::Append {
            append.extend_from_slice(&frame);
            out.push([&[1, 255], &frame[..]].concat());
        } else {
            control.extend_from_slice(&frame);
        }
    }
    for (shape, lane, frame) in talk() {
        let mut bytes = vec![shape, 255];
        encode(&frame, lane, &mut bytes).expect("fits");
        out.push(bytes);
    }
    let both_ways = Some(DialNumbers { own: 2, seen: 1 });
    let purpose = Purpose::Raft;
    let hello = Hello { cluster: 7, member: 1, to: 2, boot_epoch: 9, oldest: 1, newest: 1, purpose, both_ways };
    let answer = HelloAnswer { member: 2, boot_epoch: 4, result: hello.judge(7, 2) };
    out.extend([control, append, [&[2, 0], &hello.encode()[..]].concat(), [&[3, 0], &answer.encode()[..]].concat()]);
    out
}
