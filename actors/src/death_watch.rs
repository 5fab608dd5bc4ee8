//! Exit is a value and death is never silent: every owner holds a [`DeathWatch`], the node has one [`ExitCell`].
//!
//! Must never exit the process: whoever runs the node decides what its end means.

use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Why a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeExit {
    /// It was asked to.
    Stopped,
    /// This member was removed from the cluster: it has nothing more to do there.
    Removed,
    /// An owner failed: the node stops as a whole and is never repaired in place.
    Failed {
        /// Which owner.
        actor: &'static str,
        /// What happened and what to do.
        why: String,
    },
}

impl fmt::Display for NodeExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Removed => f.write_str(
                "this member was removed from the cluster; its data folder is of no more use: to come back it must be added again \
                 and started with an empty one",
            ),
            Self::Failed { actor, why } => write!(f, "{actor} failed: {why}"),
        }
    }
}

/// Holds the first exit reason; later ones are consequences and are dropped.
#[derive(Clone, Debug)]
pub struct ExitCell(Arc<watch::Sender<Option<NodeExit>>>);

impl Default for ExitCell {
    fn default() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }
}

impl ExitCell {
    /// Notes why the node ends.
    pub fn set(&self, exit: NodeExit) {
        self.0.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(exit);
            }
            first
        });
    }

    /// The reason, if it has ended.
    pub fn get(&self) -> Option<NodeExit> {
        self.0.borrow().clone()
    }

    /// Resolves when the node ends.
    pub async fn wait(&self) -> NodeExit {
        let mut receiver = self.0.subscribe();
        let exit = receiver.wait_for(Option::is_some).await.expect("the sender lives in self");
        exit.clone().expect("waited for it")
    }
}

/// Reports an owner that ends without having said so.
#[derive(Debug)]
pub struct DeathWatch {
    actor: &'static str,
    exit: ExitCell,
    armed: bool,
}

impl DeathWatch {
    /// Watches an owner.
    pub fn new(actor: &'static str, exit: ExitCell) -> Self {
        Self { actor, exit, armed: true }
    }

    /// The owner failed: the node stops.
    pub fn fail(&mut self, why: impl fmt::Display) {
        self.armed = false;
        tracing::error!(actor = self.actor, error = %why, "actor failed, the node stops");
        self.exit.set(NodeExit::Failed { actor: self.actor, why: why.to_string() });
    }

    /// The owner ends the node because this member was removed.
    pub fn removed(mut self) {
        self.armed = false;
        tracing::error!("{}", NodeExit::Removed);
        self.exit.set(NodeExit::Removed);
    }

    /// The owner ends because it was asked to.
    pub fn finish(mut self) {
        self.armed = false;
    }
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if self.armed {
            let why = if std::thread::panicking() { "it panicked" } else { "it ended without being asked to" };
            self.fail(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_and_the_first_reason_stays() {
        let exit = ExitCell::default();
        let watched = exit.clone();
        let thread = std::thread::spawn(move || {
            let _watch = DeathWatch::new("wal", watched);
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        exit.set(NodeExit::Stopped);
        assert_eq!(exit.get(), Some(NodeExit::Failed { actor: "wal", why: "it panicked".into() }));
    }

    #[test]
    fn an_orderly_end_says_nothing() {
        let exit = ExitCell::default();
        DeathWatch::new("wal", exit.clone()).finish();
        assert_eq!(exit.get(), None);
    }
}
