//! Which endpoints there are, which are connected, and whose turn it is. A plain struct: no socket, no clock.

use std::collections::BTreeSet;

/// Endpoints and their connections, of whatever kind `C` is.
#[derive(Debug)]
pub(super) struct Endpoints<C> {
    list: Vec<Entry<C>>,
    turn: usize,
}

#[derive(Debug)]
struct Entry<C> {
    text: String,
    open: Option<C>,
    why: Option<String>,
}

impl<C: Clone> Endpoints<C> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), turn: 0 }
    }

    /// Makes these the endpoints. Those that are new, and those that are gone.
    pub(super) fn set(&mut self, texts: &[String]) -> (Vec<String>, Vec<String>) {
        let wanted: BTreeSet<&String> = texts.iter().collect();
        let gone: Vec<String> =
            self.list.iter().filter(|one| !wanted.contains(&one.text)).map(|one| one.text.clone()).collect();
        self.list.retain(|one| wanted.contains(&one.text));
        let mut new = Vec::new();
        for text in texts {
            if self.list.iter().all(|one| one.text != *text) {
                self.list.push(Entry { text: text.clone(), open: None, why: None });
                new.push(text.clone());
            }
        }
        (new, gone)
    }

    /// An endpoint was connected.
    pub(super) fn opened(&mut self, text: &str, connection: C) {
        if let Some(one) = self.list.iter_mut().find(|one| one.text == text) {
            (one.open, one.why) = (Some(connection), None);
        }
    }

    /// An endpoint is not connected, or no longer. Whether it was.
    pub(super) fn closed(&mut self, text: &str, why: Option<String>) -> bool {
        let Some(one) = self.list.iter_mut().find(|one| one.text == text) else { return false };
        if why.is_some() {
            one.why = why;
        }
        one.open.take().is_some()
    }

    /// The next connection in turn; `None` when there is none.
    pub(super) fn next(&mut self) -> Option<(String, C)> {
        let count = self.list.len();
        let at = (0..count).map(|k| (self.turn + k) % count).find(|at| self.list[*at].open.is_some())?;
        self.turn = at + 1;
        let one = &self.list[at];
        one.open.clone().map(|connection| (one.text.clone(), connection))
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.list.iter().map(|one| one.text.clone()).collect()
    }

    /// Why the last endpoint that failed did.
    pub(super) fn why(&self) -> Option<String> {
        self.list.iter().rev().find_map(|one| one.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_over_what_is_connected() {
        let mut endpoints = Endpoints::new();
        let texts: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        assert_eq!(endpoints.set(&texts), (texts.clone(), vec![]));
        assert!(endpoints.next().is_none());
        endpoints.opened("a", 1);
        endpoints.opened("c", 3);
        let turns: Vec<i32> = (0..4).map(|_| endpoints.next().unwrap().1).collect();
        assert_eq!(turns, [1, 3, 1, 3]);
        assert!(endpoints.closed("a", Some("refused".into())));
        assert!(!endpoints.closed("a", None), "it was closed before");
        assert_eq!((endpoints.next().unwrap().1, endpoints.next().unwrap().1), (3, 3));
        assert_eq!(endpoints.why().unwrap(), "refused");
        let (new, gone) = endpoints.set(&["c".into(), "d".into()]);
        assert_eq!((new, gone), (vec!["d".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(endpoints.next().unwrap().1, 3, "a connection outlives a new list");
        endpoints.opened("a", 1);
        assert_eq!(endpoints.texts(), ["c", "d"], "who was removed does not come back by connecting late");
    }
}
