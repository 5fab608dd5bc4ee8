//! Connections and raw calls: several endpoints with fail-over, TLS, login, and etcd's rules for what may be sent again.
//!
//! For programs that speak in the messages of the API itself, such as `conclavectl`; everybody else wants
//! [`Client`](crate::Client). Must never know keys or values.

pub mod config;
pub mod dial;
pub mod endpoint;
pub mod failure;
pub mod io_text;
pub mod method;
pub mod pool;
mod preface;
mod proxy;
pub mod secure;
mod sent;
pub mod srv;
mod tls_text;
mod until;

pub use config::{Config, Login};
pub use failure::Failure;
pub use method::Method;
pub use pool::Pool;
pub use secure::{Secure, Tls};
pub use until::Until;
