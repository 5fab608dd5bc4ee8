//! The rules about users as clients ask for them, and looks at the keys of leases on somebody's behalf.
//!
//! Must never decide anything by itself: the rules are in `storage::auth`.

use bytes::Bytes;
use messages::auth::{AuthRules, CheckLeases};
use model::request::TxnRequest;
use model::{AuthRefusal, Caller, KeyRange, ReadError};
use std::sync::Arc;
use storage::auth::{Access, AuthState};
use storage::engine::Snapshot;
use storage::read::meta;
use storage::view::View;

/// Keys of a lease that are looked at together.
const KEYS: usize = 1_000;

/// The rules of one view.
pub struct PublishedRules(pub Arc<AuthState>);

impl AuthRules for PublishedRules {
    fn revision(&self) -> u64 {
        self.0.revision()
    }

    fn check_admin(&self, caller: &Caller) -> Result<(), AuthRefusal> {
        self.0.check_admin(caller)
    }

    fn check_known(&self, caller: &Caller) -> Result<(), AuthRefusal> {
        self.0.check_known(caller)
    }

    fn check_read(&self, caller: &Caller, range: &KeyRange) -> Result<(), AuthRefusal> {
        self.0.check(caller, Access::Read, range)
    }

    fn check_read_txn(&self, caller: &Caller, txn: &TxnRequest) -> Result<(), AuthRefusal> {
        // nothing is put, so no lease is asked for
        self.0.check_txn(caller, txn, &mut |_| Ok::<_, AuthRefusal>(()))
    }

    fn password_hash(&self, name: &str) -> Result<Bytes, AuthRefusal> {
        self.0.password_hash(name)
    }
}

/// Whether a caller may see or change every key of a lease, or of all leases.
///
/// # Errors
/// [`ReadError::Auth`], [`ReadError::Store`].
pub fn check_leases<S: Snapshot>(view: &View<S>, check: &CheckLeases) -> Result<(), ReadError> {
    let CheckLeases { caller, lease, write } = check;
    if view.auth.check_admin(caller).is_ok() {
        return Ok(());
    }
    let access = if *write { Access::Write } else { Access::Read };
    match lease {
        Some(id) => check_lease(view, caller, access, *id),
        None => meta::leases(view)?.into_iter().try_for_each(|(id, _)| check_lease(view, caller, access, id)),
    }
}

fn check_lease<S: Snapshot>(view: &View<S>, caller: &Caller, access: Access, id: i64) -> Result<(), ReadError> {
    let mut from = Vec::new();
    loop {
        let (keys, more) = meta::attached_keys_from(view, id, &from, KEYS)?;
        if let Some(last) = keys.last() {
            from = [last, &b"\0"[..]].concat();
        }
        for key in keys {
            view.auth.check(caller, access, &KeyRange::new(key, Bytes::new()))?;
        }
        if !more {
            return Ok(());
        }
    }
}
