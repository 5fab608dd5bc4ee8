//! Simulated watch clients: streams, what each watcher still has to be sent, and what it was sent.
//!
//! A watcher survives crashes as a client library's does: it is created again behind what it has seen. Must never forgive an
//! event that is missing, doubled, early or different.

use super::clients::key_range;
use super::params::Params;
use super::replay::{Change, Replay};
use super::rng::Rng;
use super::running::CLIENT_SINK;
use super::violation::{Checked, hold, violated};
use bytes::Bytes;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::{Event, EventType, KeyRange};
use prost::Message;

const STREAMS: usize = 3;
const WATCHERS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Asked,
    Live,
    Ending,
}

#[derive(Clone, Debug)]
struct Watcher {
    id: i64,
    spec: CreateWatch,
    life: Life,
    /// Everything before this revision was sent or promised; zero while the start is not known.
    next: i64,
    /// Changes below this place are dealt with.
    place: usize,
    /// The same, with fragments of a response that is not complete.
    partial: usize,
    /// The newest revision told to any client when it was created.
    told: i64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    open: bool,
    /// The machine whose member it is open at, or was.
    at: usize,
    key: u64,
    watchers: Vec<Watcher>,
    next_id: i64,
    /// Bytes taken and not yet granted again.
    owed: usize,
}

/// See the file header.
#[derive(Debug, Default)]
pub struct Watching {
    streams: Vec<Stream>,
    next_key: u64,
    settling: bool,
    /// Events received.
    pub events: u64,
    /// Promises of progress received.
    pub promises: u64,
    /// Watchers ended because their start was compacted away.
    pub compacted: u64,
}

impl Watcher {
    fn wants(&self, change: &Change) -> bool {
        let filtered = if change.kv.is_some() { self.spec.no_put } else { self.spec.no_delete };
        !filtered && change.main >= self.next && self.spec.range.contains(&change.key)
    }

    /// The next change to be sent, from `place` on.
    fn due<'r>(&self, replay: &'r Replay, place: usize) -> Option<(usize, &'r Change)> {
        replay.changes().iter().enumerate().skip(place).find(|(_, change)| self.wants(change))
    }

    fn event(&mut self, event: &Event, replay: &Replay, name: &str) -> Checked {
        let Some((at, change)) = self.due(replay, self.partial) else {
            return violated("SIM-WATCH-ORDER", format!("{name}: an event of nothing: {event:?}"));
        };
        let kind = if change.kv.is_some() { EventType::Put } else { EventType::Delete };
        let tombstone = model::KeyValue { key: change.key.clone(), mod_revision: change.main, ..Default::default() };
        let kv = change.kv.as_ref().unwrap_or(&tombstone);
        hold("SIM-WATCH-ORDER", event.r#type == kind as i32 && event.kv.as_ref() == Some(kv), || {
            format!("{name}: due is {kind:?} {kv:?}, sent was {event:?}")
        })?;
        let prev = change.prev.as_ref().filter(|_| self.spec.prev_kv);
        let gone = change.main <= replay.now().compact;
        hold("SIM-WATCH-PREV", event.prev_kv.as_ref() == prev || (gone && event.prev_kv.is_none()), || {
            format!("{name}: before {kv:?} was {prev:?}, sent was {:?}", event.prev_kv)
        })?;
        self.partial = at + 1;
        Ok(())
    }

    /// A response is complete: it must end with a whole revision.
    fn response(&mut self, replay: &Replay, name: &str) -> Checked {
        self.place = self.partial;
        let Some(last) = self.place.checked_sub(1).and_then(|at| replay.changes().get(at)) else { return Ok(()) };
        let split = self.due(replay, self.place).is_some_and(|(_, change)| change.main == last.main);
        hold("SIM-WATCH-WHOLE", !split, || format!("{name}: revision {} was sent in part", last.main))?;
        self.next = self.next.max(last.main + 1);
        Ok(())
    }

    fn progress(&mut self, revision: i64, replay: &Replay, name: &str) -> Checked {
        let due = self.due(replay, self.place).filter(|(_, change)| change.main <= revision);
        hold("SIM-WATCH-PROGRESS", due.is_none(), || {
            format!("AI-14: {name}: progress {revision} promised before {:?} was sent", due.map(|d| d.1))
        })?;
        self.next = self.next.max(revision + 1);
        Ok(())
    }
}

impl Watching {
    /// Some stream.
    pub fn pick(&mut self, rng: &mut Rng) -> usize {
        if self.streams.is_empty() {
            self.streams = vec![Stream::default(); STREAMS];
        }
        rng.below(STREAMS as u64) as usize
    }

    /// Where a stream is open.
    pub fn machine_of(&self, stream: usize) -> Option<usize> {
        self.streams.get(stream).filter(|stream| stream.open).map(|stream| stream.at)
    }

    /// A stream is closed by its client, who goes on elsewhere.
    pub fn abandon(&mut self, stream: usize) -> ToHub {
        let stream = &mut self.streams[stream];
        stream.open = false;
        ToHub::CloseStream { stream: StreamKey { sink: CLIENT_SINK, token: stream.key } }
    }

    /// One thing a watch client does with a stream, at this machine's member.
    pub fn act(
        &mut self,
        at: usize,
        machine: usize,
        rng: &mut Rng,
        params: &Params,
        replay: &Replay,
        told: i64,
    ) -> Vec<ToHub> {
        let mut out = self.open(at, machine, rng, told);
        let stream = &mut self.streams[at];
        let key = StreamKey { sink: CLIENT_SINK, token: stream.key };
        match rng.below(10) {
            0..4 if stream.watchers.len() < WATCHERS => {
                let create = stream.create(rng, params, replay, told);
                out.push(ToHub::Create { stream: key, create });
            }
            4 if !stream.watchers.is_empty() => {
                let nth = rng.below(stream.watchers.len() as u64) as usize;
                let watcher = &mut stream.watchers[nth];
                watcher.life = Life::Ending;
                out.push(ToHub::Cancel { stream: key, watch_id: watcher.id });
            }
            5..8 => out.push(ToHub::Progress { stream: key }),
            8 if rng.chance(20) => {
                stream.open = false;
                out.push(ToHub::CloseStream { stream: key });
            }
            _ => out.push(ToHub::Credit { stream: key, bytes: std::mem::take(&mut stream.owed) }),
        }
        out
    }

    /// Opens a stream that is not, and resumes its watchers.
    fn open(&mut self, at: usize, machine: usize, rng: &mut Rng, told: i64) -> Vec<ToHub> {
        let stream = &mut self.streams[at];
        if stream.open {
            return Vec::new();
        }
        self.next_key += 1;
        (stream.open, stream.key, stream.owed, stream.at) = (true, self.next_key, 0, machine);
        let key = StreamKey { sink: CLIENT_SINK, token: stream.key };
        let mut out = vec![ToHub::OpenStream { stream: key, credit: rng.pick(&[300, 4_000, 1 << 20]) }];
        stream.watchers.retain(|w| w.life != Life::Ending);
        for watcher in &mut stream.watchers {
            watcher.life = Life::Asked;
            watcher.partial = watcher.place;
            watcher.spec.start_revision = watcher.next;
            watcher.told = told;
            out.push(ToHub::Create { stream: key, create: watcher.spec.clone() });
        }
        out
    }

    /// Opens everything and grants everything: the end of a run, when all must arrive. `place` is a machine that serves; each stream's
    /// requests go to the machine named with them.
    pub fn settle(&mut self, rng: &mut Rng, told: i64, place: impl Fn(usize) -> usize) -> Vec<(usize, Vec<ToHub>)> {
        let mut out = Vec::new();
        self.settling = true;
        for at in 0..self.streams.len() {
            let machine = self.machine_of(at).unwrap_or_else(|| place(at));
            let mut requests = self.open(at, machine, rng, told);
            let stream = &mut self.streams[at];
            stream.owed = 0;
            let key = StreamKey { sink: CLIENT_SINK, token: stream.key };
            requests.push(ToHub::Credit { stream: key, bytes: 1 << 30 });
            out.push((machine, requests));
        }
        out
    }

    /// A member is gone, and every stream with it.
    pub fn crash(&mut self, machine: usize) {
        self.streams.iter_mut().filter(|stream| stream.at == machine).for_each(|stream| stream.open = false);
    }

    /// Frames of a stream. Returns credit to grant, as much as the client takes at once.
    pub fn frames(
        &mut self,
        key: u64,
        frames: Vec<WatchFrame>,
        rng: &mut Rng,
        replay: &Replay,
    ) -> Checked<Option<ToHub>> {
        let Some(at) = self.streams.iter().position(|s| s.open && s.key == key) else { return Ok(None) };
        for frame in frames {
            self.streams[at].owed += frame.cost();
            let Some(frame) = pulled(frame)? else {
                // what is pulled can be overtaken by a compaction: the stream ends, the client resumes on another one
                self.streams[at].open = false;
                return Ok(Some(ToHub::CloseStream { stream: StreamKey { sink: CLIENT_SINK, token: key } }));
            };
            self.frame(at, frame, replay)?;
        }
        let stream = &mut self.streams[at];
        // a slow client gives it back later; at the end of a run all are quick
        if !self.settling && rng.chance(25) {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut stream.owed);
        Ok(Some(ToHub::Credit { stream: StreamKey { sink: CLIENT_SINK, token: key }, bytes }))
    }

    fn frame(&mut self, at: usize, frame: WatchFrame, replay: &Replay) -> Checked {
        let stream = &mut self.streams[at];
        let newest = replay.now().revision;
        let name = |id: i64| format!("stream {at} watcher {id}");
        match frame {
            WatchFrame::Created { watch_id, revision } => {
                let Some(watcher) = stream.find(watch_id) else { return Ok(()) };
                hold("SIM-WATCH-START", revision >= watcher.told && revision <= newest, || {
                    format!("{}: created at {revision}, known was {}, newest is {newest}", name(watch_id), watcher.told)
                })?;
                if watcher.life == Life::Asked {
                    watcher.life = Life::Live;
                }
                let start = watcher.spec.start_revision;
                watcher.next = watcher.next.max(if start == 0 { revision + 1 } else { start });
                Ok(())
            }
            WatchFrame::Events { watch_id, revision, events, fragment } => {
                let Some(watcher) = stream.find(watch_id) else { return Ok(()) };
                hold("SIM-WATCH-HEADER", revision <= newest, || format!("{}: header {revision}", name(watch_id)))?;
                for event in &events {
                    watcher.event(&decode(event, &name(watch_id))?, replay, &name(watch_id))?;
                }
                self.events += events.len() as u64;
                if fragment { Ok(()) } else { watcher.response(replay, &name(watch_id)) }
            }
            WatchFrame::Oversized { .. } => unreachable!("pulled before"),
            WatchFrame::Progress { watch_id, revision } => {
                self.promises += 1;
                hold("SIM-WATCH-HEADER", revision <= newest, || format!("{}: progress {revision}", name(watch_id)))?;
                let covered = stream.watchers.iter_mut().filter(|w| w.life == Life::Live);
                for watcher in covered.filter(|w| watch_id == -1 || w.id == watch_id) {
                    watcher.progress(revision, replay, &name(watcher.id))?;
                }
                Ok(())
            }
            WatchFrame::Canceled { watch_id, compact_revision, reason, .. } => {
                let Some(watcher) = stream.find(watch_id) else {
                    return violated("SIM-WATCH-ASKED", format!("{}: cancelled: {reason}", name(watch_id)));
                };
                let wished = watcher.life == Life::Ending;
                let passed = compact_revision != 0 && watcher.next < compact_revision;
                hold("SIM-WATCH-ASKED", wished || (passed && compact_revision <= replay.now().compact), || {
                    format!("{}: cancelled at {compact_revision}, due is {}: {reason:?}", name(watch_id), watcher.next)
                })?;
                self.compacted += u64::from(compact_revision != 0);
                // one that was compacted away while the client's cancel was on its way is answered twice
                if !(wished && compact_revision != 0) {
                    stream.watchers.retain(|w| w.id != watch_id);
                }
                Ok(())
            }
        }
    }

    /// Every watcher was sent everything.
    pub fn complete(&self, replay: &Replay) -> Checked {
        for (at, stream) in self.streams.iter().enumerate() {
            for watcher in stream.watchers.iter().filter(|w| w.life != Life::Ending) {
                let due = watcher.due(replay, watcher.place);
                hold("SIM-WATCH-COMPLETE", watcher.life == Life::Live && due.is_none(), || {
                    format!("stream {at} watcher {}: {:?}, still due: {due:?}", watcher.id, watcher.life)
                })?;
            }
        }
        Ok(())
    }
}

impl Stream {
    fn find(&mut self, id: i64) -> Option<&mut Watcher> {
        self.watchers.iter_mut().find(|w| w.id == id)
    }

    fn create(&mut self, rng: &mut Rng, params: &Params, replay: &Replay, told: i64) -> CreateWatch {
        self.next_id += 1;
        let newest = replay.now().revision;
        let start_revision = match rng.below(10) {
            0..4 => 0,
            4..8 => (newest - rng.below(20) as i64).max(1),
            8 => replay.now().compact.max(1),
            _ => newest + rng.below(6) as i64,
        };
        let range: KeyRange = key_range(rng, params);
        let spec = CreateWatch {
            watch_id: self.next_id,
            range,
            start_revision,
            progress_notify: rng.chance(30),
            no_put: rng.chance(8),
            no_delete: rng.chance(8),
            prev_kv: rng.chance(40),
            fragment: rng.chance(40),
        };
        let watcher = Watcher {
            id: self.next_id,
            spec: spec.clone(),
            life: Life::Asked,
            next: start_revision,
            place: 0,
            partial: 0,
            told,
        };
        self.watchers.push(watcher);
        spec
    }
}

/// The event inside of one encoded `events` field.
/// The events of a frame that only names them, as the door pulls them. `None`: a compaction was faster.
fn pulled(frame: WatchFrame) -> Checked<Option<WatchFrame>> {
    let WatchFrame::Oversized { watch_id, revision, events: oversized, .. } = frame else { return Ok(Some(frame)) };
    let Some(mut source) = oversized.take() else {
        return violated("SIM-WATCH-ORDER", format!("watcher {watch_id}: the events of {revision} were taken before"));
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    loop {
        match source.next(500) {
            Ok(Some(chunk)) => {
                bytes += chunk.len() as u64;
                split(chunk, &mut events);
            }
            Ok(None) => break,
            Err(_) => return Ok(None),
        }
    }
    hold("SIM-WATCH-LENGTH", bytes == oversized.bytes, || {
        format!("watcher {watch_id}: {bytes} bytes of revision {revision}, announced were {}", oversized.bytes)
    })?;
    Ok(Some(WatchFrame::Events { watch_id, revision, events, fragment: false }))
}

/// Whole `events` fields, apart. What is no field shows when it is decoded.
fn split(mut chunk: Bytes, events: &mut Vec<Bytes>) {
    while !chunk.is_empty() {
        let mut rest = &chunk[1..];
        let length = prost::encoding::decode_varint(&mut rest).map_or(rest.len(), |length| length as usize);
        let whole = chunk.len() - rest.len() + length;
        events.push(chunk.split_to(whole.min(chunk.len())));
    }
}

fn decode(field: &Bytes, name: &str) -> Checked<Event> {
    let mut bytes = field.clone();
    let event = prost::encoding::decode_key(&mut bytes)
        .ok()
        .filter(|(tag, _)| *tag == 11)
        .and_then(|_| Event::decode_length_delimited(&mut bytes).ok());
    match event {
        Some(event) => Ok(event),
        None => violated("SIM-WATCH-ORDER", format!("{name}: an event that does not decode")),
    }
}
