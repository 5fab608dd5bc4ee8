//! Carrying out what a node hands out: its `Ready`, and in asynchronous mode its append and apply threads.

use raft::{Append, Apply, ConfChangeV2, Entry, NodeId, Ready, Snapshot, SnapshotMeta};

use crate::describe;
use crate::env::{Env, EnvNode, Outcome};
use crate::flight::{Flight, append_line, apply_line, released};

impl Env {
    /// Takes one `Ready` and carries it out, or queues it for the threads.
    pub(crate) fn process_ready(&mut self, id: NodeId) -> Outcome {
        let output = self.output.clone();
        let node = self.node(id);
        let ready = node.node.ready();
        output.write(&ready_text(id, &ready, node.is_async()));
        let Ready { messages, append, apply, .. } = ready;
        let mut flights: Vec<Flight> = messages.into_iter().map(Flight::Message).collect();
        if node.is_async() {
            node.append_work.extend(append);
            node.apply_work.extend(apply);
        } else {
            if let Some(append) = &append {
                write_append(node, append)?;
            }
            if let Some(apply) = &apply {
                write_apply(node, &apply.entries)?;
            }
            let append_token = append.map(|append| {
                flights.extend(append.responses.into_iter().map(Flight::Message));
                append.token
            });
            node.node.advance(append_token, apply.map(|apply| apply.token));
        }
        self.flights.extend(flights);
        Ok(())
    }

    /// One unit of work of the append thread.
    pub(crate) fn process_append(&mut self, id: NodeId) -> Outcome {
        let output = self.output.clone();
        let node = self.node(id);
        let Some(append) = node.append_work.pop_front() else {
            output.write("no append work to perform");
            return Ok(());
        };
        output.line("Processing:");
        output.line(&append_line(id, &append, false).text());
        write_append(node, &append)?;
        output.line("Responses:");
        for flight in released(id, append) {
            match flight {
                // Without its local messages this token says nothing.
                Flight::Persisted { token, .. } if !token.is_acknowledgement() => {}
                flight => {
                    output.line(&flight.line().text());
                    self.flights.push(flight);
                }
            }
        }
        Ok(())
    }

    /// One unit of work of the apply thread.
    pub(crate) fn process_apply(&mut self, id: NodeId) -> Outcome {
        let output = self.output.clone();
        let node = self.node(id);
        let Some(apply) = node.apply_work.pop_front() else {
            output.write("no apply work to perform");
            return Ok(());
        };
        output.line("Processing:");
        output.line(&apply_line(id, &apply, false).text());
        write_apply(node, &apply.entries)?;
        output.line("Responses:");
        let Apply { entries, token } = apply;
        let flight = Flight::Applied { to: id, token, entries };
        output.line(&flight.line().text());
        self.flights.push(flight);
        Ok(())
    }
}

fn write_append(node: &mut EnvNode, append: &Append) -> Outcome {
    let memory = &mut node.node.storage_mut().memory;
    if let Some(hard_state) = append.hard_state {
        memory.set_hard_state(hard_state);
    }
    match &append.snapshot {
        Some(_) if !append.entries.is_empty() => {
            return Err("can't apply snapshot and entries at the same time".to_owned());
        }
        Some(snapshot) if !memory.apply_snapshot(snapshot.clone()) => {
            return Err("requested index is older than the existing snapshot".to_owned());
        }
        _ => memory.append(&append.entries),
    }
    Ok(())
}

/// The state machine appends every payload to one long text.
fn write_apply(node: &mut EnvNode, entries: &[Entry]) -> Outcome {
    for entry in entries {
        let change = ConfChangeV2::from_entry(entry).map_err(|why| why.to_string())?;
        let conf_state = change.as_ref().map(|change| node.node.apply_conf_change(change));
        let update = change.map_or_else(|| entry.data.clone(), |change| change.context);
        let latest = &mut node.node.storage_mut().latest;
        let conf_state = conf_state.unwrap_or_else(|| latest.meta.conf_state.clone());
        *latest = Snapshot {
            meta: SnapshotMeta { conf_state, index: entry.index, term: entry.term },
            data: [&latest.data[..], &update].concat().into(),
        };
    }
    Ok(())
}

fn ready_text(id: NodeId, ready: &Ready, is_async: bool) -> String {
    let mut text = String::new();
    if let Some(soft_state) = &ready.soft_state {
        text += &format!("{}\n", describe::soft_state(soft_state));
    }
    let append = ready.append.as_ref();
    if let Some(hard_state) = append.and_then(|append| append.hard_state) {
        text += &format!("HardState {}\n", describe::hard_state(&hard_state));
    }
    if !ready.read_states.is_empty() {
        let states = ready.read_states.iter().map(|state| format!("{{{} {}}}", state.index, state.tag));
        text += &format!("ReadStates [{}]\n", states.collect::<Vec<_>>().join(" "));
    }
    let entries = append.map_or(&[][..], |append| &append.entries);
    text += &section("Entries:", entries.iter().map(describe::entry));
    if let Some(snapshot) = append.and_then(|append| append.snapshot.as_ref()) {
        text += &format!("Snapshot {}\n", describe::snapshot(snapshot));
    }
    let committed = ready.apply.as_ref().map_or(&[][..], |apply| &apply.entries);
    text += &section("CommittedEntries:", committed.iter().map(describe::entry));
    let mut lines: Vec<_> = ready.messages.iter().map(describe::message).collect();
    if is_async {
        lines.extend(append.map(|append| append_line(id, append, true)));
        lines.extend(ready.apply.as_ref().map(|apply| apply_line(id, apply, true)));
    } else {
        lines.extend(append.into_iter().flat_map(|append| &append.responses).map(describe::message));
    }
    text += &section("Messages:", lines.iter().map(describe::Line::text));
    if text.is_empty() {
        return "<empty Ready>".to_owned();
    }
    format!("Ready MustSync={}:\n{text}", append.is_some_and(|append| append.must_sync))
}

fn section(title: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.map(|line| line + "\n").collect();
    if lines.is_empty() { String::new() } else { format!("{title}\n{}", lines.concat()) }
}
