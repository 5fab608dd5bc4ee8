//! An etcd-shaped echo behind the door, for benchmarks of the door alone and for h2spec.
//!
//! `echo 127.0.0.1:2379 [loops] [hop|inline]`: answers every put and range with a header. With `hop` every request goes to
//! another thread and back, in lists, as it does in the server. Holds no data.

use api::etcdserverpb::{PutResponse, RangeResponse, ResponseHeader};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use net::door::{
    Answer, Call, CallToken, Door, DoorLimits, HttpBody, HttpHandler, HttpRequest, ListenSpec, Listener, LoopHandle,
    LoopHooks, LoopSender, LoopSetup, MethodTable, NoObserver, text,
};
use prost::Message;
use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

struct Pages;

impl HttpHandler for Pages {
    fn handle(&self, _: HttpRequest) -> LocalBoxFuture<'static, http::Response<HttpBody>> {
        async { text(http::StatusCode::OK, "ok\n") }.boxed_local()
    }
}

type Hop = (usize, CallToken, Bytes);

struct Services {
    handle: LoopHandle,
    out: RefCell<Vec<Hop>>,
    hop: mpsc::Sender<Vec<Hop>>,
}

impl LoopHooks<(CallToken, Bytes)> for Services {
    fn on_messages(&self, list: Vec<(CallToken, Bytes)>) {
        for (token, answer) in list {
            self.handle.complete(token, Answer::message(answer));
        }
    }

    fn end_of_round(&self) {
        let list = std::mem::take(&mut *self.out.borrow_mut());
        if !list.is_empty() && self.hop.send(list).is_err() {
            eprintln!("the hop thread is gone");
        }
    }
}

fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, make()),
        Err(error) => eprintln!("no runtime: {error}"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().ok_or("usage: echo ADDRESS [LOOPS] [hop|inline]")?;
    let loops: usize = args.next().map_or(Ok(2), |n| n.parse())?;
    let hopping = args.next().as_deref() != Some("inline");

    let (hop, hops) = mpsc::channel::<Vec<Hop>>();
    let setup = Arc::new(move |handle: LoopHandle, _: LoopSender<_>| {
        let services = Rc::new(Services { handle: handle.clone(), out: RefCell::default(), hop: hop.clone() });
        let header = ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 };
        let put = Bytes::from(PutResponse { header: Some(header), prev_kv: None }.encode_to_vec());
        let range = Bytes::from(RangeResponse { header: Some(header), ..Default::default() }.encode_to_vec());
        let mut methods = MethodTable::new();
        for (path, answer) in [("/etcdserverpb.KV/Put", put), ("/etcdserverpb.KV/Range", range)] {
            let s = services.clone();
            methods.unary(path, move |call: Call, _: Bytes| {
                if hopping {
                    s.out.borrow_mut().push((s.handle.index(), call.defer(), answer.clone()));
                } else {
                    call.reply(Answer::message(answer.clone()));
                }
            });
        }
        LoopSetup { methods, http: Rc::new(Pages), hooks: services, observer: Rc::new(NoObserver) }
    });
    let (door, runners, senders) = Door::new(&DoorLimits::default(), loops, 100_000, setup);
    for runner in runners {
        std::thread::spawn(move || run(|| runner.run()));
    }
    std::thread::spawn(move || {
        for list in hops {
            let mut replies = vec![Vec::new(); senders.len()];
            list.into_iter().for_each(|(index, token, answer)| replies[index].push((token, answer)));
            for (sender, replies) in senders.iter().zip(replies) {
                sender.send(replies);
            }
        }
    });
    let listener = std::net::TcpListener::bind(&addr)?;
    println!("echo on {}", listener.local_addr()?);
    run(|| async move {
        if let Err(error) = door.listen(Listener::Tcp(listener), ListenSpec::plain(0)).await {
            eprintln!("cannot listen: {error}");
        }
    });
    Ok(())
}
