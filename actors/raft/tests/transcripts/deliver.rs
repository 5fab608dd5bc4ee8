//! Delivering what is under way, and running everything until nothing is.

use raft::NodeId;

use crate::datadriven::Directive;
use crate::env::{Env, Outcome};
use crate::flight::Flight;

impl Env {
    pub(crate) fn deliver_directive(&mut self, d: &Directive) {
        let kind = d.values("type").first().cloned();
        let mut handled = 0;
        for arg in &d.args {
            if arg.values.is_empty() {
                handled += self.deliver(d.number(&arg.key), kind.as_deref(), false);
            } else if arg.key == "drop" {
                for value in &arg.values {
                    handled += self.deliver(d.number(value), kind.as_deref(), true);
                }
            }
        }
        if handled == 0 {
            self.output.line("no messages");
        }
    }

    /// Delivers or drops what is under way to `to`, of one kind if given; returns how much that was.
    fn deliver(&mut self, to: NodeId, kind: Option<&str>, drop: bool) -> usize {
        let wanted = |flight: &Flight| {
            flight.to() == to && !(drop && flight.is_local()) && kind.is_none_or(|kind| flight.line().kind == kind)
        };
        let (wanted, rest) = std::mem::take(&mut self.flights).into_iter().partition(wanted);
        self.flights = rest;
        let wanted: Vec<Flight> = wanted;
        let count = wanted.len();
        for flight in wanted {
            let text = flight.line().text();
            if drop {
                self.output.line(&format!("dropped: {text}"));
            } else {
                self.output.line(&text);
                self.step(flight);
            }
        }
        count
    }

    fn step(&mut self, flight: Flight) {
        let output = self.output.clone();
        let node = &mut self.node(flight.to()).node;
        match flight {
            Flight::Message(message) => {
                if let Err(why) = node.step(message) {
                    output.line(&why.to_string());
                }
            }
            Flight::Persisted { token, .. } => node.on_persisted(token),
            Flight::Applied { token, .. } => node.on_applied(token),
        }
    }

    pub(crate) fn stabilize_directive(&mut self, d: &Directive) -> Outcome {
        let before = self.output.level();
        let outcome = match d.values("log-level").first() {
            Some(level) => self.output.set_level_by_name(level),
            None => Ok(()),
        };
        let outcome = outcome.and_then(|()| {
            let named = d.numbers();
            let all = (1..=self.nodes.len() as NodeId).collect();
            self.stabilize(if named.is_empty() { all } else { named })
        });
        self.output.set_level(before);
        outcome
    }

    fn stabilize(&mut self, ids: Vec<NodeId>) -> Outcome {
        loop {
            let mut idle = true;
            for &id in &ids {
                if self.node(id).node.has_ready() {
                    self.with_headline(id, "handling Ready", |env| env.process_ready(id))?;
                    idle = false;
                }
            }
            for &id in &ids {
                if self.flights.iter().any(|flight| flight.to() == id) {
                    self.with_headline(id, "receiving messages", |env| env.deliver(id, None, false));
                    idle = false;
                }
            }
            for &id in &ids {
                if !self.node(id).append_work.is_empty() {
                    self.output.line(&format!("> {id} processing append thread"));
                    while !self.node(id).append_work.is_empty() {
                        self.indented(|env| env.process_append(id))?;
                    }
                    idle = false;
                }
            }
            for &id in &ids {
                if !self.node(id).apply_work.is_empty() {
                    self.output.line(&format!("> {id} processing apply thread"));
                    while !self.node(id).apply_work.is_empty() {
                        self.indented(|env| env.process_apply(id))?;
                    }
                    idle = false;
                }
            }
            if idle {
                return Ok(());
            }
        }
    }
}
