//! Answers of name servers: any bytes are records in their order of use, or a reason why not.

/// A message of DNS as it comes.
pub fn run(data: &[u8]) {
    match srv::read_answer(data) {
        Err(why) => assert!(!why.is_empty()),
        Ok(records) => {
            assert!(!records.is_empty() && records.len() <= 256);
            let order: Vec<_> = records.iter().map(|record| (record.priority, u16::MAX - record.weight)).collect();
            assert!(order.is_sorted(), "{order:?}");
            for record in records {
                assert!(!record.target.ends_with('.') && record.target.len() <= 4 * 255, "{record:?}");
                assert!(record.target.is_ascii(), "a name as text has no other signs: {record:?}");
            }
        }
    }
}

fn labels(name: &str) -> Vec<u8> {
    let parts = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    parts.chain([0]).collect()
}

/// An answer with these records.
fn answer(code: u8, records: &[(u16, u16, u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7, 7, 0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
    out.extend(labels("_etcd-server._tcp.a.test"));
    out.extend([0, 33, 0, 1]);
    for (priority, weight, port, target) in records {
        // a pointer to the question's name; type SRV, class IN, a minute
        out.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        out.extend(((target.len() + 6) as u16).to_be_bytes());
        [*priority, *weight, *port].into_iter().for_each(|number| out.extend(number.to_be_bytes()));
        out.extend(target);
    }
    out
}

pub fn seeds() -> Vec<Vec<u8>> {
    let two = [(20, 0, 2379, labels("late.a.test")), (10, 9, 2380, labels("heavy.a.test"))];
    vec![
        answer(0, &two),
        answer(3, &[]),
        answer(2, &two[..1]),
        // a target that points back to the question, and one that points to itself
        answer(0, &[(0, 0, 1, vec![0xc0, 12])]),
        answer(0, &[(0, 0, 1, vec![1, b'a', 0xc0, 64])]),
        answer(0, &[(1, 1, 1, vec![0]), (0, 65_535, 65_535, labels("\x01\x7f. \""))]),
    ]
}
