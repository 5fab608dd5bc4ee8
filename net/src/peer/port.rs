//! The seam between the transport and whoever decides. It stands in `messages`, because the owners hold its other side.

pub use messages::peer::*;
