//! Tables for the hub's answers that a client can tell from etcd's.
