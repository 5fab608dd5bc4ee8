//! Paths of the tree: bytes between slashes.
//!
//! Must never interpret a name, but for the underscore that hides it.

/// Makes a path absolute and the shortest of those that mean the same: no empty, `.` or `..` parts, no slash at the end.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = Vec::with_capacity(path.len() + 1);
    for part in parts {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    if out.is_empty() { b"/".to_vec() } else { out }
}

/// Number of parts of a clean path; zero for the root.
pub fn depth(path: &[u8]) -> usize {
    if path == b"/" { 0 } else { path.iter().filter(|byte| **byte == b'/').count() }
}

/// The directory of a clean path; `None` for the root.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    if path == b"/" {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => Some(b"/"),
        Some(at) => Some(&path[..at]),
    }
}

/// The last part of a clean path.
pub fn name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// True for a node that listings leave out.
pub fn is_hidden(path: &[u8]) -> bool {
    name(path).first() == Some(&b'_')
}

/// A clean path and all paths above it but the root, the shortest first.
pub fn with_ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let whole = (path != b"/").then_some(path.len());
    ends.chain(whole).map(|end| &path[..end])
}

/// What the paths below a directory begin with.
pub fn prefix_of_children(path: &[u8]) -> Vec<u8> {
    if path == b"/" { b"/".to_vec() } else { [path, b"/"].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in
            [("", "/"), ("/", "/"), ("/a//b/", "/a/b"), ("a/./b", "/a/b"), ("/a/../../b", "/b"), ("/..", "/")]
        {
            assert_eq!(String::from_utf8(clean(path.as_bytes())).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn parts_of_a_path() {
        assert_eq!((parent(b"/a/b"), parent(b"/a"), parent(b"/")), (Some(&b"/a"[..]), Some(&b"/"[..]), None));
        assert_eq!((name(b"/a/_b"), is_hidden(b"/a/_b"), is_hidden(b"/_a/b")), (&b"_b"[..], true, false));
        let above: Vec<_> = with_ancestors(b"/a/b/c").collect();
        assert_eq!(above, [&b"/a"[..], b"/a/b", b"/a/b/c"]);
        assert_eq!((depth(b"/"), depth(b"/a"), depth(b"/a/b")), (0, 1, 2));
    }

    proptest! {
        #[test]
        fn a_clean_path_stays_as_it_is(path in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..24)) {
            let once = clean(&path);
            prop_assert_eq!(&clean(&once), &once);
            prop_assert_eq!(with_ancestors(&once).count(), depth(&once));
        }
    }
}
