//! A client for tests: what owners answer it goes into a queue.
//!
//! Must never be slower than whoever answers.

use crossbeam_channel::{Receiver, Sender, unbounded};
use messages::{Reply, ReplySink, Sinks};
use std::sync::Arc;

/// See the file header.
pub(crate) struct TestClient(pub(crate) Sender<Reply>);

impl ReplySink for TestClient {
    fn deliver(&self, replies: Vec<Reply>) {
        replies.into_iter().for_each(|reply| self.0.send(reply).expect("the test listens"));
    }
}

/// The only client there is, and what it is answered.
pub(crate) fn client() -> (Arc<Sinks>, Receiver<Reply>) {
    let (client, answers) = unbounded();
    let sinks = Arc::new(Sinks::default());
    sinks.register(vec![Arc::new(TestClient(client))]);
    (sinks, answers)
}
