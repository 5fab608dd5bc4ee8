//! What a put, a delete and a transaction need: every operation and comparison of both branches, at every depth.
//!
//! Keys of leases are not known here; the caller looks at them. Must never look at which branch will be taken.

use super::state::{Access, AuthState};
use model::request::{DeleteRangeRequest, PutRequest, RequestOp, RequestUnion, TxnRequest};
use model::{AuthRefusal, Caller, KeyRange};

impl AuthState {
    /// Whether a caller may put a key. `lease` judges the lease that the key is to be tied to.
    ///
    /// # Errors
    /// Those of [`Self::check`], and of `lease`.
    pub fn check_put<E: From<AuthRefusal>>(
        &self,
        caller: &Caller,
        put: &PutRequest,
        lease: &mut dyn FnMut(i64) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = KeyRange::new(put.key.clone(), Default::default());
        self.check(caller, Access::Write, &key)?;
        // who may not revoke a lease may not tie keys to it either
        if put.lease != 0 {
            lease(put.lease)?;
        }
        if put.prev_kv {
            self.check(caller, Access::Read, &key)?;
        }
        Ok(())
    }

    /// Whether a caller may delete a range.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn check_delete(&self, caller: &Caller, delete: &DeleteRangeRequest) -> Result<(), AuthRefusal> {
        let range = KeyRange::new(delete.key.clone(), delete.range_end.clone());
        self.check(caller, Access::Write, &range)?;
        if delete.prev_kv { self.check(caller, Access::Read, &range) } else { Ok(()) }
    }

    /// Whether a caller may run a transaction. `lease` judges leases as in [`Self::check_put`].
    ///
    /// # Errors
    /// Those of [`Self::check`], and of `lease`.
    pub fn check_txn<E: From<AuthRefusal>>(
        &self,
        caller: &Caller,
        txn: &TxnRequest,
        lease: &mut dyn FnMut(i64) -> Result<(), E>,
    ) -> Result<(), E> {
        for compare in &txn.compare {
            let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
            self.check(caller, Access::Read, &range)?;
        }
        for RequestOp { request } in txn.success.iter().chain(&txn.failure) {
            match request {
                Some(RequestUnion::Range(read)) => {
                    let range = KeyRange::new(read.key.clone(), read.range_end.clone());
                    self.check(caller, Access::Read, &range)?;
                }
                Some(RequestUnion::Put(put)) => self.check_put(caller, put, lease)?,
                Some(RequestUnion::DeleteRange(delete)) => self.check_delete(caller, delete)?,
                Some(RequestUnion::Txn(nested)) => self.check_txn(caller, nested, lease)?,
                None => {}
            }
        }
        Ok(())
    }
}
