//! Against a name server of the test's own, which answers from a table.

use super::{Resolver, client_endpoints, members};
use std::net::SocketAddr;
use tokio::net::UdpSocket;

type Row = (&'static str, u16, u16, u16, &'static str);

/// A name server on loopback that knows SRV records. It ends with the runtime of its test.
async fn name_server(rows: &'static [Row]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
            socket.send_to(&answer(&buffer[..len], rows), from).await.unwrap();
        }
    });
    address
}

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn answer(question: &[u8], rows: &[Row]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let asked = &question[12..end];
    let found: Vec<_> = rows.iter().filter(|(name, ..)| labels(name).eq_ignore_ascii_case(asked)).collect();
    let mut out = question[..2].to_vec();
    out.extend([0x81, if found.is_empty() { 0x83 } else { 0x80 }, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
    out.extend(&question[12..end + 4]);
    for (_, priority, weight, port, target) in found {
        let target = labels(target);
        // a pointer to the question's name; type SRV, class IN, a minute
        out.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        out.extend(((target.len() + 6) as u16).to_be_bytes());
        [*priority, *weight, *port].into_iter().for_each(|number| out.extend(number.to_be_bytes()));
        out.extend(target);
    }
    out
}

fn block<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

#[test]
fn endpoints_of_both_services_come_in_order_of_priority() {
    const ROWS: &[Row] = &[
        ("_etcd-client-ssl._tcp.a.test", 20, 0, 2379, "late.a.test"),
        ("_etcd-client-ssl._tcp.a.test", 10, 1, 2379, "light.a.test"),
        ("_etcd-client-ssl._tcp.a.test", 10, 9, 2380, "heavy.a.test"),
        ("_etcd-client._tcp.a.test", 0, 0, 1, "127.0.0.1"),
        ("_etcd-client-blue._tcp.a.test", 0, 0, 7, "blue.a.test"),
    ];
    block(async {
        let resolver = Resolver::asking(&[name_server(ROWS).await]);
        let urls = |found: Vec<super::Endpoint>| found.into_iter().map(|one| one.url).collect::<Vec<_>>();
        let found = client_endpoints(&resolver, "a.test", "").await.unwrap();
        let heavy = &found[0].record;
        assert_eq!((heavy.priority, heavy.weight, heavy.port), (10, 9, 2380));
        let expected = [
            "https://heavy.a.test:2380",
            "https://light.a.test:2379",
            "https://late.a.test:2379",
            "http://127.0.0.1:1",
        ];
        assert_eq!(urls(found), expected);
        assert_eq!(urls(client_endpoints(&resolver, "a.test", "blue").await.unwrap()), ["http://blue.a.test:7"]);
        let why = client_endpoints(&resolver, "b.test", "").await.unwrap_err();
        let server = resolver.server();
        assert_eq!(
            why,
            format!(
                "dns lookup errors: lookup _etcd-client-ssl._tcp.b.test on {server}: no such host and \
                 lookup _etcd-client._tcp.b.test on {server}: no such host"
            )
        );
    });
}

#[test]
fn the_own_record_gets_the_own_name_and_the_others_get_numbers() {
    const ROWS: &[Row] = &[
        ("_etcd-server._tcp.a.test", 0, 3, 11, "127.0.0.1"),
        ("_etcd-server._tcp.a.test", 0, 2, 12, "127.0.0.1"),
        ("_etcd-server._tcp.a.test", 0, 1, 13, "localhost"),
        ("_etcd-server-ssl-s._tcp.a.test", 0, 0, 12, "127.0.0.1"),
    ];
    block(async {
        let resolver = Resolver::asking(&[name_server(ROWS).await]);
        let own = ["http://127.0.0.1:12".to_owned()];
        let found = members(&resolver, "a.test", "", "me", &own).await;
        assert_eq!(found.members, ["0=http://127.0.0.1:11", "me=http://127.0.0.1:12", "1=http://localhost:13"]);
        assert_eq!(found.faults.len(), 1, "there is no service with TLS");
        let mismatch = members(&resolver, "a.test", "s", "me", &own).await;
        assert!(mismatch.members.is_empty());
        let text = mismatch.faults[0].to_string();
        assert_eq!(
            text,
            "bootstrap at https://127.0.0.1:12 from DNS for etcd-server-ssl-s has scheme mismatch with expected peer http://127.0.0.1:12"
        );
        let nobody = members(&resolver, "b.test", "", "me", &own).await;
        assert!(
            nobody.faults[1]
                .to_string()
                .starts_with("error querying DNS SRV records for _etcd-server lookup _etcd-server._tcp.b.test on")
        );
    });
}

#[test]
fn what_is_no_message_of_dns_is_an_error_and_nothing_worse() {
    block(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
                let mut garbled = answer(&buffer[..len], &[]);
                // ten answers are announced, and none is there
                garbled[3] = 0x80;
                garbled[7] = 10;
                socket.send_to(&garbled, from).await.unwrap();
            }
        });
        let why = Resolver::asking(&[address]).srv("_x._tcp.a.test").await.unwrap_err();
        assert_eq!(why.name, "_x._tcp.a.test");
    });
}
