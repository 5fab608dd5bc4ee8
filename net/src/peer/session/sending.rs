//! The sending end of a direction: messages, vitals and calls out, echoes and answers back, until one of its streams breaks or nothing
//! comes back.
//!
//! Life is told by echoes of vitals alone: a datagram that arrives proves nothing about who sent it. Nothing that was queued survives the
//! connection.

use super::context::Context;
use super::offer::Standing;
use super::pending::Pending;
use super::registry::StandingDial;
use super::shared::Shared;
use crate::peer::codec::frame::Frame;
use crate::peer::codec::lane::Lane;
use crate::peer::codec::talk::Vitals;
use crate::peer::lanes::outbox::{Asked, Outbox};
use crate::peer::lanes::queue::QueueReceiver;
use crate::peer::lanes::read::{FrameStream, ReadHalf, StreamError};
use crate::peer::lanes::write::{Batch, WriteHalf, gather};
use crate::peer::metrics::PeerCounters;
use raft::Message;
use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// A connection to send on, agreed on by both members.
pub struct SendingLink {
    /// Control out, echoes back.
    pub control: (WriteHalf, ReadHalf),
    /// Appends out.
    pub append: WriteHalf,
    /// Calls out, answers back.
    pub calls: (WriteHalf, ReadHalf),
    /// Which run of the peer is at the other end.
    pub epoch: u64,
    /// What carries it.
    pub kind: ConnectionKind,
    /// Who dialled it.
    pub origin: Origin,
}

/// Who dialled a connection.
pub enum Origin {
    /// This member. The dial stands as long as the connection, when that is used both ways.
    Here(Option<StandingDial>),
    /// The peer. How the connection stands among those that were accepted.
    There(watch::Receiver<Standing>),
}

/// What carries a connection.
pub enum ConnectionKind {
    /// QUIC.
    Quic(Shared),
    /// TCP and TLS, a connection per lane, closed when it is dropped.
    Tcp,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// A stream broke.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// Nothing came back.
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    /// A newer run of the peer showed itself.
    #[error("the peer has restarted")]
    NewerRun,
    /// A newer connection of the peer is used instead.
    #[error("a newer connection of the peer replaces it")]
    Replaced,
    /// Asked to.
    #[error("it was closed")]
    Closed,
}

/// Runs a connection to its end, or until `close` resolves.
pub async fn run(context: &Context, outbox: &Outbox, link: SendingLink, close: impl Future<Output = End>) -> End {
    // its dial stands until the end of this
    let SendingLink { control, append, calls, epoch: _, kind, origin: _origin } = link;
    let counters = &outbox.counters;
    let ends = context.ends(outbox.peer);
    let over_tcp = matches!(kind, ConnectionKind::Tcp);
    counters.over_tcp.store(over_tcp, Relaxed);
    let mut inlets = outbox.connect(&context.config.limits);
    let pending = Pending::default();
    let heard = Cell::new(Instant::now());
    let mut control_out = control.0;
    let mut append_out = append;
    let mut calls_out = calls.0;
    let echoes = FrameStream::new(control.1, ends, Lane::Echoes, counters.clone());
    let answers = FrameStream::new(calls.1, ends, Lane::Answers, counters.clone());
    let end = tokio::select! {
        biased;
        end = close => end,
        end = read_echoes(context, echoes, &heard, counters) => end,
        end = write_control(context, outbox, &mut inlets.control, &mut control_out) => end,
        end = write_append(context, outbox, &mut inlets.append, &mut append_out) => end,
        end = read_answers(answers, &pending) => end,
        end = write_calls(outbox, &mut inlets.calls, &mut calls_out, &pending) => end,
        end = look_after(context, &heard, &pending, &kind, counters) => end,
    };
    let never_left = outbox.disconnect(inlets).await;
    pending.lose();
    if let ConnectionKind::Quic(connection) = kind {
        let why = end.to_string();
        match &end {
            End::Stream(_) => connection.broken(&why),
            End::Silent(_) | End::NewerRun | End::Replaced | End::Closed => connection.close(&why),
        }
    }
    counters.over_tcp.store(false, Relaxed);
    context.inbound.unreachable(outbox.peer, never_left);
    end
}

fn broken(why: std::io::Error) -> End {
    End::Stream(StreamError::Io(why))
}

/// Control messages as they come, and vitals with every pulse.
async fn write_control(
    context: &Context,
    outbox: &Outbox,
    queue: &mut QueueReceiver<Message>,
    out: &mut WriteHalf,
) -> End {
    let mut pulse = interval(context.config.pulse());
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Batch::new(Lane::Control);
    loop {
        tokio::select! {
            biased;
            _ = pulse.tick() => {
                let vitals = Vitals { stamp: context.stamp(), echo: 0, ..(**context.vitals.load()).clone() };
                batch.add(&Frame::Vitals(vitals)).expect("vitals fit: their hashes are limited");
                if let Some(message) = queue.ready() {
                    gather_into(context, outbox, message, queue, &mut batch);
                }
            }
            message = queue.next() => {
                let Some(message) = message else { return End::Closed };
                gather_into(context, outbox, message, queue, &mut batch);
            }
        }
        if let Err(why) = batch.write(out, &outbox.counters).await {
            return broken(why);
        }
    }
}

async fn write_append(
    context: &Context,
    outbox: &Outbox,
    queue: &mut QueueReceiver<Message>,
    out: &mut WriteHalf,
) -> End {
    let mut batch = Batch::new(Lane::Append);
    while let Some(message) = queue.next().await {
        gather_into(context, outbox, message, queue, &mut batch);
        if let Err(why) = batch.write(out, &outbox.counters).await {
            return broken(why);
        }
    }
    End::Closed
}

/// What the other side would refuse never leaves, and raft is told so.
fn gather_into(
    context: &Context,
    outbox: &Outbox,
    first: Message,
    queue: &mut QueueReceiver<Message>,
    batch: &mut Batch,
) {
    let refused = gather(first, queue, batch);
    if refused.is_empty() {
        return;
    }
    let mut never_left = Vec::new();
    for (message, why) in refused {
        outbox.counters.sent_failures.fetch_add(1, Relaxed);
        tracing::error!(peer = format_args!("{:x}", outbox.peer), error = %why, "a message to a peer cannot be sent");
        never_left.push(message);
    }
    context.inbound.unreachable(outbox.peer, never_left);
}

async fn write_calls(outbox: &Outbox, queue: &mut QueueReceiver<Asked>, out: &mut WriteHalf, pending: &Pending) -> End {
    let mut batch = Batch::new(Lane::Calls);
    while let Some(asked) = queue.next().await {
        let mut next = Some(asked);
        while let Some(asked) = next {
            if let Some(call) = pending.leaving(asked) {
                let id = call.id;
                if batch.add(&Frame::Call(call)).is_err() {
                    pending.did_not_leave(id);
                }
            }
            next = if batch.is_full() { None } else { queue.ready() };
        }
        if let Err(why) = batch.write(out, &outbox.counters).await {
            return broken(why);
        }
    }
    End::Closed
}

async fn read_echoes(
    context: &Context,
    mut echoes: FrameStream,
    heard: &Cell<Instant>,
    counters: &PeerCounters,
) -> End {
    loop {
        let frames = match echoes.next().await {
            Ok(frames) => frames,
            Err(why) => return why.into(),
        };
        heard.set(Instant::now());
        for frame in frames {
            let Frame::Vitals(vitals) = frame else { continue };
            // a stamp that this side never set measures nothing
            if let Some(took) = context.stamp().checked_sub(vitals.echo).filter(|_| vitals.echo != 0) {
                counters.round_trip.observe(Duration::from_micros(took));
            }
        }
    }
}

async fn read_answers(mut answers: FrameStream, pending: &Pending) -> End {
    loop {
        let frames = match answers.next().await {
            Ok(frames) => frames,
            Err(why) => return why.into(),
        };
        for frame in frames {
            if let Frame::Answer(answer) = frame {
                pending.answered(answer);
            }
        }
    }
}

/// Ends calls whose patience is over, and the connection when it has been silent for too long.
async fn look_after(
    context: &Context,
    heard: &Cell<Instant>,
    pending: &Pending,
    kind: &ConnectionKind,
    counters: &PeerCounters,
) -> End {
    let pulse = context.config.pulse();
    let silence = context.config.silence();
    let mut patience = Patience::new(pulse);
    let mut lost = 0;
    let mut congested = 0;
    loop {
        sleep(pulse).await;
        let now = Instant::now();
        pending.expire(now);
        if let ConnectionKind::Quic(connection) = kind {
            let path = connection.connection().stats().path;
            counters.lost_packets.fetch_add(path.lost_packets - lost, Relaxed);
            counters.congestion_events.fetch_add(path.congestion_events - congested, Relaxed);
            lost = path.lost_packets;
            congested = path.congestion_events;
        }
        if patience.silent_for(now, heard.get()) > silence {
            return End::Silent(silence);
        }
    }
}

/// How long a peer has been silent, as far as this side has listened: while this thread or process stood still, what the peer said waits
/// unread, and must be read before it is called silent.
#[derive(Debug)]
pub struct Patience {
    pulse: Duration,
    looked: Instant,
    stood_still: Option<(Instant, Duration)>,
}

impl Patience {
    /// Looks are taken every `pulse`.
    pub fn new(pulse: Duration) -> Self {
        Self { pulse, looked: Instant::now(), stood_still: None }
    }

    /// The silence since `heard`, seen at `now`.
    pub fn silent_for(&mut self, now: Instant, heard: Instant) -> Duration {
        let late = now.saturating_duration_since(self.looked).saturating_sub(2 * self.pulse);
        self.looked = now;
        if !late.is_zero() {
            let before = self.stood_still.filter(|(from, _)| *from >= heard).map_or(Duration::ZERO, |(_, sum)| sum);
            self.stood_still = Some((now, before + late));
        }
        let excused = self.stood_still.filter(|(at, _)| *at >= heard).map_or(Duration::ZERO, |(_, sum)| sum);
        now.saturating_duration_since(heard).saturating_sub(excused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_this_side_is_not_a_silence_of_the_other() {
        let pulse = Duration::from_millis(10);
        let mut patience = Patience::new(pulse);
        let start = patience.looked;
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(patience.silent_for(at(10), at(0)), Duration::from_millis(10));
        assert!(patience.silent_for(at(2_000), at(0)) < Duration::from_millis(50), "stood still");
        assert!(patience.silent_for(at(2_010), at(0)) < Duration::from_millis(60), "still excused");
        assert_eq!(patience.silent_for(at(2_020), at(2_015)), Duration::from_millis(5));
        for look in 0..50 {
            patience.silent_for(at(2_030 + look * 10), at(2_015));
        }
        assert!(patience.silent_for(at(2_530), at(2_015)) > Duration::from_millis(500), "silent it is");
    }
}
