//! Alarms of members: raise, disarm, list. Few by nature, so all of them are held.
//!
//! What a standing alarm refuses is written in `command`. Must never raise one by itself.

use super::StateMachine;
use crate::engine::{Engine, Family};
use crate::schema::{Damaged, meta};
use bytes::{BufMut, Bytes};
use model::request::{AlarmAction, AlarmRequest, AlarmType};
use model::{AlarmMember, Outcome};

fn row_key(alarm: &AlarmMember) -> Bytes {
    let mut key = Vec::with_capacity(10);
    key.put_u8(meta::ALARM);
    key.put_u64(alarm.member_id);
    key.put_u8(alarm.alarm as u8);
    key.into()
}

/// Reads a row key.
pub(super) fn from_row_key(key: &[u8]) -> Result<AlarmMember, Damaged> {
    let damaged = Damaged { family: "meta", why: "bad alarm" };
    let (id, kind) = key.get(1..).and_then(|k| k.split_first_chunk::<8>()).ok_or(damaged.clone())?;
    let [kind] = kind else { return Err(damaged) };
    let alarm = AlarmType::try_from(i32::from(*kind)).map_err(|_| damaged)?;
    Ok(AlarmMember { member_id: u64::from_be_bytes(*id), alarm })
}

impl<E: Engine> StateMachine<E> {
    /// Answers with the alarms the request was about. Unknown actions and kinds are about none.
    pub(super) fn alarm(&mut self, request: AlarmRequest) -> Outcome {
        let (Ok(action), Ok(kind)) = (AlarmAction::try_from(request.action), AlarmType::try_from(request.alarm)) else {
            return Outcome::Alarm(Vec::new());
        };
        let asked = AlarmMember { member_id: request.member_id, alarm: kind };
        let found = self.alarms.binary_search(&asked);
        match (action, found) {
            (AlarmAction::Get, _) => {
                let wanted = |a: &&AlarmMember| kind == AlarmType::None || a.alarm == kind;
                Outcome::Alarm(self.alarms.iter().filter(wanted).copied().collect())
            }
            (AlarmAction::Activate, _) if kind == AlarmType::None => Outcome::Alarm(Vec::new()),
            (AlarmAction::Activate, Ok(_)) => Outcome::Alarm(vec![asked]),
            (AlarmAction::Activate, Err(at)) => {
                let mut alarms = self.alarms.to_vec();
                alarms.insert(at, asked);
                self.batch.put(Family::Meta, row_key(&asked), Bytes::new());
                self.alarms = alarms.into();
                self.effects.alarms = true;
                Outcome::Alarm(vec![asked])
            }
            (AlarmAction::Deactivate, Ok(at)) => {
                let mut alarms = self.alarms.to_vec();
                alarms.remove(at);
                self.batch.delete(Family::Meta, row_key(&asked));
                self.alarms = alarms.into();
                self.effects.alarms = true;
                Outcome::Alarm(vec![asked])
            }
            (AlarmAction::Deactivate, Err(_)) => Outcome::Alarm(Vec::new()),
        }
    }
}
