//! Linearizable reads from memory, of keys that this proxy alone may hand out.
//!
//! Beside such a key lies a *leasing key* under the proxy's lease. Whoever writes through a proxy (or etcd's client package
//! `leasing`) with the same prefix asks the owner to give the key up and waits until the leasing key is gone; a write on another
//! way is not seen. Callers with a token are never answered from memory: members judge each caller for himself.
//!
//! [`table`] decides what is kept, [`guard`] builds the transactions, [`protocol`] carries them out, [`tasks`] hold the lease and
//! hear what others ask for. Must never hold logic of its own.

mod guard;
mod protocol;
mod table;
mod tasks;

pub(super) use guard::written;
pub(crate) use protocol::Leasing;
pub(super) use protocol::unexpected;
pub(crate) use tasks::{follow, hold_lease};
