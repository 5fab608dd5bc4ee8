//! The JSON gateway: etcd's API as JSON over HTTP/1.1, HTTP/2 and WebSocket, below `/v3/` of the client port.
//!
//! A request becomes the protobuf message of its RPC and calls the same method, by the same table, as one that came by gRPC: nothing
//! here decides what a request does or who may make it. Paths, texts and forms are those of etcd 3.7.1, whose gateway is made of
//! grpc-gateway, protojson and grpc-websocket-proxy.
//!
//! | file | does |
//! |---|---|
//! | `paths` | which path is which method |
//! | `metadata` | headers of a request to metadata of a call |
//! | `requests` | the body of a request to messages, one after the other |
//! | `lines` | messages of a stream to lines |
//! | `reply` | answers and refusals |
//! | `serve` | one request, from its path to its answer |
//! | `json/` | JSON and protobuf |
//! | `websocket/` | frames, handshake, and a connection of them |

pub mod json;
mod lines;
mod metadata;
mod paths;
mod reply;
mod requests;
mod serve;
mod websocket;

pub use paths::{PATHS, WITHOUT_PATH};
pub use serve::Gateway;
