//! Every RPC and HTTP path of a member, against the embedded node: answers, headers, errors to the letter.
//!
//! Must never depend on another test: each has a node of its own.

mod auth;
mod auth_depths;
mod auth_matrix;
mod big;
mod certificates;
mod claims;
mod cluster;
mod debug;
mod election;
mod errors;
mod gateway;
mod http;
mod independent_model;
mod kv;
mod learner;
mod lease;
mod lock;
mod maintenance;
mod members;
mod metrics;
mod monitoring;
mod observe;
mod quota;
mod range;
mod refusals;
mod snapshot;
mod stream;
mod tracing;
mod txn;
mod v2;
mod v2_users;
mod watch;
mod watch_fragments;
mod watch_many;
mod watch_oversized;
