//! Which of two connections between the same two members is kept, when both dial.
//!
//! The newest hello wins, and a connection that was dialled later than another one replaces it. Only dials that crossed each other on the
//! way need a rule, because each side would give up its own for the other's: the one of the lower member id is kept. Dials are numbered
//! within a run, and each hello says which dial of the other side had been taken when it was written; that tells a crossing from an answer to a lost
//! connection, whatever the order in which packets arrive. Must know no socket and no clock.

use crate::peer::codec::hello::DialNumbers;

/// Dials between this run of this member and one run of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dials {
    /// The one from here whose hello was said and which is not over, zero for none.
    standing: u32,
    /// The newest one of the peer's run that was taken.
    taken: u32,
}

impl Dials {
    /// A dial from here whose hello is about to be said, with a `number` above those of all before. It stands until [`Self::over`].
    pub fn say(&mut self, number: u32) -> DialNumbers {
        self.standing = number;
        DialNumbers { own: number, seen: self.taken }
    }

    /// A dial from here has failed, or its connection is gone.
    pub fn over(&mut self, number: u32) {
        if self.standing == number {
            self.standing = 0;
        }
    }

    /// Whether a hello of the peer was said before it took the dial that stands here.
    pub fn crosses(&self, heard: DialNumbers) -> bool {
        self.standing > heard.seen
    }

    /// A dial of the peer is taken.
    pub fn take(&mut self, heard: DialNumbers) {
        self.taken = heard.own;
    }

    /// Another run of the peer shows itself, which has taken nothing of what came before.
    pub fn other_run(&mut self) {
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_that_crossed_are_told_from_one_that_answers_a_lost_connection() {
        let (mut low, mut high) = (Dials::default(), Dials::default());
        let (of_low, of_high) = (low.say(7), high.say(3));
        assert!(low.crosses(of_high), "neither had taken the other's");
        high.take(of_low);
        high.over(of_high.own);
        let again = high.say(4);
        assert!(!low.crosses(again), "it knew the connection, and dials nevertheless: that one is lost");
        low.take(again);
        low.over(of_low.own);
        assert!(!low.crosses(high.say(5)), "nothing stands here");
    }

    #[test]
    fn a_hello_that_was_overtaken_by_an_answer_still_crosses() {
        let (mut low, mut high) = (Dials::default(), Dials::default());
        let late = high.say(1);
        let of_low = low.say(1);
        high.take(of_low);
        // the answer to the lower one's hello has arrived before the higher one's hello
        assert!(low.crosses(late));
    }

    #[test]
    fn an_end_of_an_older_dial_is_not_the_end_of_the_newer() {
        let mut dials = Dials::default();
        let first = dials.say(1);
        let second = dials.say(2);
        dials.over(first.own);
        assert!(dials.crosses(DialNumbers { own: 1, seen: first.own }));
        dials.over(second.own);
        assert!(!dials.crosses(DialNumbers { own: 1, seen: 0 }));
    }
}
