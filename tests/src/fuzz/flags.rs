//! Command line, environment and configuration file: any text is read or refused, and what is read has values of its kinds.

use conclave_daemon::flags::{Command, Given, env, file, parse, table};
use embed::listen::{bind_address, parse_url};

/// First byte: which of the three. Arguments and variables are separated by line ends.
pub fn run(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match shape % 4 {
        0 => {
            let args: Vec<String> = text.split('\n').map(str::to_owned).collect();
            match parse::parse(&args) {
                Ok(Command::Run(given)) => readable(&given),
                Ok(Command::Help | Command::Version) => {}
                Err(why) => assert!(!why.to_string().is_empty()),
            }
        }
        1 => match file::parse(&text) {
            Ok(given) => readable(&given),
            Err(why) => assert!(!why.is_empty()),
        },
        2 => {
            let vars = text.split('\n').filter_map(|line| line.split_once('='));
            let mut given = Given::default();
            if env::apply(&mut given, vars.map(|(key, value)| (key.to_owned(), value.to_owned()))).is_ok() {
                readable(&given);
            }
        }
        _ => {
            if let Ok(url) = parse_url(&text) {
                // an address or a reason, without asking anybody
                let _ = bind_address(&url);
            }
        }
    }
}

/// Every value that was taken can be read as what it is.
fn readable(given: &Given) {
    for flag in table::flags() {
        let _ = given.text(flag.name);
        let _ = (given.flag(flag.name), given.number::<u64>(flag.name), given.number::<i64>(flag.name));
        let _ = (given.duration(flag.name), given.list(flag.name), given.path(flag.name));
        let _ = given.is_changed(flag.name);
    }
    let _ = given.gates();
}

pub fn seeds() -> Vec<Vec<u8>> {
    let yaml = "name: 'n1'\nheartbeat-interval: 50\nwatch-progress-notify-interval: 600000000000\nlog-outputs: [stdout, x]\n\
                client-transport-security:\n  cert-file: c.pem\n  client-cert-auth: true\nsocket-options:\n  reuse-port: true\n\
                initial-cluster: a=http://x:1,b=http://y:2\nfeature-gates: LeaseCheckpoint=true\nno-such: &a [1, *a]\n";
    vec![
        b"\x00--name\na\n-heartbeat-interval=5\n--client-cert-auth\n--quota-backend-bytes=-1\n--pre-vote=false".to_vec(),
        b"\x00--experimental-initial-corrupt-check\n--feature-gates=LeaseCheckpoint=true,A=false\n--grpc-keepalive-interval=1m30.5s"
            .to_vec(),
        b"\x00-h".to_vec(),
        b"\x00--\nx".to_vec(),
        [b"\x01", yaml.as_bytes()].concat(),
        b"\x01{\"name\": \"a\", \"snapshot-count\": 7, \"listen-client-urls\": [\"http://a:1\"]}".to_vec(),
        b"\x02ETCD_NAME=a\nETCD_HEARTBEAT_INTERVAL=50\nETCD_FOO=1\nETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1,unix://x".to_vec(),
        b"\x03http://[::1]:2379/".to_vec(),
        b"\x03unix:///tmp/sock:1".to_vec(),
    ]
}
