//! The rules of staleness, one by one, and all of them against a model that has no index.

use super::cache::{AGE, Cache, Found, Question, Span};
use crate::upstream::Context;
use api::etcdserverpb as pb;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn request(key: &str, end: &str, revision: i64) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), range_end: end.to_owned().into(), revision, ..Default::default() }
}

fn answer(revision: i64) -> Arc<pb::RangeResponse> {
    let header = pb::ResponseHeader { revision, ..Default::default() };
    Arc::new(pb::RangeResponse { header: Some(header), ..Default::default() })
}

fn span(key: &str, end: &str) -> Span {
    Span::new(&key.to_owned().into(), &end.to_owned().into())
}

fn asked(request: &pb::RangeRequest) -> Question {
    Question::new(&Context::default(), request)
}

fn is_kept(cache: &mut Cache, request: &pb::RangeRequest, now: Instant) -> bool {
    matches!(cache.get(&asked(request), request.revision, now), Found::Answer(_))
}

#[test]
fn a_write_during_a_read_keeps_its_answer_out() {
    let (mut cache, now) = (Cache::new(), Instant::now());
    let read = request("k", "", 0);
    let begun = cache.begin();
    cache.written(span("k", ""), 0);
    cache.add(asked(&read), &read, answer(1), begun, now);
    assert!(!is_kept(&mut cache, &read, now));
    // another key's write does not matter
    let begun = cache.begin();
    cache.written(span("j", ""), 9);
    cache.add(asked(&read), &read, answer(1), begun, now);
    assert!(is_kept(&mut cache, &read, now));
}

#[test]
fn the_answer_of_a_member_that_lags_is_not_kept() {
    let (mut cache, now) = (Cache::new(), Instant::now());
    cache.written(span("k", ""), 7);
    let read = request("a", "z", 0);
    let begun = cache.begin();
    cache.add(asked(&read), &read, answer(6), begun, now);
    assert!(!is_kept(&mut cache, &read, now), "revision 6 lacks what was written at 7");
    let begun = cache.begin();
    cache.add(asked(&read), &read, answer(7), begun, now);
    assert!(is_kept(&mut cache, &read, now));
}

#[test]
fn a_read_that_is_older_than_all_remembered_writes_is_not_kept() {
    let (mut cache, now) = (Cache::new(), Instant::now());
    let read = request("k", "", 0);
    let begun = cache.begin();
    (0..2000).for_each(|_| cache.written(span("x", ""), 1));
    cache.add(asked(&read), &read, answer(9), begun, now);
    assert!(!is_kept(&mut cache, &read, now));
}

#[test]
fn answers_end_by_age_and_by_compaction_and_belong_to_one_caller() {
    let (mut cache, now) = (Cache::new(), Instant::now());
    let (current, old) = (request("k", "", 0), request("k", "", 3));
    for read in [&current, &old] {
        cache.add(asked(read), read, answer(5), cache.begin(), now);
    }
    let stranger = Question::new(&Context::with_token("t").unwrap(), &current);
    assert_eq!(cache.get(&stranger, 0, now), Found::Nothing);
    cache.written(span("k", ""), 6);
    assert!(!is_kept(&mut cache, &current, now));
    assert!(is_kept(&mut cache, &old, now), "a revision of the past does not change");
    cache.compact(3);
    assert!(is_kept(&mut cache, &old, now), "the compact revision itself can be read");
    assert!(!is_kept(&mut cache, &old, now + AGE + Duration::from_millis(1)));
    cache.compact(4);
    assert_eq!(cache.get(&asked(&old), 3, now), Found::Compacted);
}

#[test]
fn room_is_bounded_by_count_and_by_bytes() {
    let (mut cache, now) = (Cache::new(), Instant::now());
    for number in 0..5000 {
        let read = request(&format!("k{number}"), "", 0);
        cache.add(asked(&read), &read, answer(1), cache.begin(), now);
    }
    assert_eq!(cache.len(), 2048);
    let kv = api::mvccpb::KeyValue { value: Bytes::from(vec![0; 900 << 10]), ..Default::default() };
    let large = Arc::new(pb::RangeResponse { kvs: vec![kv], ..Default::default() });
    for number in 0..100 {
        let read = request(&format!("l{number}"), "", 0);
        cache.add(asked(&read), &read, large.clone(), cache.begin(), now);
    }
    assert!(cache.len() <= 37, "{} answers of 900 KiB", cache.len());
    cache.clear();
    assert_eq!(cache.len(), 0);
}

const KEYS: [&str; 5] = ["a", "b", "ba", "c", "d"];
const ENDS: [&str; 6] = ["", "\0", "b", "bb", "c", "e"];

proptest! {
    /// After any writes, exactly those answers are left that no write met.
    #[test]
    fn a_write_removes_what_it_meets_and_nothing_else(
        reads in prop::collection::vec((0..5usize, 0..6usize), 1..20),
        writes in prop::collection::vec((0..5usize, 0..6usize), 1..6),
    ) {
        let (mut cache, now) = (Cache::new(), Instant::now());
        let reads: Vec<_> = reads.iter().map(|(key, end)| request(KEYS[*key], ENDS[*end], 0)).collect();
        for read in &reads {
            cache.add(asked(read), read, answer(1), cache.begin(), now);
        }
        let mut met = vec![false; reads.len()];
        let covers = |key: &str, end: &str, probe: &str| match end {
            "" => probe == key,
            "\0" => probe >= key,
            end => probe >= key && probe < end,
        };
        // every key that matters here: the named ones, their ends, and one behind each
        let probes: Vec<String> = KEYS.iter().chain(&ENDS[2..]).flat_map(|k| [(*k).to_owned(), format!("{k}\0")]).collect();
        for (key, end) in writes {
            let (key, end) = (KEYS[key], ENDS[end]);
            cache.written(span(key, end), 0);
            for (at, read) in reads.iter().enumerate() {
                let (read_key, read_end) = (std::str::from_utf8(&read.key).unwrap(), std::str::from_utf8(&read.range_end).unwrap());
                met[at] |= probes.iter().any(|p| covers(key, end, p) && covers(read_key, read_end, p));
            }
        }
        for (at, read) in reads.iter().enumerate() {
            let is_empty = !read.range_end.is_empty() && read.range_end != "\0" && read.key >= read.range_end;
            // an inverted range holds no key: whether it stays does not matter
            if !is_empty {
                prop_assert_eq!(is_kept(&mut cache, read, now), !met[at], "{:?}", read);
            }
        }
    }
}
