//! Keeps one endpoint connected for as long as it is wanted.

use super::dial::{Connection, dial};
use super::pool::Shared;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before a connection that broke is dialled again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that lived longer than this was a good one.
const GOOD: Duration = Duration::from_secs(1);

/// Runs until it is aborted.
pub(super) async fn keep(shared: Arc<Shared>, text: String) {
    let mut pause = FIRST_PAUSE;
    let mut is_told = false;
    loop {
        match dial(shared.config(), &text).await {
            Ok(Connection { channel, closed }) => {
                let begun = Instant::now();
                shared.opened(&text, channel);
                tracing::info!(endpoint = text, "connected to a member");
                // the sender is never used: its end is the message
                let _ = closed.await;
                shared.closed(&text, Some(format!("{text}: the connection was closed")));
                tracing::warn!(endpoint = text, "lost the connection to a member");
                if begun.elapsed() > GOOD {
                    pause = FIRST_PAUSE;
                }
                is_told = false;
            }
            Err(why) => {
                if !is_told {
                    tracing::warn!(endpoint = text, error = why, "cannot connect to a member; trying again");
                }
                is_told = true;
                shared.closed(&text, Some(why));
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
