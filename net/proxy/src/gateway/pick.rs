//! Which endpoint a connection goes to: the best priority that lives, in proportion to weights, in turn where there are none. Pure:
//! chance is given.

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// The lowest is used.
    pub priority: u16,
    /// Share of the connections among equal priorities; 0 for hardly any beside weighted ones, and equal turns otherwise.
    pub weight: u16,
}

/// Endpoints, and which of them live.
#[derive(Debug)]
pub(super) struct Choice {
    list: Vec<(Endpoint, bool)>,
    turn: usize,
}

impl Choice {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { list: endpoints.into_iter().map(|endpoint| (endpoint, true)).collect(), turn: 0 }
    }

    /// The next endpoint; `None` when none lives. `chance` is below what it is asked for.
    pub(super) fn next(&mut self, chance: impl Fn(u32) -> u32) -> Option<String> {
        let best = self.list.iter().filter(|(_, lives)| *lives).map(|(endpoint, _)| endpoint.priority).min()?;
        let alive = |(endpoint, lives): &&(Endpoint, bool)| *lives && endpoint.priority == best;
        let (weighted, plain): (Vec<_>, Vec<_>) =
            self.list.iter().filter(alive).map(|(endpoint, _)| endpoint).partition(|endpoint| endpoint.weight > 0);
        // beside weights, those without any have a very small chance: RFC 2782
        let uses_plain = weighted.is_empty() || (!plain.is_empty() && chance(100) == 1);
        if uses_plain {
            let found = plain[self.turn % plain.len()].address.clone();
            self.turn = self.turn.wrapping_add(1);
            return Some(found);
        }
        let all: u32 = weighted.iter().map(|endpoint| u32::from(endpoint.weight)).sum();
        let mut left = chance(all);
        for endpoint in &weighted {
            match left.checked_sub(u32::from(endpoint.weight)) {
                Some(rest) => left = rest,
                None => return Some(endpoint.address.clone()),
            }
        }
        weighted.last().map(|endpoint| endpoint.address.clone())
    }

    /// An endpoint lives, or does not. Whether that is news.
    pub(super) fn set(&mut self, address: &str, lives: bool) -> bool {
        let mut is_news = false;
        for (endpoint, was) in &mut self.list {
            if endpoint.address == address {
                is_news |= std::mem::replace(was, lives) != lives;
            }
        }
        is_news
    }

    /// Those that do not live.
    pub(super) fn dead(&self) -> Vec<String> {
        self.list.iter().filter(|(_, lives)| !lives).map(|(endpoint, _)| endpoint.address.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn choice(list: &[(&str, u16, u16)]) -> Choice {
        let endpoint = |(address, priority, weight): &(&str, u16, u16)| Endpoint {
            address: (*address).into(),
            priority: *priority,
            weight: *weight,
        };
        Choice::new(list.iter().map(endpoint).collect())
    }

    /// Every outcome of chance, one after the other.
    fn all_outcomes(choice: &mut Choice, rounds: u32) -> Vec<String> {
        let at = Cell::new(0);
        (0..rounds)
            .map(|_| {
                let next = |below: u32| {
                    at.set(at.get() + 1);
                    (at.get() - 1) % below
                };
                choice.next(next).unwrap()
            })
            .collect()
    }

    #[test]
    fn without_weights_turns_go_round_over_those_that_live() {
        let mut choice = choice(&[("a", 0, 0), ("b", 0, 0), ("c", 0, 0)]);
        assert_eq!(all_outcomes(&mut choice, 4), ["a", "b", "c", "a"]);
        assert!(choice.set("b", false) && !choice.set("b", false));
        let turns = all_outcomes(&mut choice, 4);
        assert_eq!(turns.iter().filter(|turn| *turn == "a").count(), 2);
        assert!(!turns.contains(&"b".to_owned()));
        assert_eq!(choice.dead(), ["b"]);
        assert!(choice.set("b", true));
        assert!(all_outcomes(&mut choice, 3).contains(&"b".to_owned()));
    }

    #[test]
    fn a_worse_priority_is_used_only_when_no_better_one_lives() {
        let mut choice = choice(&[("far", 20, 5), ("near", 10, 5)]);
        assert!(all_outcomes(&mut choice, 50).iter().all(|turn| turn == "near"));
        choice.set("near", false);
        assert!(all_outcomes(&mut choice, 50).iter().all(|turn| turn == "far"));
        choice.set("far", false);
        assert_eq!(choice.next(|_| 0), None);
    }

    #[test]
    fn connections_are_in_proportion_to_weights() {
        let mut weighted = choice(&[("light", 0, 1), ("heavy", 0, 3)]);
        let turns = all_outcomes(&mut weighted, 400);
        assert_eq!(turns.iter().filter(|turn| *turn == "light").count(), 100);
        let mut mixed = choice(&[("none", 0, 0), ("some", 0, 1)]);
        assert_eq!(mixed.next(|below| if below == 100 { 1 } else { 0 }).unwrap(), "none");
        assert_eq!(mixed.next(|_| 0).unwrap(), "some");
    }
}
