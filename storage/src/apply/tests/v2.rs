//! Requests of the v2 API as entries: one batch with everything else, whatever is written beside them; and alarms.

use super::{Node, compact, dump, entry, put, scoped};
use crate::schema::meta;
use crate::v2::{check, read};
use ::model::request::{AlarmAction, AlarmRequest, AlarmType};
use ::model::v2::{Event, Request, method};
use ::model::{ApplyError, Command, Outcome};

fn set(path: &'static str, value: &'static str) -> Command {
    let request = Request { method: method::PUT.into(), path: path.into(), val: value.into(), ..Request::default() };
    Command::V2(request)
}

fn delete(path: &'static str) -> Command {
    let request = Request { method: method::DELETE.into(), path: path.into(), recursive: true, ..Request::default() };
    Command::V2(request)
}

fn event(outcome: Result<Outcome, ApplyError>) -> Event {
    match outcome {
        Ok(Outcome::V2(outcome)) => outcome.result.expect("an event"),
        other => panic!("not the outcome of a v2 request: {other:?}"),
    }
}

fn commands() -> Vec<Command> {
    vec![
        set("/1/a/b", "x"),
        put("k", "v"),
        set("/1/a/c", "y"),
        set("/1/a", "no: it is a directory"),
        delete("/1/a"),
        put("k", "w"),
        set("/1/a", "now it is a file"),
        compact(2),
        set("/1/q", "z"),
    ]
}

#[test]
fn rows_and_outcomes_do_not_depend_on_how_entries_come() {
    let (mut alone, mut together) = (Node::new(), Node::new());
    let one_by_one: Vec<_> = commands().into_iter().map(|command| alone.run(command).result).collect();
    let first = together.applier.applied().index + 1;
    let entries: Vec<_> = (first..).zip(commands()).map(|(index, command)| entry(index, 1, command)).collect();
    let report = together.applier.apply(&entries).expect("the entries apply");
    let at_once: Vec<_> = report.replies.into_iter().map(|reply| reply.expect("an answer").1.result).collect();
    assert_eq!(one_by_one, at_once);
    assert_eq!(dump(alone.engine.as_ref()), dump(together.engine.as_ref()));
    assert_eq!(report.v2.iter().map(|applied| applied.events).collect::<Vec<_>>(), [1, 1, 0, 1, 1, 1]);
    assert_eq!(report.view.v2.index, 5);
}

#[test]
fn the_tree_goes_on_where_it_was_after_a_restart() {
    let mut node = Node::new();
    commands().into_iter().for_each(|command| drop(node.run(command)));
    let engine = node.engine.clone();
    drop(node);
    let mut again = Node::open(engine, super::super::CHUNK_BYTES);
    assert_eq!(event(again.run(set("/1/r", "x")).result).index(), 6);
    let view = again.applier.view();
    assert_eq!(read::events(&view, 1, 10, 1 << 20).expect("events").len(), 6);
    assert!(view.status.logical_bytes > view.v2.bytes && view.v2.bytes > 0, "the tree counts against the quota");
    let mut problems = Vec::new();
    check::check(&view.snapshot, &mut |problem| problems.push(problem)).expect("rows read");
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_full_store_takes_deletions_and_a_corrupt_one_nothing() {
    let mut node = Node::new();
    node.run(set("/1/a", "x"));
    let alarm = |alarm: AlarmType, action: AlarmAction| {
        Command::Alarm(AlarmRequest { action: action as i32, member_id: 1, alarm: alarm as i32 })
    };
    node.run(alarm(AlarmType::Nospace, AlarmAction::Activate));
    assert_eq!(node.run(set("/1/b", "x")).result, Err(ApplyError::NoSpace));
    assert_eq!(event(node.run(delete("/1/a")).result).index(), 2);
    node.run(alarm(AlarmType::Corrupt, AlarmAction::Activate));
    assert_eq!(node.run(delete("/1/a")).result, Err(ApplyError::Corrupt));
}

#[test]
fn a_request_of_another_term_has_no_effect() {
    let mut node = Node::new();
    let next = node.applier.applied().index + 1;
    let late = scoped(next, 2, 1, set("/1/a", "x"));
    let report = node.applier.apply(&[late]).expect("the entry applies");
    assert_eq!(report.replies[0].as_ref().expect("an answer").1.result, Err(ApplyError::StaleTerm));
    assert!(dump(node.engine.as_ref()).iter().all(|row| row.1.first() != Some(&meta::V2_NODE)));
}
