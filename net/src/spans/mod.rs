//! Distributed tracing: spans of calls from the door to the store, for a collector that speaks OTLP.
//!
//! ```text
//! door:      Tracer::begin     is this call traced? its parent says so (`traceparent`), or the sampling rate
//! services:  CallTrace         operation with its attributes, events, what other owners took for it
//! door:      drop of the call  spans go into a bounded queue
//! export:    Exporter          takes batches out of it and sends them by gRPC
//! ```
//!
//! Without `--enable-distributed-tracing` there is no tracer, and a call costs one look at an empty option. Our own exporter, because
//! the OpenTelemetry crates bring a second gRPC stack with them; what crosses the wire are eight messages (`otlp.rs`). Must never make
//! a call wait: spans that find no room are dropped and counted.

mod call;
mod export;
mod otlp;
mod parent;
mod queue;
#[cfg(test)]
mod tests;
mod tracer;

pub use call::{ASKED, CallTrace, Called, GRANTED, RECEIVED, SENT};
pub use export::{Exporter, Tracing, TracingConfig};
pub use queue::{Attributes, Value};
pub use tracer::Tracer;
