//! A QUIC connection that is used in both directions, by a task that sends on it and one that receives from it.
//!
//! Each ends for its own reasons; the connection is closed when both have let go of it, or at once by whoever has a reason to. Only a
//! broken stream may mean that one direction is over and the other still brings something: what a removed member is to hear, say.

use quinn::{Connection, SendStream};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// How long a member that was removed may still be sent what waits for it.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// A share of a connection.
#[derive(Clone, Debug)]
pub struct Shared(Rc<Connected>);

/// A share that whoever has none left of the others may not claim any more.
#[derive(Clone, Debug)]
pub struct WeakShared(Weak<Connected>);

#[derive(Debug)]
struct Connected(Connection);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.close(0_u32.into(), b"closed");
    }
}

impl Shared {
    /// The only share so far.
    pub fn new(connection: Connection) -> Self {
        Self(Rc::new(Connected(connection)))
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.0.0
    }

    /// Closes it for everybody.
    pub fn close(&self, why: &str) {
        self.connection().close(0_u32.into(), why.as_bytes());
    }

    /// Gives this share back because a stream broke. The other direction has as long as a farewell takes, and then the connection is
    /// closed: it must not stay with one direction dead.
    pub fn broken(self, why: &str) {
        if Rc::strong_count(&self.0) == 1 {
            return self.close(why);
        }
        let why = why.to_owned();
        let connection = self.connection().clone();
        actix_rt::spawn(async move {
            tokio::select! {
                _ = connection.closed() => {}
                () = sleep(2 * FAREWELL) => connection.close(0_u32.into(), why.as_bytes()),
            }
        });
    }

    /// A share for later.
    pub fn downgrade(&self) -> WeakShared {
        WeakShared(Rc::downgrade(&self.0))
    }
}

impl WeakShared {
    /// A share, while there is another one.
    pub fn upgrade(&self) -> Option<Shared> {
        self.0.upgrade().map(Shared)
    }
}

/// Control goes before everything else that waits for the same path.
///
/// # Errors
/// The stream is closed.
pub fn put_first(stream: &SendStream) -> io::Result<()> {
    const CONTROL_PRIORITY: i32 = 10;
    stream.set_priority(CONTROL_PRIORITY).map_err(io::Error::other)
}
