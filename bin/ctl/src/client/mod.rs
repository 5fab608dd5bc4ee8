//! A client of the etcd API: several endpoints with fail-over, TLS, login, and etcd's rules for what may be sent again.
//!
//! Must never print an answer: that is the printers' business.

pub mod config;
pub mod dial;
pub mod endpoint;
pub mod failure;
mod io_text;
pub mod keep_alive;
pub mod method;
mod pool;
mod preface;
mod proxy;
pub mod range;
pub mod recipes;
pub mod srv;
mod tls;
mod tls_text;
pub mod watch;

pub use self::tls::Secure;
pub use config::Config;
pub use failure::Failure;
pub use io_text::io_text;
pub use pool::{Client, Until};
