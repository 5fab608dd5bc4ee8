//! Whether the caller of an entry may do what it says, and commands about users and roles.
//!
//! The checks are etcd's at apply; what etcd checks in its API alone was checked by the member that was asked. Must never look at
//! anything but the entry and replicated state: the keys of a lease come from its rows.

use super::StateMachine;
use super::failure::Run;
use crate::auth::{Access, AuthChange};
use crate::engine::{Engine, Family};
use crate::schema::meta;
use model::auth::AuthCommand;
use model::{Caller, Command, KeyRange, Outcome};
use std::sync::Arc;

impl<E: Engine> StateMachine<E> {
    /// Refuses what the caller may not do.
    pub(super) fn authorize(&mut self, caller: &Caller, command: &Command) -> Run<()> {
        if !self.auth.enabled() || *caller == Caller::Internal {
            return Ok(());
        }
        let auth = self.auth.clone();
        match command {
            Command::Put(put) => auth.check_put(caller, put, &mut |id| self.authorize_lease(caller, id)),
            Command::DeleteRange(delete) => Ok(auth.check_delete(caller, delete)?),
            Command::Txn(txn) => auth.check_txn(caller, txn, &mut |id| self.authorize_lease(caller, id)),
            Command::LeaseRevoke(request) => self.authorize_lease(caller, request.id),
            Command::Auth(command) => Ok(auth.check_command(caller, command)?),
            Command::Compaction(_) | Command::LeaseGrant(_) | Command::LeaseCheckpoint(_) => Ok(()),
            Command::Alarm(_) | Command::ClusterVersionSet(_) | Command::MemberAttrSet(_) => Ok(()),
            Command::DowngradeInfoSet(_) => Ok(()),
            // the v2 API has users of its own, whom the member that was asked has looked at
            Command::V2(_) => Ok(()),
        }
    }

    /// Who changes a lease must be allowed to write every key that it holds: they go with it. A lease that does not exist holds none.
    fn authorize_lease(&mut self, caller: &Caller, id: i64) -> Run<()> {
        if self.auth.check_admin(caller).is_ok() {
            return Ok(());
        }
        if self.reattached.contains(&id) {
            self.commit()?;
        }
        let mut from = meta::attached(id, &[]);
        loop {
            let (keys, next) = self.attached(id, &from)?;
            for key in keys {
                self.auth.check(caller, Access::Write, &KeyRange::new(key, Default::default()))?;
            }
            let Some(next) = next else { return Ok(()) };
            from = next;
        }
    }

    /// Carries out a command about users, roles or tokens; its caller may give it.
    pub(super) fn auth_command(&mut self, index: u64, caller: &Caller, command: &AuthCommand) -> Run<Outcome> {
        let AuthChange { outcome, state, rows, tokens } = self.auth.apply(caller, command, index)?;
        for (key, value) in rows {
            match value {
                Some(value) => self.batch.put(Family::Meta, key, value),
                None => self.batch.delete(Family::Meta, key),
            }
        }
        if let Some(state) = state {
            self.auth = Arc::new(state);
        }
        self.effects.tokens.extend(tokens);
        Ok(Outcome::Auth(outcome))
    }
}
