//! Every message round-trips in any pieces; what is damaged, foreign or too large is refused, never fatal.

use super::error::{FRAME_VERSION, FrameError};
use super::frame::{Frame, PREFIX};
use super::hello::{DialNumbers, Hello, HelloAnswer, Purpose, Refusal};
use super::lane::{Lane, MAX_CALL_BYTES, MAX_ENTRY_BYTES};
use super::reader::{Ends, Reader};
use super::talk::{Answer, Call, MAX_HASHES, NoAnswer, Vitals};
use bytes::Bytes;
use proptest::prelude::*;
use raft::message::Append;
use raft::{Body, ConfState, Entry, EntryKind, Message, Proposal, Snapshot, SnapshotMeta, VoteRequest};

const ENDS: Ends = Ends { own: 2, peer: 1 };

fn of_peer(term: u64, body: Body) -> Message {
    Message { from: ENDS.peer, to: ENDS.own, term, body }
}

fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    super::frame::encode_raft(message, Lane::of(&message.body), &mut out).map(|()| out)
}

fn encode_frame(frame: &Frame, lane: Lane) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    super::frame::encode(frame, lane, &mut out).map(|()| out)
}

fn read_frame(lane: Lane, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    let mut reader = Reader::new(ENDS, lane);
    reader.push(bytes);
    reader.next_frame()
}

fn read(lane: Lane, bytes: &[u8]) -> Result<Option<Message>, FrameError> {
    Ok(read_frame(lane, bytes)?.map(|frame| match frame {
        Frame::Raft(message) => message,
        other => panic!("{other:?} is no raft message"),
    }))
}

fn data() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![Just(EntryKind::Normal), Just(EntryKind::ConfChange), Just(EntryKind::ConfChangeV2)]
}

fn append() -> impl Strategy<Value = (u64, Body)> {
    let entry = (0..3_u64, kind(), data());
    (0..1_u64 << 40, 1..9_u64, prop::collection::vec(entry, 0..20)).prop_map(|(prev_index, prev_term, list)| {
        let mut term = prev_term;
        let entries = (prev_index + 1..).zip(list).map(|(index, (step, kind, data))| {
            term += step;
            Entry { term, index, kind, data }
        });
        let entries: Vec<_> = entries.collect();
        (term + 1, Body::Append(Append { prev_index, prev_term, commit: prev_index + 3, entries }))
    })
}

/// Every member has one role of those that exist.
fn members() -> impl Strategy<Value = ConfState> {
    (prop::collection::btree_map(1..1_000_u64, 0..5_u8, 0..8), any::<bool>(), any::<bool>()).prop_map(
        |(roles, joint, leave)| {
            let mut state = ConfState { voters: vec![1_000], ..ConfState::default() };
            for (id, role) in roles {
                match role {
                    0 => state.learners.push(id),
                    1 if joint => state.voters_outgoing.push(id),
                    2 if joint => {
                        state.voters_outgoing.push(id);
                        state.learners_next.push(id);
                    }
                    3 if joint => {
                        state.voters_outgoing.push(id);
                        state.voters.push(id);
                    }
                    _ => state.voters.push(id),
                }
            }
            state.auto_leave = leave && !state.voters_outgoing.is_empty();
            state
        },
    )
}

fn snapshot() -> impl Strategy<Value = (u64, Body)> {
    (1..1_u64 << 40, members(), data()).prop_map(|(index, conf_state, data)| {
        (5, Body::Snapshot(Box::new(Snapshot { meta: SnapshotMeta { conf_state, index, term: 4 }, data })))
    })
}

fn message() -> impl Strategy<Value = Message> {
    let request = (0..1_u64 << 50, any::<u32>(), any::<bool>()).prop_map(|(last_index, last_term, transfer)| {
        VoteRequest { last_index, last_term: last_term.into(), transfer }
    });
    let proposal = (kind(), data()).prop_map(|(kind, data)| Proposal { kind, data });
    let small = (0..1_u64 << 50, 0..1_u64 << 50, any::<u64>(), any::<bool>());
    let small = small.prop_flat_map(|(index, hint_index, tag, rejected)| {
        prop_oneof![
            Just(Body::AppendAccepted { index }),
            Just(Body::AppendRejected { index, hint_index, hint_term: tag }),
            Just(Body::Heartbeat { commit: index, read_round: tag }),
            Just(Body::HeartbeatAck { read_round: tag }),
            Just(Body::VoteResp { rejected }),
            Just(Body::PreVoteResp { rejected }),
            Just(Body::TimeoutNow),
            Just(Body::TransferLeader { transferee: hint_index + 1 }),
            Just(Body::ReadIndexResp { index, tag }),
        ]
    });
    let with_term = prop_oneof![
        append(),
        snapshot(),
        (1..u64::MAX, request.clone()).prop_map(|(term, r)| (term, Body::Vote(r))),
        (1..u64::MAX, request).prop_map(|(term, r)| (term, Body::PreVote(r))),
        (1..u64::MAX, small).prop_map(|(term, body)| (term, body)),
        prop::collection::vec(proposal, 1..20).prop_map(|list| (0, Body::Propose(list))),
        any::<u64>().prop_map(|tag| (0, Body::ReadIndex { tag })),
    ];
    with_term.prop_map(|(term, body)| of_peer(term, body))
}

proptest! {
    #[test]
    fn every_message_comes_back_whatever_the_pieces(
        messages in prop::collection::vec(message(), 1..6), piece in 1..700_usize,
    ) {
        for lane in [Lane::Control, Lane::Append] {
            let sent: Vec<_> = messages.iter().filter(|m| Lane::of(&m.body) == lane).cloned().collect();
            let stream: Vec<u8> = sent.iter().flat_map(|m| encode(m).expect("fits")).collect();
            let mut reader = Reader::new(ENDS, lane);
            let mut got = Vec::new();
            for piece in stream.chunks(piece) {
                reader.push(piece);
                while let Some(frame) = reader.next_frame().expect("well formed") {
                    let Frame::Raft(message) = frame else { panic!("{frame:?}") };
                    got.push(message);
                }
            }
            prop_assert_eq!(got, sent);
            prop_assert!(reader.is_between_frames());
        }
    }

    #[test]
    fn damage_is_refused_or_another_well_formed_message(
        message in message(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let mut bytes = encode(&message).expect("fits").to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(Some(read)) = read(Lane::of(&message.body), &bytes) {
            prop_assert!(read.is_well_formed() && read.to == ENDS.own);
        }
    }

    #[test]
    fn noise_is_never_fatal(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = (noise.len() as u32).to_le_bytes().to_vec();
        framed.extend(FRAME_VERSION.to_le_bytes());
        framed.extend([0, 0]);
        framed.extend(&noise);
        for bytes in [&noise, &framed] {
            let _ = read(Lane::Control, bytes);
            let _ = read(Lane::Append, bytes);
        }
    }
}

#[test]
fn payloads_share_the_frame() {
    let entry = Entry { term: 1, index: 1, kind: EntryKind::Normal, data: Bytes::from(vec![7; 30_000]) };
    let body = Body::Append(Append { prev_index: 0, prev_term: 0, commit: 0, entries: vec![entry] });
    let bytes = encode(&of_peer(1, body)).expect("fits");
    assert!(bytes.len() < 30_000 + 200, "{} bytes", bytes.len());
    let mut reader = Reader::new(ENDS, Lane::Append);
    reader.push(&bytes);
    let Ok(Some(Frame::Raft(Message { body: Body::Append(append), .. }))) = reader.next_frame() else {
        panic!("no append")
    };
    assert!(!append.entries[0].data.is_unique(), "a slice, not a copy");
}

#[test]
fn what_does_not_belong_on_the_stream_is_refused() {
    let heartbeat = |from, to, term| Message { from, to, term, body: Body::Heartbeat { commit: 1, read_round: 0 } };
    let frame = |m: &Message| encode(m).expect("fits");
    let malformed = |why| Err(FrameError::Malformed(why));
    let propose = |list: Vec<Proposal>| Message { term: 0, ..of_peer(0, Body::Propose(list)) };
    let cases = [
        ("other lane", Lane::Append, heartbeat(1, 2, 3), Err(FrameError::WrongLane(Lane::Append))),
        ("for somebody else", Lane::Control, heartbeat(1, 9, 3), Err(FrameError::WrongReceiver(9))),
        ("from somebody else", Lane::Control, heartbeat(9, 2, 3), Err(FrameError::WrongSender(9))),
        ("from nobody", Lane::Control, heartbeat(0, 2, 3), malformed("it is from nobody or for nobody")),
        ("no term", Lane::Control, heartbeat(1, 2, 0), malformed("its term is impossible")),
        ("last term", Lane::Control, heartbeat(1, 2, u64::MAX), malformed("its term is impossible")),
        (
            "a term where there is none",
            Lane::Control,
            of_peer(3, Body::ReadIndex { tag: 1 }),
            malformed("its term is impossible"),
        ),
        (
            "an index out of range",
            Lane::Control,
            of_peer(3, Body::Heartbeat { commit: u64::MAX, read_round: 0 }),
            malformed("an index is out of range"),
        ),
        ("no proposal", Lane::Append, propose(vec![]), malformed("it proposes nothing")),
        (
            "an entry of a later term",
            Lane::Append,
            of_peer(
                3,
                Body::Append(Append {
                    prev_index: 0,
                    prev_term: 0,
                    commit: 0,
                    entries: vec![Entry { term: 4, index: 1, kind: EntryKind::Normal, data: Bytes::new() }],
                }),
            ),
            malformed("its parts contradict each other"),
        ),
    ];
    for (name, lane, message, refused) in cases {
        assert_eq!(read(lane, &frame(&message)).map(|_| ()), refused, "{name}");
    }
    let passed_on = Message { from: 9, to: 2, term: 0, body: Body::ReadIndex { tag: 1 } };
    assert_eq!(read(Lane::Control, &frame(&passed_on)), Ok(Some(passed_on)));
}

#[test]
fn memberships_that_cannot_be_are_refused() {
    let cases = [
        ConfState::default(),
        ConfState { voters: vec![0, 1], ..ConfState::default() },
        ConfState { voters: vec![3, 1, 3], ..ConfState::default() },
        ConfState { voters: vec![1], learners: vec![1], ..ConfState::default() },
        ConfState { voters: vec![1], learners_next: vec![2], ..ConfState::default() },
        ConfState { voters: vec![1], auto_leave: true, ..ConfState::default() },
        ConfState { voters: (1..2_000).collect(), ..ConfState::default() },
    ];
    for conf_state in cases {
        let snapshot = Snapshot { meta: SnapshotMeta { conf_state, index: 7, term: 2 }, data: Bytes::new() };
        let bytes = encode(&of_peer(3, Body::Snapshot(Box::new(snapshot)))).expect("fits");
        assert!(matches!(read(Lane::Append, &bytes), Err(FrameError::Malformed(_))));
    }
}

#[test]
fn limits_are_constants_and_hold_before_anything_is_kept() {
    for lane in [Lane::Control, Lane::Append] {
        let limit = lane.limit();
        let too_large = || Err(FrameError::TooLarge { length: limit + 1, limit });
        let mut prefix = (limit as u32 + 1).to_le_bytes().to_vec();
        prefix.extend([1, 0, 0, 0]);
        let mut reader = Reader::new(ENDS, lane);
        reader.push(&prefix);
        assert_eq!(reader.next_frame(), too_large());
        reader.push(&[0; 100]);
        assert_eq!(reader.next_frame(), too_large(), "an error stays");
        assert!(!reader.is_between_frames());
    }
    let propose = |bytes| {
        let proposal = Proposal { kind: EntryKind::Normal, data: Bytes::from(vec![0; bytes]) };
        encode(&Message { from: 1, to: 2, term: 0, body: Body::Propose(vec![proposal]) })
    };
    assert!(propose(MAX_ENTRY_BYTES).is_ok(), "whatever a cluster may commit can be replicated");
    let sent = propose(Lane::Append.limit());
    assert!(matches!(sent, Err(FrameError::TooLarge { .. })), "{sent:?}");
    assert_eq!(read(Lane::Control, &[0, 0, 0, 0, 9, 0, 0, 0]), Err(FrameError::Version(9)));
    let kind = FrameError::Malformed("its kind is unknown");
    assert_eq!(read(Lane::Control, &[0, 0, 0, 0, 1, 0, 0, 1]), Err(kind));
    assert_eq!(read(Lane::Control, &[0, 0, 0, 0, 1, 0, 0]), Ok(None));
}

#[test]
fn a_length_that_is_only_claimed_sets_no_memory_aside() {
    let mut reader = Reader::new(ENDS, Lane::Append);
    reader.push(&(Lane::Append.limit() as u32).to_le_bytes());
    reader.push(&[1, 0, 0, 0]);
    assert_eq!(reader.next_frame(), Ok(None));
    assert!(reader.space().capacity() <= 256 << 10, "{} bytes", reader.space().capacity());
}

fn talk() -> [(Lane, Frame); 5] {
    let hashes = (0..MAX_HASHES as u64).map(|at| (at, !at)).collect();
    let vitals = Vitals { stamp: 5, echo: 4, unsynced_micros: 77, applied: 12, version: [0, 1, 2], hashes };
    let call = Call { id: 9, kind: 60_000, deadline_millis: 1_500, body: Bytes::from_static(b"which keys?") };
    let answer = |result| Frame::Answer(Answer { id: 9, result });
    [
        (Lane::Control, Frame::Vitals(vitals.clone())),
        (Lane::Echoes, Frame::Vitals(vitals)),
        (Lane::Calls, Frame::Call(call)),
        (Lane::Answers, answer(Ok(Bytes::from_static(b"these")))),
        (Lane::Answers, answer(Err(NoAnswer::NotCapable))),
    ]
}

#[test]
fn vitals_calls_and_answers_come_back_and_only_on_their_lanes() {
    for (lane, frame) in talk() {
        let bytes = encode_frame(&frame, lane).expect("fits");
        assert_eq!(read_frame(lane, &bytes), Ok(Some(frame.clone())));
        for other in [Lane::Control, Lane::Append, Lane::Calls, Lane::Echoes, Lane::Answers] {
            let is_vitals = matches!(frame, Frame::Vitals(_)) && matches!(other, Lane::Control | Lane::Echoes);
            if other != lane && !is_vitals {
                assert_eq!(encode_frame(&frame, other), Err(FrameError::WrongLane(other)));
                assert_eq!(read_frame(other, &bytes), Err(FrameError::WrongLane(other)));
            }
        }
    }
    let refused = Frame::Answer(Answer { id: 1, result: Err(NoAnswer::Busy) });
    let mut newer = encode_frame(&refused, Lane::Answers).expect("fits");
    let at = newer.iter().rposition(|byte| *byte == NoAnswer::Busy as u8).expect("the reason");
    newer[at] = 99;
    let unknown = Frame::Answer(Answer { id: 1, result: Err(NoAnswer::Failed) });
    assert_eq!(read_frame(Lane::Answers, &newer), Ok(Some(unknown)), "a reason of a newer build is a reason");
}

#[test]
fn vitals_and_calls_keep_their_limits() {
    let hashes = (0..2 * MAX_HASHES as u64).map(|at| (at, at)).collect();
    let many = Frame::Vitals(Vitals { hashes, ..Vitals::default() });
    let bytes = encode_frame(&many, Lane::Control).expect("the oldest are left out");
    let Ok(Some(Frame::Vitals(read))) = read_frame(Lane::Control, &bytes) else { panic!("no vitals") };
    assert_eq!(read.hashes.len(), MAX_HASHES);
    assert_eq!(read.hashes[0].0, MAX_HASHES as u64);
    let call = |bytes| Frame::Call(Call { id: 1, kind: 1, deadline_millis: 1, body: Bytes::from(vec![1; bytes]) });
    assert!(encode_frame(&call(MAX_CALL_BYTES), Lane::Calls).is_ok());
    let sent = encode_frame(&call(MAX_CALL_BYTES + (2 << 10)), Lane::Calls);
    assert!(matches!(sent, Err(FrameError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn damaged_talk_is_refused_or_something_else_that_is_well_formed(
        which in 0..5_usize, at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let (lane, frame) = talk()[which].clone();
        let mut bytes = encode_frame(&frame, lane).expect("fits");
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(Some(read)) = read_frame(lane, &bytes) {
            let again = encode_frame(&read, lane).expect("fits");
            prop_assert_eq!(read_frame(lane, &again), Ok(Some(read)));
        }
    }
}

#[test]
fn version_1_stays_readable() {
    // a heartbeat as this version writes it: never change these bytes, make a version 2
    let message = of_peer(3, Body::Heartbeat { commit: 0x0102, read_round: 5 });
    let bytes = encode(&message).expect("fits");
    assert_eq!(&bytes[..PREFIX], [bytes.len() as u8 - PREFIX as u8, 0, 0, 0, 1, 0, 0, 0]);
    let golden = include_bytes!("golden-heartbeat-v1.bin");
    assert_eq!(&bytes[..], golden);
    assert_eq!(read(Lane::Control, golden), Ok(Some(message)));
}

fn hello() -> Hello {
    let purpose = Purpose::Raft;
    Hello { cluster: 7, member: 1, to: 2, boot_epoch: 3, oldest: 1, newest: 4, purpose, both_ways: None }
}

#[test]
fn a_hello_of_a_build_that_only_sends_differs_in_nothing_but_zeros() {
    let only_sends = hello().encode();
    assert_eq!(only_sends[45..], [0; 19], "what older builds write");
    let both_ways = Hello { both_ways: Some(DialNumbers { own: 0x0304, seen: 0x0102 }), ..hello() };
    let bytes = both_ways.encode();
    assert_eq!(bytes[..45], only_sends[..45]);
    assert_eq!(bytes[45..], [1, 4, 3, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Hello::decode(&bytes), Ok(both_ways));
}

#[test]
fn hellos_are_judged() {
    assert_eq!(Hello::decode(&hello().encode()), Ok(hello()));
    let cases = [
        (hello(), Ok(FRAME_VERSION)),
        (Hello { cluster: 8, ..hello() }, Err(Refusal::WrongCluster)),
        (Hello { to: 5, ..hello() }, Err(Refusal::WrongReceiver)),
        (Hello { member: 2, ..hello() }, Err(Refusal::SameMember)),
        (Hello { oldest: 2, ..hello() }, Err(Refusal::Version)),
    ];
    let crossed = HelloAnswer { member: 2, boot_epoch: 9, result: Err(Refusal::Crossed) };
    assert_eq!(HelloAnswer::decode(&crossed.encode()), Ok(crossed));
    for (hello, judged) in cases {
        assert_eq!(hello.judge(7, 2), judged, "{hello:?}");
        let answer = HelloAnswer { member: 2, boot_epoch: 9, result: judged };
        assert_eq!(HelloAnswer::decode(&answer.encode()), Ok(answer));
    }
}

#[test]
fn what_is_no_hello_is_told_apart() {
    type Change = fn(&mut [u8; 64]);
    let cases: [(&str, Change); 6] = [
        ("other magic", |b| b[0] = b'X'),
        ("no member", |b| b[16..24].fill(0)),
        ("no receiver", |b| b[24..32].fill(0)),
        ("versions upside down", |b| b[40] = 9),
        ("unknown purpose", |b| b[44] = 3),
        ("a dial without a number", |b| b[45] = 1),
    ];
    for (name, change) in cases {
        let mut bytes = hello().encode();
        change(&mut bytes);
        assert!(Hello::decode(&bytes).is_err(), "{name}");
    }
    let mut more = hello().encode();
    more[60] = 1;
    assert_eq!(Hello::decode(&more), Ok(hello()), "a newer member may say more");
    let refused = HelloAnswer { member: 2, boot_epoch: 9, result: Err(Refusal::Removed) };
    let mut unknown = refused.encode();
    unknown[26] = 77;
    assert_eq!(HelloAnswer::decode(&unknown).map(|a| a.result), Ok(Err(Refusal::Version)));
    unknown[26] = 0;
    assert!(HelloAnswer::decode(&unknown).is_err());
}
