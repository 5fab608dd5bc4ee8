//! Networks as they are: without GSO, with small datagrams, without UDP, with a port that something on the way has forgotten.

use super::harness::{CLUSTER, Member, config, introduce, lock, pair_of, run, try_launch, until};
use crate::peer::config::{PeerConfig, PeerSocket};
use crate::peer::dial::route::Route;
use crate::peer::http::ask;
use crate::peer::metrics::PeerMetrics;
use crate::peer::port::{Inbound, PeerAddress, Peers, Question, Transport};
use crate::peer::session::context::Context;
use crate::peer::session::registry::Registry;
use crate::peer::session::throttle::Throttle;
use crate::peer::tls::PeerTls;
use bytes::Bytes;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

async fn carries_everything(one: &Member, two: &Member) {
    for index in 1..=20 {
        one.append(two, index, 200 << 10);
        one.heartbeat(two, index);
    }
    until("all of it", || lock(&two.recorder.data).len() == 20 && two.recorder.heartbeats().len() == 20).await;
}

#[test]
fn neither_offload_nor_large_datagrams_are_needed() {
    run(async {
        let modest = |own| {
            let mut config = config(own);
            config.path.offload = false;
            config.path.max_mtu = 1200;
            config.path.socket_buffer = 4 << 10;
            config
        };
        let (one, two) = pair_of(modest(1), modest(2)).await;
        carries_everything(&one, &two).await;
    });
}

#[test]
fn without_udp_everything_goes_over_tcp_and_comes_back_to_udp_when_it_passes() {
    run(async {
        let mut impatient = config(1);
        impatient.path.udp_retry = Duration::from_millis(300);
        let mut tcp_only = config(2);
        tcp_only.path.udp = false;
        let one = Member::start(impatient);
        let mut two = Member::start(tcp_only);
        introduce(&[&one, &two]);
        one.reaches(&two).await;
        two.reaches(&one).await;
        assert!(one.counters(&two).over_tcp.load(Relaxed), "after two dials over UDP that stayed silent");
        carries_everything(&one, &two).await;
        *lock(&two.recorder.on_call) = Some(Box::new(|_, call, respond| respond.answer(Ok(call.body))));
        let answer: Arc<Mutex<Option<Bytes>>> = Arc::default();
        let take = answer.clone();
        let question = Question { kind: 1, body: Bytes::from_static(b"over tcp?"), deadline: Duration::from_secs(20) };
        one.transport.call(2, question, Box::new(move |outcome| *lock(&take) = outcome.ok()));
        until("an answer", || lock(&answer).as_deref() == Some(b"over tcp?")).await;
        until("vitals come", || !lock(&two.recorder.vitals).is_empty()).await;
        two.transport.join();
        two.config.path.udp = true;
        two.restart();
        introduce(&[&two, &one]);
        until("back on UDP", || one.transport.active_since(2).is_some() && !one.counters(&two).over_tcp.load(Relaxed))
            .await;
        let came = two.recorder.heartbeats().len();
        one.heartbeat(&two, 77);
        until("a heartbeat", || two.recorder.heartbeats().len() > came).await;
    });
}

/// Something between two members that passes TCP, and UDP only when it is told to.
pub struct Firewall {
    address: SocketAddr,
    pub passes_udp: Rc<Cell<bool>>,
}

impl Firewall {
    pub async fn before(member: &Member) -> Self {
        let inside = member.address();
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("bound");
        let udp = Rc::new(tokio::net::UdpSocket::bind(address).await.expect("its UDP side is free"));
        let passes_udp = Rc::new(Cell::new(false));
        actix_rt::spawn(async move {
            while let Ok((mut outer, _)) = tcp.accept().await {
                actix_rt::spawn(async move {
                    let mut inner = TcpStream::connect(inside).await.expect("it listens");
                    // ends with either side
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        let open = passes_udp.clone();
        actix_rt::spawn(async move {
            let mut ways: HashMap<SocketAddr, Rc<tokio::net::UdpSocket>> = HashMap::new();
            let mut bytes = [0; 65_536];
            while let Ok((length, outer)) = udp.recv_from(&mut bytes).await {
                if !open.get() {
                    continue;
                }
                let way = match ways.get(&outer) {
                    Some(way) => way.clone(),
                    None => {
                        let way = Rc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
                        ways.insert(outer, way.clone());
                        actix_rt::spawn(answers(way.clone(), udp.clone(), outer));
                        way
                    }
                };
                let _ = way.send_to(&bytes[..length], inside).await;
            }
        });
        Self { address, passes_udp }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answers(way: Rc<tokio::net::UdpSocket>, back: Rc<tokio::net::UdpSocket>, outer: SocketAddr) {
    let mut bytes = [0; 65_536];
    while let Ok(length) = way.recv(&mut bytes).await {
        // what is lost is sent again
        let _ = back.send_to(&bytes[..length], outer).await;
    }
}

#[test]
fn messages_go_over_tcp_while_udp_is_blocked_and_over_udp_as_soon_as_it_passes() {
    run(async {
        let mut impatient = config(1);
        impatient.path.udp_retry = Duration::from_millis(200);
        let one = Member::start(impatient);
        let two = Member::start(config(2));
        let firewall = Firewall::before(&two).await;
        let behind = PeerAddress { member: 2, urls: vec![firewall.url()] };
        one.transport.set_peers(Peers { members: vec![behind], removed: Vec::new() });
        one.reaches(&two).await;
        let blocked = one.transport.active_since(2).expect("over TCP");
        assert!(one.counters(&two).over_tcp.load(Relaxed));
        carries_everything(&one, &two).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(one.transport.active_since(2), Some(blocked), "trying UDP does not disturb what runs");
        firewall.passes_udp.set(true);
        until("over UDP", || {
            one.transport.active_since(2).is_some_and(|since| since > blocked)
                && !one.counters(&two).over_tcp.load(Relaxed)
        })
        .await;
        one.heartbeat(&two, 99);
        until("a heartbeat", || two.recorder.heartbeats().last() == Some(&99)).await;
        firewall.passes_udp.set(false);
        until("over TCP again", || {
            one.transport.active_since(2).is_some() && one.counters(&two).over_tcp.load(Relaxed)
        })
        .await;
        one.heartbeat(&two, 100);
        until("a heartbeat", || two.recorder.heartbeats().last() == Some(&100)).await;
    });
}

fn context(config: PeerConfig) -> Rc<Context> {
    let inbound: Arc<dyn Inbound> = Arc::new(super::harness::Recorder::default());
    let registry = Rc::new(Registry::new(config.own, 1 << 20, 8));
    Rc::new(Context {
        config,
        inbound,
        metrics: PeerMetrics::default(),
        vitals: Arc::default(),
        registry,
        throttle: Throttle::default(),
        started: Instant::now(),
    })
}

#[test]
fn a_local_port_is_given_up_after_two_dials_without_an_answer() {
    run(async {
        let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("bound"));
        let mut hasty = config(1);
        hasty.election = Duration::from_millis(100);
        let route = Route::new(context(hasty), 2, &[url]);
        let mut ports = Vec::new();
        for _ in 0..4 {
            assert!(route.raft_over_quic().await.is_err_and(|why| why.is_silence()));
            ports.push(route.local_port().expect("dialled"));
        }
        assert!(ports[0] == ports[1] && ports[1] != ports[2] && ports[2] == ports[3], "{ports:?}");
    });
}

#[test]
fn members_reach_each_other_over_unix_sockets() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let member = |own: u64| {
            let mut config = config(own);
            config.listen.clear();
            let path = dir.path().join(format!("m{own}:1"));
            config.listen_unix.push(PeerSocket { path, secure: false });
            config
        };
        let url = |config: &PeerConfig| format!("unix://{}", config.listen_unix[0].path.display());
        // a socket that a dead process left behind
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("m1:1")).expect("bound"));
        let (one, two) = (Member::start(member(1)), Member::start(member(2)));
        let peers = [&one, &two].map(|of| PeerAddress { member: of.id(), urls: vec![url(&of.config)] });
        for of in [&one, &two] {
            of.transport.set_peers(Peers { members: peers.to_vec(), removed: Vec::new() });
        }
        one.reaches(&two).await;
        two.reaches(&one).await;
        carries_everything(&one, &two).await;
        let tls = PeerTls::new(None).expect("self-made certificates");
        let asked = ask::members(&peers[0].urls[0], &tls, None, Duration::from_secs(20)).await;
        assert_eq!(asked.expect("its pages are there, too").cluster, CLUSTER);
        let path = one.config.listen_unix[0].path.clone();
        drop(one);
        assert!(!path.exists(), "it goes with the member");
        std::fs::write(&path, b"precious").expect("written");
        let refused = try_launch(&member(1), &Arc::default()).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(refused.contains("there is a file that is no socket"), "{refused}");
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    });
}
