//! The services behind the door: plain functions from decoded requests to answers, over messages.
//!
//! Must never know the store, the actors or HTTP. Imports run one way, from the bottom of this table to its top:
//!
//! | file | |
//! |---|---|
//! | [`status`], [`config`], [`check`], [`encode`] | errors to gRPC codes and etcd's texts; settings; the checked door from protobuf to commands; answers spliced from stored bytes |
//! | [`requests`], [`deferred`] | the requests of a round; what deferred calls wait for |
//! | [`leader_required`], [`v2_watchers`] | streams that end without a leader; watchers of the v2 tree |
//! | [`client_services`] | what the services of a connection thread share |
//! | [`member_urls`] | peer URLs of new members |
//! | [`identity`] | who makes a call, and whether he may |
//! | [`admission`] | what holds for every call: learners, and members without a leader |
//! | [`noted`] | what is noted of calls for those who look |
//! | [`describe`] | calls in words, and their operations |
//! | [`unary`], [`quota`], [`reads`], [`pulled`] | unary methods, the space quota, unary reads, large answers that are read while they are sent |
//! | [`kv`], [`range_stream`], [`watch`], [`lease`], [`maintenance`], [`snapshot`], [`cluster`], [`auth`], [`login`], [`health`], [`rebuild`], [`downgrade`] | one service each |
//! | [`concurrency`] | locks and elections |
//! | [`v2`] | what the v2 API asks the owners for |
//! | [`methods`] | the methods of all services |

mod admission;
mod auth;
pub mod check;
mod client_services;
mod cluster;
mod concurrency;
mod config;
mod deferred;
mod describe;
mod downgrade;
mod encode;
mod health;
mod identity;
mod kv;
mod leader_required;
mod lease;
mod login;
pub(crate) mod maintenance;
mod member_urls;
mod methods;
mod noted;
mod pulled;
mod quota;
mod range_stream;
mod reads;
mod rebuild;
mod requests;
mod snapshot;
pub mod status;
mod unary;
pub(crate) mod v2;
mod v2_watchers;
mod watch;

pub use client_services::ClientServices;
pub use config::ServiceConfig;
pub(crate) use config::storage_version;
pub use methods::methods;
