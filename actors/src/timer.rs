//! A timer thread for an actor: an actix interval never fires while its mailbox is full, and shares its thread with the work.
//!
//! Must never do anything but call.

use crate::death_watch::{DeathWatch, ExitCell};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::time::{Duration, Instant};

/// Calls `beat` every `interval` until the returned end is dropped. Beats missed by a pause are not made up for.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    name: &'static str,
    interval: Duration,
    exit: &ExitCell,
    mut beat: impl FnMut() + Send + 'static,
) -> std::io::Result<Sender<()>> {
    let (sender, stop) = bounded::<()>(0);
    let watch = DeathWatch::new(name, exit.clone());
    std::thread::Builder::new().name(name.into()).spawn(move || {
        let mut next = Instant::now() + interval;
        while let Err(RecvTimeoutError::Timeout) = stop.recv_deadline(next) {
            beat();
            next = (next + interval).max(Instant::now());
        }
        watch.finish();
    })?;
    Ok(sender)
}
