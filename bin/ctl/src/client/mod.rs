//! The tools' client: connections and calls of `conclave-client`, read from flags, and what etcdctl makes of them.
//!
//! Must never print an answer: that is the printers' business.

pub mod config;
mod connect;
pub mod hint;
pub mod keep_alive;
pub mod recipes;
pub mod watch;

pub use conclave_client::range;
pub use conclave_client::transport::io_text::io_text;
pub use conclave_client::transport::{
    Config, Failure, Login, Method, Pool as Client, Secure, Until, dial, endpoint, method,
};
pub use connect::connect;
