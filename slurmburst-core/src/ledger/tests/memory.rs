//! Marks, dry placements, sightings, settings, history.

use super::*;
use crate::error::{Error, ErrorKind};

fn mark(name: &str) -> Mark {
    Mark {
        node: node(name),
        generation: Generation(3),
        step: MarkStep::Force,
        reason: "slurmburst: capacity".to_owned(),
        until_ms: T0 + 1,
        kind: ErrorKind::Capacity,
        created_ms: T0,
    }
}

#[test]
fn marks_are_set_moved_on_and_cleared() {
    let mut l = ledger();
    l.set_marks(&[mark("c2"), mark("c1")]).unwrap();
    l.set_mark(&Mark {
        reason: "slurmburst: other".to_owned(),
        ..mark("c1")
    })
    .unwrap();
    assert_eq!(l.marks().unwrap().len(), 2);
    assert!(l.step_mark(&node("c1"), MarkStep::Hold).unwrap());
    assert!(!l.step_mark(&node("c3"), MarkStep::Hold).unwrap());
    assert_eq!(
        l.step_marks(&[node("c2"), node("c3")], MarkStep::Await)
            .unwrap(),
        1
    );
    let c1 = l.mark(&node("c1")).unwrap().unwrap();
    assert_eq!(
        (c1.step, c1.reason.as_str()),
        (MarkStep::Hold, "slurmburst: other")
    );
    assert_eq!(
        l.mark(&node("c2")).unwrap(),
        Some(Mark {
            step: MarkStep::Await,
            ..mark("c2")
        })
    );
    assert!(l.clear_mark(&node("c1")).unwrap());
    assert!(!l.clear_mark(&node("c1")).unwrap());
    assert_eq!(l.clear_marks(&[node("c1"), node("c2")]).unwrap(), 1);
    assert!(l.marks().unwrap().is_empty());
}

#[test]
fn a_dry_placement_is_dry_until_its_time() {
    let mut l = ledger();
    let e = Error::new(ErrorKind::Quota, "8 of 8 used").code("QuotaExceeded");
    l.set_dry("p", &e, T0 + 1_000).unwrap();
    l.set_dry("q", &e, T0 - 1).unwrap();
    l.set_dry("p", &e, T0 + 90_000).unwrap();
    let dry = l.dry(T0).unwrap();
    assert_eq!(dry.len(), 1);
    assert_eq!((dry["p"].until_ms, &dry["p"].error), (T0 + 90_000, &e));
    assert!(l.dry(T0 + 90_000).unwrap().is_empty());
    let rows: i64 = l
        .conn
        .query_row("SELECT count(*) FROM dry", [], |r| r.get(0))
        .unwrap();
    assert_eq!(rows, 1, "what has expired is forgotten");
}

#[test]
fn a_sighting_keeps_its_first_time() {
    let mut l = ledger();
    assert_eq!(l.sight("a", 100).unwrap(), 100);
    assert_eq!(l.sight("a", 200).unwrap(), 100);
    let keys = ["b".to_owned(), "a".to_owned()];
    assert_eq!(l.sight_all(&keys, 300).unwrap(), [300, 100]);
    assert_eq!(l.sight("b", 50).unwrap(), 50, "the clock was set back");
    assert_eq!(
        l.forget_sightings_except(&["b".to_owned(), "z".to_owned()])
            .unwrap(),
        1
    );
    assert_eq!(l.sight_all(&keys, 400).unwrap(), [50, 400]);
    assert_eq!(l.forget_sightings_except(&[]).unwrap(), 2);
}

#[test]
fn settings_and_pause() {
    let mut l = ledger();
    assert!(!l.paused().unwrap());
    let wake = l.wake_counter().unwrap();
    l.set_paused(true).unwrap();
    assert!(l.paused().unwrap());
    l.set_paused(false).unwrap();
    assert!(!l.paused().unwrap());
    assert_eq!(l.wake_counter().unwrap(), wake + 2);
    assert_eq!(l.get_meta("k").unwrap(), None);
    l.set_meta("k", "1").unwrap();
    l.set_meta("k", "2").unwrap();
    assert_eq!(l.get_meta("k").unwrap().as_deref(), Some("2"));
}

#[test]
fn the_history_is_newest_last_and_cut_at_its_beginning() {
    let mut l = ledger();
    let all: Vec<_> = (0..6)
        .map(|i| event(&format!("c{}", i % 3), &format!("e{i}")))
        .collect();
    l.add_events(&all).unwrap();
    assert_eq!(l.events(None, 100).unwrap(), all);
    assert_eq!(l.events(None, 2).unwrap(), all[4..]);
    let of = |nodes: &[&str], limit| {
        let nodes: Vec<_> = nodes.iter().map(|n| node(n)).collect();
        let events = l.events(Some(&nodes), limit).unwrap();
        events.into_iter().map(|e| e.what).collect::<Vec<_>>()
    };
    assert_eq!(of(&["c0"], 10), ["e0", "e3"]);
    assert_eq!(of(&["c2", "c0", "none"], 3), ["e2", "e3", "e5"]);
    assert!(of(&[], 3).is_empty());
}

#[test]
fn pruning_takes_what_is_old_and_over_and_nothing_else() {
    let mut l = ledger();
    l.record(&[wish("c1", Direction::Up)]).unwrap();
    let generation = l.wish(&node("c1")).unwrap().unwrap().generation;
    l.settle(&[(node("c1"), generation, Ok(()))]).unwrap();
    l.begin_calls(&[
        new_call("live", "p", &[("c1", 1)]),
        new_call("half", "p", &[("c2", 1), ("c3", 1)]),
        new_call("over", "p", &[("c4", 1)]),
    ])
    .unwrap();
    l.begin_downs(&[down("c5", 1, None), down("c6", 1, None)])
        .unwrap();
    let refused = || AttemptState::Refused(Error::new(ErrorKind::Quota, "x"));
    l.record_outcomes(&[
        AttemptUpdate::up(node("c2"), "half", refused(), None, event("c2", "x")),
        AttemptUpdate::up(node("c4"), "over", refused(), None, event("c4", "x")),
        AttemptUpdate::down(node("c6"), None, AttemptState::Done, event("c6", "x")),
    ])
    .unwrap();
    assert_eq!(l.prune(T0).unwrap(), 0, "nothing is older than this");
    // 4 events, the attempts of c2, c4 and c6, and the call `over`.
    assert_eq!(l.prune(T0 + 3_600_000).unwrap(), 8);
    let live: Vec<_> = l
        .live_attempts()
        .unwrap()
        .into_iter()
        .map(|a| a.node)
        .collect();
    assert_eq!(live, [node("c1"), node("c3"), node("c5")]);
    assert!(l.call("half").unwrap().is_some());
    assert!(l.call("over").unwrap().is_none());
    assert_eq!(l.wishes(None).unwrap().len(), 1, "wishes carry the counter");
}
