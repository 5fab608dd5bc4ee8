//! Whether a request whose connection broke may have arrived. Must never say no when it is not sure.

use super::dial::Spent;
use std::error::Error;
use std::io;
use tonic::Status;

/// False only when it is certain that the request never left: its connection was closed before (ours), it waited for a
/// connection that closed (hyper), or the server refused the stream before it looked at it (HTTP/2's REFUSED_STREAM).
pub fn may_have_arrived(status: &Status) -> bool {
    let mut cause = Error::source(status);
    while let Some(why) = cause {
        if why.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Spent>()) {
            return false;
        }
        if why.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return false;
        }
        if why.downcast_ref::<h2::Error>().is_some_and(|why| why.reason() == Some(h2::Reason::REFUSED_STREAM)) {
            return false;
        }
        cause = why.source();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_stream_was_not_looked_at_and_any_other_reset_may_have_been() {
        let status = |reason: h2::Reason| Status::from_error(Box::new(h2::Error::from(reason)));
        assert!(!may_have_arrived(&status(h2::Reason::REFUSED_STREAM)));
        assert!(may_have_arrived(&status(h2::Reason::CANCEL)));
        assert!(may_have_arrived(&Status::unavailable("said by the server")));
    }

    #[test]
    fn a_connection_that_was_closed_before_carries_nothing() {
        let status = |why: io::Error| Status::from_error(Box::new(why));
        assert!(!may_have_arrived(&status(io::Error::other(Spent))));
        assert!(may_have_arrived(&status(io::ErrorKind::ConnectionReset.into())));
    }
}
