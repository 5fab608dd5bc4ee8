//! What a discovery service says: any keys and values make a cluster of members, or a reason why not.

use conclave_daemon::registry::{Keys, Members, size};

/// First byte: how many rows are members; then rows, each with the lengths of its key and value before it.
pub fn run(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let Some((value, more)) = field(rest) else { return };
    rest = more;
    let keys = Keys::of("token");
    let wanted = size(Some(value)).unwrap_or_else(|why| {
        assert!(!why.to_string().is_empty());
        usize::from(*first)
    });
    assert!(size(Some(value)).is_ok_and(|size| size > 0) || size(Some(value)).is_err());
    let mut members = Members::default();
    let mut added = 0;
    while let Some((key, more)) = field(rest)
        && let Some((value, more)) = field(more)
    {
        rest = more;
        let before = members.len();
        members.add(key, value, i64::from(key.first().copied().unwrap_or_default()));
        assert!(members.len() <= before + 1);
        // the same key again is no second member
        let after = members.clone();
        members.add(key, value, -1);
        assert!(members == after);
        added += 1;
    }
    assert!(members.len() <= added);
    if let Ok(cluster) = members.cluster(wanted) {
        let parsed = embed::parse_cluster(&cluster).expect("what is handed on can be read");
        assert!(parsed.len() <= cluster.matches('=').count());
    }
    let late = members.refuse_late(&keys.member(u64::from(*first)), wanted);
    assert!(late.is_ok() || members.len() >= wanted, "there is room");
}

/// A field of at most 255 bytes, and what follows.
fn field(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let part = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let of = |first: u8, size: &str, rows: &[(&str, &str)]| {
        let rows = rows.iter().flat_map(|(key, value)| [part(key), part(value)].concat());
        [&[first][..], &part(size), &rows.collect::<Vec<u8>>()].concat()
    };
    let key = |n: u64| Keys::of("token").member(n);
    vec![
        of(
            1,
            "3",
            &[(&key(1), "a=http://a:2380"), (&key(2), "b=http://b:2380"), (&key(3), "c=http://c:1,c=http://c:2")],
        ),
        of(9, "1", &[(&key(1), "a=http://a:2380"), (&key(1), "a=http://other:1"), (&key(9), "late=http://l:1")]),
        of(2, "-1", &[(&key(2), "no member"), ("", "="), (&key(4), "a=ftp://x,b=")]),
        of(0, "99999999999999999999", &[(&key(7), "a=http://[::1]:2380,a=https://a:65536")]),
    ]
}
