//! One member at a time: its state, its health, its disk. Must never ask another member than the one that is named.

use crate::client::Client;
use crate::error::{Error, Reason};
use crate::transport::method;
use api::etcdserverpb as pb;
pub use api::etcdserverpb::{AlarmMember, HashKvResponse as Hash, StatusResponse as Status};
use std::time::Duration;
use tokio::time::Instant;

/// A key that health checks read. It need not exist.
const HEALTH: &str = "health";

impl Client {
    /// What a member says of itself.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn status(&self, endpoint: &str) -> Result<Status, Error> {
        self.call_at(endpoint, method::STATUS, pb::StatusRequest {}).await
    }

    /// Whether a member serves: how long a read through the whole cluster took. A user who may not read is no sign of illness.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn health(&self, endpoint: &str) -> Result<Duration, Error> {
        let begun = Instant::now();
        let request = pb::RangeRequest { key: HEALTH.into(), ..Default::default() };
        let read: Result<pb::RangeResponse, Error> = self.call_at(endpoint, method::RANGE, request).await;
        match read {
            Err(why) if why.reason() != Some(Reason::PermissionDenied) => Err(why),
            _ => Ok(begun.elapsed()),
        }
    }

    /// Gives what deleted keys left back to the disk. The member may not answer others meanwhile.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn defragment(&self, endpoint: &str) -> Result<(), Error> {
        let client = self.with_timeout(None);
        let _: pb::DefragmentResponse = client.call_at(endpoint, method::DEFRAGMENT, pb::DefragmentRequest {}).await?;
        Ok(())
    }

    /// A hash of everything up to a revision, zero for the current one: equal on all members of one compact revision.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn hash(&self, endpoint: &str, revision: i64) -> Result<Hash, Error> {
        self.call_at(endpoint, method::HASH_KV, pb::HashKvRequest { revision }).await
    }

    /// Hands the lead to a member. The endpoint must be the leader's.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn move_leader(&self, endpoint: &str, target: u64) -> Result<(), Error> {
        let request = pb::MoveLeaderRequest { target_id: target };
        let _: pb::MoveLeaderResponse = self.call_at(endpoint, method::MOVE_LEADER, request).await?;
        Ok(())
    }

    /// Alarms that are raised: full disks, damaged data.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn alarms(&self) -> Result<Vec<AlarmMember>, Error> {
        let request = pb::AlarmRequest { action: pb::AlarmAction::Get.into(), ..Default::default() };
        let raised: pb::AlarmResponse = self.call(method::ALARM, request).await?;
        Ok(raised.alarms)
    }

    /// Takes an alarm back, once its cause is mended.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn disarm(&self, alarm: &AlarmMember) -> Result<(), Error> {
        let action = pb::AlarmAction::Deactivate.into();
        let request = pb::AlarmRequest { action, member_id: alarm.member_id, alarm: alarm.alarm };
        let _: pb::AlarmResponse = self.call(method::ALARM, request).await?;
        Ok(())
    }
}
