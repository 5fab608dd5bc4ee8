//! Tables for the hub's answers that a client can tell from etcd's.

use super::config::HubConfig;
use super::hub::{DUPLICATE_ID, EMPTY_RANGE, Hub, NEGATIVE_START};
use super::testing::{Change, Store, expected, stream, watch};
use crate::wiring::events::WatchEvent;
use messages::watch::{CreateWatch, ToHub, WatchFrame};

const MANY: usize = 1 << 30;

struct Rig {
    store: Store,
    hub: Hub,
}

impl Rig {
    fn new(commits: usize, ring_bytes: usize) -> Self {
        Self::with(commits, HubConfig { ring_bytes, progress_interval: 1_000, ..HubConfig::for_requests(1 << 20) })
    }

    fn with(commits: usize, config: HubConfig) -> Self {
        let mut store = Store::default();
        let mut hub = Hub::new(config, store.position());
        hub.requests(vec![ToHub::OpenStream { stream: stream(1), credit: MANY }], store.position());
        for _ in 0..commits {
            store.commit(&[Change::Put(0)], 1);
        }
        hub.advanced(store.position(), Some(store.list_since(1)));
        Self { store, hub }
    }

    fn commit(&mut self, changes: &[Change]) {
        let before = self.store.revision();
        self.store.commit(changes, 1);
        self.hub.advanced(self.store.position(), Some(self.store.list_since(before)));
    }

    fn request(&mut self, request: ToHub) -> Vec<WatchFrame> {
        self.hub.requests(vec![request], self.store.position());
        self.frames()
    }

    fn create(&mut self, create: CreateWatch) -> Vec<WatchFrame> {
        self.request(ToHub::Create { stream: stream(1), create })
    }

    /// Does all work that is asked for.
    fn frames(&mut self) -> Vec<WatchFrame> {
        let mut out = Vec::new();
        loop {
            let work = self.hub.take_jobs();
            out.extend(self.hub.take_frames().into_iter().flat_map(|(_, frames)| frames));
            if work.is_empty() {
                return out;
            }
            work.into_iter().for_each(|work| self.hub.done(work.run(&self.store.source())).expect("the store works"));
        }
    }
}

fn refused(frames: &[WatchFrame], text: &str) -> bool {
    matches!(frames, [WatchFrame::Canceled { watch_id: -1, created: true, compact_revision: 0, reason, .. }] if reason == text)
}

fn created(id: i64, revision: i64) -> WatchFrame {
    WatchFrame::Created { watch_id: id, revision }
}

#[test]
fn ids_count_from_zero_and_taken_ones_are_refused() {
    let mut rig = Rig::new(3, MANY);
    let with_id = |watch_id| CreateWatch { watch_id, ..watch("a", "") };
    assert_eq!(rig.create(with_id(0)), [created(0, 4)]);
    assert_eq!(rig.create(with_id(1)), [created(1, 4)]);
    assert!(refused(&rig.create(with_id(1)), DUPLICATE_ID));
    assert_eq!(rig.create(with_id(0)), [created(2, 4)], "the next free one");
    assert!(refused(&rig.create(watch("b", "a")), EMPTY_RANGE));
    assert!(refused(&rig.create(CreateWatch { start_revision: -1, ..watch("a", "") }), NEGATIVE_START));
    assert_eq!(rig.create(with_id(0)), [created(3, 4)], "a refusal takes no id");
}

#[test]
fn cancel_is_answered_once_and_unknown_ids_are_not() {
    let mut rig = Rig::new(1, MANY);
    rig.create(watch("a", ""));
    let cancel = |watch_id| ToHub::Cancel { stream: stream(1), watch_id };
    assert!(rig.request(cancel(7)).is_empty());
    let canceled =
        WatchFrame::Canceled { watch_id: 0, created: false, revision: 2, compact_revision: 0, reason: "".into() };
    assert_eq!(rig.request(cancel(0)), [canceled]);
    assert!(rig.request(cancel(0)).is_empty());
    rig.commit(&[Change::Put(0)]);
    assert!(rig.frames().is_empty());
}

#[test]
fn a_compacted_start_cancels_and_the_id_stays_taken_until_the_client_cancels() {
    for ring_bytes in [0, MANY] {
        let mut rig = Rig::new(9, ring_bytes);
        rig.store.compact = 5;
        let from = |start_revision| CreateWatch { start_revision, ..watch("a", "") };
        let gone = |watch_id| WatchFrame::Canceled {
            watch_id,
            created: false,
            revision: 0,
            compact_revision: 5,
            reason: String::new(),
        };
        assert_eq!(rig.create(from(4)), [created(0, 10), gone(0)]);
        let progress = ToHub::Progress { stream: stream(1) };
        assert!(rig.request(progress.clone()).is_empty(), "it withholds progress");
        assert_eq!(rig.request(ToHub::Cancel { stream: stream(1), watch_id: 0 }).len(), 1);
        let frames = rig.create(from(5));
        assert!(matches!(&frames[..], [_, WatchFrame::Events { events, .. }] if events.len() == 6), "{frames:?}");
        assert_eq!(rig.request(progress), [WatchFrame::Progress { watch_id: -1, revision: 10 }]);
    }
}

#[test]
fn a_compaction_takes_nothing_from_watchers_that_memory_can_still_serve() {
    let mut rig = Rig::new(0, MANY);
    rig.request(ToHub::OpenStream { stream: stream(2), credit: 0 });
    rig.request(ToHub::Create { stream: stream(2), create: watch("a", "b") });
    (0..5).for_each(|_| rig.commit(&[Change::Put(0)]));
    rig.store.compact = 6;
    rig.commit(&[Change::Put(1)]);
    let frames = rig.request(ToHub::Credit { stream: stream(2), bytes: MANY });
    assert!(matches!(&frames[..], [WatchFrame::Events { events, .. }] if events.len() == 6), "{frames:?}");
}

#[test]
fn a_future_start_sees_nothing_older_and_withholds_progress() {
    let mut rig = Rig::new(1, MANY);
    rig.create(CreateWatch { start_revision: 5, progress_notify: true, ..watch("a", "") });
    rig.hub.tick(5_000);
    assert!(rig.request(ToHub::Progress { stream: stream(1) }).is_empty());
    rig.commit(&[Change::Put(0)]);
    rig.commit(&[Change::Put(0)]);
    assert!(rig.frames().is_empty());
    rig.commit(&[Change::Put(0)]);
    assert!(matches!(&rig.frames()[..], [WatchFrame::Events { revision: 5, .. }]));
}

#[test]
fn a_start_now_is_behind_what_was_published_even_when_the_hub_has_not_heard_of_it() {
    let mut rig = Rig::new(1, MANY);
    rig.store.commit(&[Change::Put(0)], 1);
    assert_eq!(rig.create(watch("a", "")), [created(0, 3)]);
    assert!(rig.request(ToHub::Progress { stream: stream(1) }).is_empty(), "the hub is not that far");
    rig.hub.advanced(rig.store.position(), Some(rig.store.list_since(2)));
    assert_eq!(rig.frames(), [WatchFrame::Progress { watch_id: -1, revision: 3 }]);
    rig.commit(&[Change::Put(0)]);
    assert!(matches!(&rig.frames()[..], [WatchFrame::Events { revision: 4, events, .. }] if events.len() == 1));
}

#[test]
fn filters_and_previous_values() {
    let mut rig = Rig::new(0, MANY);
    rig.create(CreateWatch { no_put: true, prev_kv: true, ..watch("a", "") });
    rig.create(CreateWatch { no_delete: true, ..watch("a", "") });
    // the previous value is still in the ring
    rig.commit(&[Change::Put(0)]);
    rig.frames();
    rig.commit(&[Change::Delete(0)]);
    rig.commit(&[Change::Put(0)]);
    let delete = &rig.store.history[1].events[0].clone();
    let put = rig.store.history[2].events[0].clone();
    let event =
        |watch_id, revision, bytes| WatchFrame::Events { watch_id, revision, events: vec![bytes], fragment: false };
    let with_prev = expected(delete, rig.store.prev(3, delete).as_ref());
    assert_eq!(rig.frames(), [event(0, 3, with_prev), event(1, 4, expected(&put, None))]);
}

#[test]
fn quiet_watchers_are_told_of_progress_and_busy_ones_are_not() {
    let mut rig = Rig::new(1, MANY);
    rig.hub.tick(10_000);
    rig.create(CreateWatch { progress_notify: true, ..watch("a", "") });
    rig.create(CreateWatch { progress_notify: true, ..watch("b", "") });
    rig.create(watch("b", ""));
    rig.hub.tick(10_600);
    rig.commit(&[Change::Put(0)]);
    rig.frames();
    rig.hub.tick(11_000);
    assert_eq!(rig.frames(), [WatchFrame::Progress { watch_id: 1, revision: 3 }]);
    rig.hub.tick(11_600);
    assert_eq!(rig.frames(), [WatchFrame::Progress { watch_id: 0, revision: 3 }]);
}

#[test]
fn a_watcher_is_not_told_what_another_one_of_its_id_asked_for() {
    let mut rig = Rig::new(3, MANY);
    let with_id = CreateWatch { watch_id: 5, ..watch("a", "") };
    rig.create(CreateWatch { progress_notify: true, ..with_id.clone() });
    rig.request(ToHub::Cancel { stream: stream(1), watch_id: 5 });
    rig.create(with_id);
    rig.hub.tick(10_000);
    rig.hub.tick(20_000);
    assert!(rig.frames().is_empty());
}

#[test]
fn a_lost_list_is_read_from_the_store_and_later_ones_wait_for_it() {
    let mut rig = Rig::new(1, MANY);
    rig.create(watch("a", "b"));
    rig.store.commit(&[Change::Put(0)], 1);
    rig.hub.advanced(rig.store.position(), None);
    let work = rig.hub.take_jobs();
    rig.commit(&[Change::Put(1)]);
    assert!(rig.hub.take_frames().is_empty() && rig.hub.take_jobs().is_empty());
    work.into_iter().for_each(|work| rig.hub.done(work.run(&rig.store.source())).expect("the store works"));
    assert!(rig.hub.take_jobs().is_empty(), "the later list was kept");
    let frames = rig.frames();
    let revisions: Vec<_> =
        frames.iter().map(|f| matches!(f, WatchFrame::Events { events, .. } if events.len() == 1)).collect();
    assert_eq!(revisions, [true, true]);
}

#[test]
fn slow_streams_divide_the_budget_and_a_fast_one_is_not_held_back() {
    let mut store = Store::default();
    let config = HubConfig { sent_bytes: 100 << 10, ..HubConfig::for_requests(1 << 20) };
    let mut hub = Hub::new(config, store.position());
    let open = |token| ToHub::OpenStream { stream: stream(token), credit: 64 << 10 };
    let create =
        |token| ToHub::Create { stream: stream(token), create: CreateWatch { start_revision: 2, ..watch("a", "b") } };
    // somebody must be there, or the ring stays empty
    hub.requests(vec![open(1000), ToHub::Create { stream: stream(1000), create: watch("x", "") }], store.position());
    for _ in 0..200 {
        store.commit(&[Change::Put(0)], 1000);
    }
    hub.advanced(store.position(), Some(store.list_since(1)));
    hub.take_frames();
    let mut sent = Vec::new();
    for token in 0..100 {
        hub.requests(vec![open(token), create(token)], store.position());
        let frames = hub.take_frames().into_iter().flat_map(|(_, frames)| frames);
        sent.push(frames.map(|f| f.cost()).sum::<usize>());
    }
    // the first has all its credit, the last the least share and one revision more
    assert!(sent[0] > 48 << 10 && sent[99] < 10 << 10, "{sent:?}");
    assert!(sent.iter().sum::<usize>() < 1200 << 10, "{sent:?}");
    let mut got = sent[99];
    let mut rounds = 0;
    while got < 200 * 1000 {
        hub.requests(vec![ToHub::Credit { stream: stream(99), bytes: got }], store.position());
        let more: usize = hub.take_frames().into_iter().flat_map(|(_, frames)| frames).map(|f| f.cost()).sum();
        assert!(more > 0, "the stream that takes its frames stands still at {got}");
        got += more;
        rounds += 1;
    }
    assert!(rounds < 40, "{rounds} rounds");
}

#[test]
fn previous_values_of_a_revision_are_read_by_one_job() {
    let mut rig = Rig::new(0, MANY);
    let every = |change: fn(u8) -> Change| (0..6).map(change).collect::<Vec<_>>();
    rig.commit(&every(Change::Put));
    rig.create(CreateWatch { prev_kv: true, ..watch("a", "\0") });
    rig.store.commit(&every(Change::Delete), 1);
    rig.hub.advanced(rig.store.position(), Some(rig.store.list_since(2)));
    let work = rig.hub.take_jobs();
    assert_eq!(work.len(), 1, "{work:?}");
    work.into_iter().for_each(|work| rig.hub.done(work.run(&rig.store.source())).expect("the store works"));
    assert!(rig.hub.take_jobs().is_empty(), "everything was asked for at once");
    let frames = rig.frames();
    assert!(matches!(&frames[..], [WatchFrame::Events { events, .. }] if events.len() == 6), "{frames:?}");
}

#[test]
fn an_oversized_revision_is_pulled_whole_and_the_stream_goes_on_behind_it() {
    let mut rig = Rig::with(1, HubConfig { oversized_bytes: 40, ..HubConfig::for_requests(1 << 20) });
    rig.create(watch("a", "b"));
    rig.create(watch("c", ""));
    rig.create(CreateWatch { prev_kv: true, fragment: true, ..watch("a", "") });
    rig.store.commit(&[Change::Put(0), Change::Put(1), Change::Put(3)], 100);
    rig.hub.advanced(rig.store.position(), None);
    let frames = rig.frames();
    let pull = |n: i64, events: &[&WatchEvent], prev: bool| {
        let Some(WatchFrame::Oversized { events: pulled, revision: 3, fragment, .. }) =
            frames.iter().find(|f| matches!(f, WatchFrame::Oversized { watch_id, .. } if *watch_id == n))
        else {
            panic!("{frames:?}")
        };
        assert_eq!(*fragment, prev);
        let mut source = pulled.take().expect("not taken before");
        let mut bytes = Vec::new();
        while let Some(chunk) = source.next(1).expect("reads") {
            bytes.extend_from_slice(&chunk);
        }
        let prev_of = |e: &WatchEvent| rig.store.prev(3, e).filter(|_| prev);
        let wanted: Vec<_> = events.iter().map(|e| expected(e, prev_of(e).as_ref())).collect();
        assert_eq!(bytes, wanted.concat());
        assert_eq!(pulled.bytes, bytes.len() as u64);
    };
    let all = &rig.store.history[1].events;
    pull(0, &[&all[0], &all[1]], false);
    pull(2, &[&all[0]], true);
    assert_eq!(frames.len(), 2, "a watcher of another key gets nothing: {frames:?}");
    // more than one frame's credit is out on the stream, so the next one waits for the client
    rig.request(ToHub::Credit { stream: stream(1), bytes: WatchFrame::OVERSIZED_COST * 2 });
    rig.commit(&[Change::Put(0)]);
    assert_eq!(rig.frames().len(), 2);
}
