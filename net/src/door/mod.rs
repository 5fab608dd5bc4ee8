//! The client door: gRPC over HTTP/2 and plain HTTP on the same port, TLS or not, on a few single-threaded loops.
//!
//! The door knows nothing of etcd. A service is a function from bytes and metadata to bytes:
//!
//! ```text
//! Door::new(limits, loops, max_connections, setup)     setup runs once on each loop's thread and returns a LoopSetup:
//!   LoopSetup { methods, http, hooks, observer }
//!     methods: MethodTable   path -> unary(Call, Bytes) | server_stream(CallMeta, Bytes, StreamHandle) | bidi(CallMeta, StreamHandle)
//!     http:    HttpHandler   everything that is not gRPC
//!     hooks:   LoopHooks<M>  on_messages(Vec<M>) from other threads, end_of_round()
//!     observer: DoorObserver metrics
//! runner.run()      on a thread of its own, inside a LocalSet (an actix arbiter)
//! door.listen(..)   anywhere
//! ```
//!
//! The rhythm of a loop is *accept all, hand on as one list, answer all, flush once*: unary handlers collect requests while
//! the loop reads every ready connection, `end_of_round` sends them to the core as one list, answers come back as one list
//! through [`LoopSender`], and everything answered in a round leaves in one write per connection.
//!
//! A service must copy what it keeps for long: a message shares the buffer it was read into (16 KiB and more).
//!
//! Not done, because h2 gives no way: enforcing a least interval between a client's pings (`too_many_pings`). A ping flood is
//! bounded by h2, which owes one answer at a time and reads nothing more until it is written.

mod accept;
mod answer;
mod authority;
mod call;
mod calls;
mod compress;
mod conn;
mod conn_shared;
mod event_loop;
mod expiry;
mod flood_protection;
mod frame;
mod h2_input;
mod head;
mod hpack;
mod http;
mod huffman;
mod inbox;
mod input;
mod io;
mod limits;
mod local;
mod local_call;
mod local_message;
mod local_slot;
mod long_calls;
mod loop_handle;
mod meta;
mod method;
mod method_info;
mod observer;
mod open;
mod peer;
mod pipe;
mod read;
mod record;
mod reservation;
mod respond;
mod send;
mod server;
mod slab;
mod state;
mod status;
mod stream;
mod token;
mod upgraded;
mod wake;
mod wakeups;

pub use accept::ListenSpec;
pub use answer::{Answer, AnswerSource, Message};
pub use call::Call;
pub use calls::{Inbound, StreamEvents, StreamHandle};
pub use event_loop::{LoopHooks, LoopRunner, LoopSetup, SetupFn};
pub use http::{HttpBody, HttpHandler, HttpRequest, text};
pub use inbox::LoopSender;
pub use input::{Gone, HttpInput, InputPipe};
pub use limits::DoorLimits;
pub use local::{LocalMeta, LocalStream};
pub use local_call::LocalCall;
pub use local_message::LocalMessage;
pub use loop_handle::LoopHandle;
pub use meta::CallMeta;
pub use method::{BidiHandler, MethodTable, ServerStreamHandler, UnaryHandler};
pub use method_info::{MethodInfo, MethodKind};
pub use observer::{DoorObserver, NoObserver};
pub use peer::{Peer, PeerTls};
pub use record::{CallRecord, Ended};
pub use reservation::RequestRoom;
pub use server::{Door, Listener};
pub use status::{Code, Status};
pub use stream::SendError;
pub use token::CallToken;
pub use upgraded::{UpgradeFn, Upgraded};
