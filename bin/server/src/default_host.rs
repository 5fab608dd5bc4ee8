//! The address that a member advertises when it listens on all addresses and nothing was said: that of the default route, as in etcd.
//!
//! Must never send anything.

use crate::flags::Given;
use embed::listen::{UrlTarget, parse_url};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Any address behind the default route will do: nothing is sent to it.
const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Puts the address in the place of `localhost` in what is advertised, where that is right. The address, when it was used.
pub(crate) fn apply(given: &mut Given) -> Option<IpAddr> {
    apply_with(given, address)
}

fn apply_with(given: &mut Given, address: impl Fn() -> Option<IpAddr>) -> Option<IpAddr> {
    let mut used = None;
    // on the command line, --listen-client-urls must come with what is advertised
    let clients = given.from_file.then_some(("listen-client-urls", "advertise-client-urls"));
    for (listen, advertise) in [("listen-peer-urls", "initial-advertise-peer-urls")].into_iter().chain(clients) {
        let Some(port) = port_of_all(given, listen).filter(|_| !given.is_changed(advertise)) else { continue };
        let Some(ip) = address() else { continue };
        // a URL with an address is one that the flag takes
        if given.set(advertise, &format!("http://{ip}:{port}")).is_ok() {
            used = Some(ip);
        }
    }
    used
}

/// The port of a listener on all IPv4 addresses, when that is the first one.
fn port_of_all(given: &Given, flag: &str) -> Option<u16> {
    match parse_url(given.list(flag).first()?).ok()?.place {
        UrlTarget::Host(host, port) if host == "0.0.0.0" => Some(port),
        UrlTarget::Host(..) | UrlTarget::Path(_) => None,
    }
}

/// The address from which packets leave this machine.
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(OUTSIDE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(pairs: &[(&str, &str)], from_file: bool) -> (String, String) {
        let mut given = if from_file { Given::of_file() } else { Given::default() };
        for (flag, text) in pairs {
            given.set(flag, text).unwrap();
        }
        apply_with(&mut given, || Some(IpAddr::from([10, 0, 0, 7])));
        (given.text("initial-advertise-peer-urls").to_owned(), given.text("advertise-client-urls").to_owned())
    }

    #[test]
    fn only_a_listener_on_all_addresses_gets_one() {
        let (localhost, clients) = ("http://localhost:2380".to_owned(), "http://localhost:2379".to_owned());
        assert_eq!(advertised(&[], false), (localhost.clone(), clients.clone()));
        let all = ("listen-peer-urls", "http://0.0.0.0:5380");
        assert_eq!(advertised(&[all], false).0, "http://10.0.0.7:5380");
        let said = ("initial-advertise-peer-urls", "http://a:1");
        assert_eq!(advertised(&[all, said], false).0, "http://a:1");
        assert_eq!(advertised(&[("listen-peer-urls", "http://127.0.0.1:1")], false).0, localhost);
        let of_clients = ("listen-client-urls", "http://0.0.0.0:5379");
        assert_eq!(advertised(&[of_clients], true).1, "http://10.0.0.7:5379");
        assert_eq!(advertised(&[of_clients], false).1, clients, "the command line must say it");
    }
}
