//! Rules that hold for every call, whatever its service: what a learner serves, and what is asked of a member without a leader.
//!
//! A stream whose client requires a leader ends when there has been none for three election timeouts: opening a stream anew costs
//! more than refusing a call, so streams are given more time. Must never end a stream whose client did not ask for that.

use super::client_services::ClientServices;
use super::leader_required::{Absence, LeaderRequired};
use super::status;
use crate::door::{CallMeta, Status, StreamHandle};
use std::sync::atomic::Ordering::Acquire;

/// Whether a learner serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLearner {
    /// As any member.
    Served,
    /// Not at all.
    Refused,
}

fn requires_leader(meta: &CallMeta) -> bool {
    meta.get("hasleader") == Some(b"true")
}

impl ClientServices {
    /// Rules for every call.
    ///
    /// # Errors
    /// etcd's answer.
    pub(super) fn admit(&self, meta: &CallMeta, on_learner: OnLearner) -> Result<(), Status> {
        let gauges = &self.ports().gauges;
        if on_learner == OnLearner::Refused && gauges.learner.load(Acquire) {
            return Err(status::NOT_FOR_LEARNER);
        }
        if meta.get("client-api-version").is_some_and(|v| std::str::from_utf8(v).is_err()) {
            return Err(status::INVALID_CLIENT_API_VERSION);
        }
        if requires_leader(meta) && gauges.leader_id().is_none() {
            return Err(status::NO_LEADER);
        }
        Ok(())
    }

    /// Rules for every stream.
    ///
    /// # Errors
    /// etcd's answer.
    pub(super) fn admit_stream(
        &self,
        meta: &CallMeta,
        stream: &StreamHandle,
        on_learner: OnLearner,
    ) -> Result<(), Status> {
        self.admit(meta, on_learner)?;
        if requires_leader(meta) {
            let streams = self.leader_required();
            streams.open.borrow_mut().push(stream.clone());
            if !streams.looked_after.replace(true) {
                actix_rt::spawn(look_after(self.clone(), streams.clone()));
            }
        }
        Ok(())
    }

    /// The same for a stream that shows data: a member whose data is not that of the others has none to show.
    ///
    /// # Errors
    /// etcd's answer.
    pub(super) fn admit_data_stream(
        &self,
        meta: &CallMeta,
        stream: &StreamHandle,
        on_learner: OnLearner,
    ) -> Result<(), Status> {
        if self.ports().gauges.fenced.load(Acquire) {
            return Err(status::CORRUPT);
        }
        self.admit_stream(meta, stream, on_learner)
    }
}

/// Ends the streams when there has been no leader for too long. Runs while there are any.
async fn look_after(services: ClientServices, streams: LeaderRequired) {
    let mut absence = Absence::default();
    loop {
        actix_rt::time::sleep(services.config().election).await;
        if absence.lasts_too_long(services.ports().gauges.leader_id().is_some()) {
            // an ended stream may close others: nothing is borrowed meanwhile
            let ended = streams.open.take();
            ended.iter().for_each(|stream| stream.finish(status::NO_LEADER));
            services.end_of_round();
        }
        let mut open = streams.open.borrow_mut();
        open.retain(StreamHandle::is_open);
        if open.is_empty() {
            streams.looked_after.set(false);
            return;
        }
    }
}
