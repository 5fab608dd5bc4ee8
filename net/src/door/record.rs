//! What is noted of a call that somebody wants to see in detail: while the log is at its finest, and while its spans are collected.
//!
//! Of all other calls nothing is kept. Must never change how a call is answered.

use super::method_info::MethodInfo;
use super::status::Code;
use crate::spans::CallTrace;
use std::net::SocketAddr;
use std::time::Duration;

/// What is noted of one call.
#[derive(Debug, Default)]
pub struct CallRecord {
    /// What was asked, in words without secrets; empty where the service says nothing.
    pub request: String,
    /// Its spans, while they are collected.
    pub trace: Option<CallTrace>,
}

/// A call that is over.
pub struct Ended<'a> {
    /// Its method.
    pub method: &'a MethodInfo,
    /// How it ended.
    pub code: Code,
    /// From the round in which it came to its end.
    pub took: Duration,
    /// Its client; `None` on a unix socket and inside the process.
    pub remote: Option<SocketAddr>,
    /// It was a stream, or waited for other calls: its length says nothing about this member.
    pub waits: bool,
    /// What was noted of it.
    pub record: Option<Box<CallRecord>>,
}
