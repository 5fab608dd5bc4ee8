//! A store that cannot be opened, of a member that is to be rebuilt from the leader: an empty one takes its place until the leader's has come.
//!
//! It stands where the log begins, so that nothing of the log is given up, and knows no membership: with it this member votes and keeps what it
//! is sent, and neither campaigns nor answers. It goes by a name that no snapshot has, and the store pointer never leads to it, so a start that is
//! interrupted, or one without the order to rebuild, finds the damaged store as it was. Must never take the place of a store that another
//! process holds, that a newer version wrote, or that has no room.

use super::{Boot, BootError, Opened, Stores, recover};
use crate::apply::{Bootstrap, MemberIds, MemberRow, OpenError, StateMachine};
use crate::engine::EngineError;
use crate::member::ClusterError;
use crate::member::pointer::store_name;
use crate::wal::{Recovered, Wal};
use raft::ConfState;

/// Asks the others who the members of this member's cluster are: the store that says it cannot be read.
pub type MembersOf<'a> = &'a dyn Fn(MemberIds) -> Result<Vec<(u64, MemberRow)>, ClusterError>;

/// Whether the store of this name is such a one. No snapshot stands at entry zero.
pub(super) fn is_one(name: &str) -> bool {
    name == store_name(0)
}

/// Another store would help.
fn is_damage(why: &BootError) -> bool {
    let engine = |why: &EngineError| matches!(why, EngineError::Corrupt(_) | EngineError::Io { .. });
    match why {
        BootError::Engine(why) => engine(why),
        BootError::Store(OpenError::Fatal(_)) | BootError::Mismatch(_) => true,
        _ => false,
    }
}

impl<S: Stores> Boot<'_, S> {
    /// Opens the log alone, with an empty store beside it, unless nobody has ordered a rebuild or it would not help.
    ///
    /// # Errors
    /// `why`, or that of the log; [`BootError::NotInCluster`] when nobody says who the members are.
    pub(super) fn stand_in(&self, why: BootError) -> Result<(Wal, Recovered, Opened<S::Engine>), BootError> {
        let Some(members_of) = self.rebuild.filter(|_| is_damage(&why)) else { return Err(why) };
        tracing::error!(error = %why, "the store of this member cannot be opened: the leader's takes its place");
        let unchecked = self.open_unchecked()?;
        let meta = unchecked.meta();
        let (wal, recovered) = recover(unchecked)?;
        let identity = MemberIds { cluster_id: meta.cluster, member_id: meta.member };
        let name = store_name(0);
        let failed = |source| BootError::Folder { path: self.member.join(&name), source };
        if self.stores.list().map_err(failed)?.contains(&name) {
            self.stores.remove(&name).map_err(failed)?;
        }
        let first = Bootstrap {
            identity,
            applied: recovered.truncated,
            conf_state: ConfState::default(),
            members: members_of(identity)?,
        };
        let engine = self.stores.open(&name)?;
        crate::apply::bootstrap(engine.as_ref(), &first)?;
        let store = StateMachine::open_with(engine.clone(), self.chunk_bytes)?;
        Ok((wal, recovered, Opened { name, engine, store }))
    }
}
