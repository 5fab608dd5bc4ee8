//! Alarms that a member raises by itself.
//!
//! Must never disarm one: that is the operator's.

use crate::client::{Client, ClientError};
use model::request::{AlarmAction, AlarmRequest};
use model::{AlarmMember, Command};

/// Whether an alarm stands.
pub(crate) fn is_raised(client: &Client, alarm: AlarmMember) -> bool {
    client.ports().reads.status().alarms.contains(&alarm)
}

/// Raises an alarm, and waits until it stands.
///
/// # Errors
/// [`ClientError`].
pub(crate) async fn raise(client: &Client, alarm: AlarmMember) -> Result<(), ClientError> {
    let AlarmMember { member_id, alarm } = alarm;
    let request = AlarmRequest { action: AlarmAction::Activate as i32, member_id, alarm: alarm as i32 };
    client.execute(Command::Alarm(request)).await.map(drop)
}
