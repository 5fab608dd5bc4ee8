//! `soak`: hours of everything at once, every answer checked, one line for each window, a verdict at the end.
//!
//! Must keep its own memory flat: it may run next to the server it judges.

mod ledger;
mod loading;
mod parts;
mod table;

use crate::client::{Channel, connect};
use crate::cmd::{Failed, target};
use crate::flags::Given;
use crate::load::rng::Rng;
use crate::load::{Plan, drive};
use crate::proc;
use crate::report::Recorder;
use ledger::{Ledger, Seen};
use parts::Work;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use table::{HEAD, Limits, Row, rendered, verdict};
use tokio::task::{JoinSet, spawn_local};

/// Connections of the writers unless told otherwise.
const CONNS: usize = 20;
/// How long the watchers may take for the last events.
const PATIENCE: Duration = Duration::from_secs(60);
/// A limit that no run reaches.
const ENDLESS: u64 = u64::MAX;

/// Runs a soak.
///
/// # Errors
/// A server that cannot be loaded; [`Failed::Verdict`] when it went through and failed.
pub async fn run(given: &Given) -> Result<(), Failed> {
    let soak = Soak::prepare(given).await?;
    let mut page = Page::open(given)?;
    page.say(&format!("# Soak of {}\n\n", given.text("endpoints")))?;
    for line in loading::load(given, &soak.ledger, &soak.writing).await? {
        page.say(&format!("- {line}\n"))?;
    }
    page.say(&format!("\n{HEAD}"))?;
    let (rows, missing) = soak.run(given, &mut page).await?;
    let limits = Limits { rss: given.number("max-rss-mib") << 20, disk: given.number("max-disk-mib") << 20 };
    let (faults, first) = soak.ledger.faults();
    let findings = verdict(&rows, limits, missing, faults);
    for words in first {
        page.say(&format!("\n    fault: {words}"))?;
    }
    page.say(&rendered(&findings))?;
    match findings.iter().all(|finding| finding.passed) {
        true => Ok(()),
        false => Err(Failed::Verdict("the soak failed".into())),
    }
}

/// Standard output, and the report's file.
struct Page(Option<File>);

impl Page {
    fn open(given: &Given) -> Result<Self, Failed> {
        let open = |path: PathBuf| {
            File::create(&path).map_err(|why| Failed::File(format!("cannot write {}", path.display()), why))
        };
        Ok(Self(given.path("report").map(open).transpose()?))
    }

    fn say(&mut self, words: &str) -> Result<(), Failed> {
        if let Some(file) = &mut self.0 {
            file.write_all(words.as_bytes())?;
        }
        let mut out = std::io::stdout();
        out.write_all(words.as_bytes())?;
        Ok(out.flush()?)
    }
}

struct Soak {
    ledger: Rc<Ledger>,
    writing: Vec<Rc<Channel>>,
    /// One each for readers, watchers and the operator, so that none waits behind another.
    reading: Rc<Channel>,
    watching: Rc<Channel>,
    operating: Rc<Channel>,
    work: Rc<Work>,
    seen: Vec<Rc<RefCell<Seen>>>,
    seed: u64,
}

impl Soak {
    async fn prepare(given: &Given) -> Result<Self, Failed> {
        let (keys, leases) = (given.count("keys"), given.number("leases"));
        if keys < given.count("writers").max(1) {
            return Err(Failed::Usage("--keys must not be less than --writers".into()));
        }
        let seed = match given.number("seed") {
            0 => Rng::arbitrary_seed(),
            seed => seed,
        };
        let ledger = Rc::new(Ledger::new(keys, leases.min(keys as u64), given.count("val-size"), seed));
        let target = target(given)?;
        let conns = if given.count("conns") > 1 { given.count("conns") } else { CONNS };
        let writing = connect(&target, conns).await?;
        let [reading, watching, operating] =
            [Channel::connect(&target).await?, Channel::connect(&target).await?, Channel::connect(&target).await?];
        let ranges = parts::watched(keys, given.count("watchers"));
        let seen = ranges.into_iter().map(|range| Rc::new(RefCell::new(Seen::new(range)))).collect();
        Ok(Self { ledger, writing, reading, watching, operating, work: Rc::default(), seen, seed })
    }

    /// Writes for the time asked for; returns the table and the events that never came.
    async fn run(&self, given: &Given, page: &mut Page) -> Result<(Vec<Row>, u64), Failed> {
        let mut others = JoinSet::new();
        self.watch(&mut others);
        self.operate(given, &mut others);
        let (puts, reads) = (Recorder::new("put"), Recorder::new("read"));
        puts.take_window();
        reads.take_window();
        let run = given.duration("run");
        let writers = spawn_local(self.write(given, run, puts.clone()));
        let readers = spawn_local(self.read(given, run, reads.clone()));
        let mut gauge = Gauge::new(given, &self.ledger, puts, reads);
        let window = given.duration("window").max(Duration::from_millis(100));
        let mut rows = Vec::new();
        let start = Instant::now();
        while !writers.is_finished() {
            let end = start + window * (rows.len() as u32 + 1);
            while Instant::now() < end && !writers.is_finished() {
                tokio::time::sleep(end.saturating_duration_since(Instant::now()).min(Duration::from_millis(100))).await;
            }
            // what is left of the last window is no measure
            if writers.is_finished() && !rows.is_empty() && Instant::now() < end - window / 10 {
                break;
            }
            let row = gauge.row(start, &self.work, &self.seen);
            page.say(&row.line())?;
            rows.push(row);
        }
        for task in [writers, readers] {
            task.await.map_err(std::io::Error::other)??;
        }
        self.work.stop.set(true);
        let patience = Instant::now() + PATIENCE;
        while self.missing() > 0 && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok((rows, self.missing()))
    }

    fn missing(&self) -> u64 {
        self.seen.iter().map(|seen| seen.borrow().missing(&self.ledger)).sum()
    }

    fn write(
        &self,
        given: &Given,
        run: Duration,
        recorder: Rc<Recorder>,
    ) -> impl Future<Output = std::io::Result<()>> + use<> {
        let writers = given.count("writers").max(1);
        let plan = Plan {
            clients: writers,
            total: ENDLESS,
            rate: given.fraction("rate"),
            from_send: false,
            duration: Some(run),
        };
        let (ledger, channels) = (self.ledger.clone(), self.writing.clone());
        let (encoder, rng) = (RefCell::default(), RefCell::new(Rng::new(self.seed ^ 1)));
        async move {
            drive(&plan, &channels, &[recorder], async move |client, channel: &Channel, _| {
                // writer c owns the keys c, c + writers, c + 2 * writers …
                let mine = (ledger.keys() - client).div_ceil(writers) as u64;
                let number = client + rng.borrow_mut().below(mine) as usize * writers;
                (0, parts::write(&ledger, channel, &encoder, number).await)
            })
            .await
        }
    }

    fn read(
        &self,
        given: &Given,
        run: Duration,
        recorder: Rc<Recorder>,
    ) -> impl Future<Output = std::io::Result<()>> + use<> {
        let readers = given.count("readers");
        let plan = Plan { clients: readers, total: ENDLESS, rate: 0.0, from_send: false, duration: Some(run) };
        let (ledger, channel) = (self.ledger.clone(), self.reading.clone());
        let rng = RefCell::new(Rng::new(self.seed ^ 2));
        let keep = given.number("keep-revisions") as i64;
        async move {
            if readers == 0 {
                return Ok(());
            }
            drive(&plan, &[channel], &[recorder], async move |_, channel: &Channel, _| {
                (0, parts::read(&ledger, channel, &rng, keep).await)
            })
            .await
        }
    }

    fn watch(&self, others: &mut JoinSet<()>) {
        let from = self.ledger.revision.get() + 1;
        for seen in &self.seen {
            others.spawn_local(parts::watch(self.ledger.clone(), self.watching.clone(), from, seen.clone()));
        }
    }

    fn operate(&self, given: &Given, others: &mut JoinSet<()>) {
        let keep = given.number("keep-revisions") as i64;
        let each = |name: &str| (self.ledger.clone(), self.work.clone(), given.duration(name));
        let (ledger, channel, last) = (self.ledger.clone(), self.operating.clone(), Cell::new(0));
        let (l, w, every) = each("compact-every");
        others.spawn_local(parts::repeat(l, w, every, "compact", async move || {
            parts::compact(&ledger, &channel, keep, &last).await
        }));
        let channel = self.operating.clone();
        let (l, w, every) = each("defrag-every");
        others.spawn_local(parts::repeat(l, w, every, "defrag", async move || parts::defragment(&channel).await));
        let channel = self.operating.clone();
        let (l, w, every) = each("snapshot-every");
        others.spawn_local(parts::repeat(l, w, every, "snapshot", async move || parts::snapshot(&channel).await));
    }
}

/// Takes the measure of one window after the other.
struct Gauge {
    ledger: Rc<Ledger>,
    puts: Rc<Recorder>,
    reads: Rc<Recorder>,
    pid: u32,
    data_dir: Option<PathBuf>,
    last: Instant,
    events: u64,
    cpu: Duration,
    faults: u64,
}

impl Gauge {
    fn new(given: &Given, ledger: &Rc<Ledger>, puts: Rc<Recorder>, reads: Rc<Recorder>) -> Self {
        let pid = given.number("pid") as u32;
        let cpu = proc::cpu(pid).unwrap_or_default();
        let (ledger, data_dir) = (ledger.clone(), given.path("data-dir"));
        Self { ledger, puts, reads, pid, data_dir, last: Instant::now(), events: 0, cpu, faults: 0 }
    }

    fn row(&mut self, start: Instant, work: &Work, seen: &[Rc<RefCell<Seen>>]) -> Row {
        let now = Instant::now();
        let span = now.duration_since(std::mem::replace(&mut self.last, now)).as_secs_f64();
        let (puts, reads) = (self.puts.take_window(), self.reads.take_window());
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let events: u64 = seen.iter().map(|seen| seen.borrow().events).sum();
        let came = events - std::mem::replace(&mut self.events, events);
        let all = seen.first().map_or(0, |seen| seen.borrow().events);
        let cpu = proc::cpu(self.pid).unwrap_or_default();
        let used = cpu.saturating_sub(std::mem::replace(&mut self.cpu, cpu));
        let faults = self.ledger.faults().0;
        Row {
            at: start.elapsed().as_secs_f64().round() as u64,
            puts: puts.len() as f64 / span,
            p50_ms: ms(puts.value_at_quantile(0.5)),
            p99_ms: ms(puts.value_at_quantile(0.99)),
            p999_ms: ms(puts.value_at_quantile(0.999)),
            max_ms: ms(puts.max()),
            reads: reads.len() as f64 / span,
            read_p99_ms: ms(reads.value_at_quantile(0.99)),
            events: came as f64 / span,
            lag: self.ledger.writes.get().saturating_sub(all),
            rss: proc::resident(self.pid).unwrap_or(0),
            disk: self.data_dir.as_deref().and_then(|dir| proc::disk(dir).ok()).unwrap_or(0),
            cpu_us: used.as_secs_f64() * 1e6 / (puts.len() as f64).max(1.0),
            work: work.take(),
            faults: faults - std::mem::replace(&mut self.faults, faults),
        }
    }
}
