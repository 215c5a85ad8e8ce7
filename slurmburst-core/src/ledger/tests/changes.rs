//! [`Changes`]: all or none, and never over a newer wish.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::ledger::{AttemptUpdate, Changes, Mark, MarkStep};

fn mark(name: &str, generation: i64) -> Mark {
    Mark {
        node: node(name),
        generation: Generation(generation),
        step: MarkStep::Force,
        reason: "slurmburst: capacity".to_owned(),
        until_ms: 0,
        kind: ErrorKind::Capacity,
        created_ms: T0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_wish_marks_the_node_and_wishes_the_rest_away_at_once() {
    let mut ledger = ledger();
    let up = ledger
        .record(&[wish("c1", Direction::Up)])
        .unwrap()
        .remove(0);
    ledger
        .begin_calls(&[new_call("a", "p", &[("c1", up.generation.0)])])
        .unwrap();
    let wake = ledger.wake_counter().unwrap();
    let error = Error::new(ErrorKind::Capacity, "no room");
    let failed = AttemptState::Refused(error.clone());
    let changes = Changes {
        updates: vec![AttemptUpdate::up(
            node("c1"),
            "a",
            failed,
            None,
            event("c1", "refused"),
        )],
        settled: vec![(node("c1"), up.generation, Err(error.clone()))],
        marks: vec![mark("c1", up.generation.0)],
        wishes: vec![(wish("c1", Direction::Down), up.generation)],
        dry: [("p".to_owned(), (error, T0 + 1_000))].into(),
        events: vec![event("c1", "failed")],
        ..Changes::default()
    };
    let recorded = ledger.apply(&changes).unwrap();
    assert_eq!(recorded.len(), 1);
    assert_eq!(ledger.wish(&node("c1")).unwrap().unwrap(), recorded[0]);
    assert!(ledger.wake_counter().unwrap() > wake);
    assert!(ledger.live_attempts_of(&[node("c1")]).unwrap().is_empty());
    assert_eq!(ledger.marks().unwrap().len(), 1);
    assert!(ledger.dry(T0).unwrap().contains_key("p"));
    let words: Vec<String> = ledger
        .events(None, 10)
        .unwrap()
        .into_iter()
        .map(|e| e.what)
        .collect();
    assert_eq!(words, ["wish-up", "refused", "wish-down", "failed"]);
}

#[tokio::test(start_paused = true)]
async fn what_follows_from_an_old_wish_does_not_overtake_a_newer_one() {
    let mut ledger = ledger();
    let old = ledger
        .record(&[wish("c1", Direction::Up)])
        .unwrap()
        .remove(0);
    let newer = ledger
        .record(&[wish("c1", Direction::Up)])
        .unwrap()
        .remove(0);
    let down = || wish("c1", Direction::Down);
    let after = |generation| Changes {
        wishes: vec![(down(), generation)],
        ..Changes::default()
    };
    assert!(ledger.apply(&after(old.generation)).unwrap().is_empty());
    assert!(ledger.apply(&after(Generation(0))).unwrap().is_empty());
    assert_eq!(ledger.wish(&node("c1")).unwrap().unwrap(), newer);
    assert_eq!(ledger.apply(&after(newer.generation)).unwrap().len(), 1);
    let none = Changes {
        wishes: vec![(wish("c9", Direction::Down), Generation(0))],
        ..Changes::default()
    };
    assert_eq!(
        ledger.apply(&none).unwrap().len(),
        1,
        "where there was none"
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_gone_closes_the_call_that_made_it_and_no_other() {
    let mut ledger = ledger();
    ledger
        .begin_calls(&[new_call("a", "p", &[("c1", 1), ("c2", 1)])])
        .unwrap();
    ledger.begin_downs(&[down("c1", 2, Some("i-1"))]).unwrap();
    let gone = Changes {
        gone: vec![(node("c1"), "b".to_owned())],
        ..Changes::default()
    };
    ledger.apply(&gone).unwrap();
    assert_eq!(
        ledger
            .live_attempts_of(&[node("c1"), node("c2")])
            .unwrap()
            .len(),
        3
    );
    let gone = Changes {
        gone: vec![(node("c1"), "a".to_owned())],
        ..Changes::default()
    };
    ledger.apply(&gone).unwrap();
    let live = ledger.live_attempts_of(&[node("c2"), node("c1")]).unwrap();
    let live: Vec<_> = live
        .iter()
        .map(|a| (a.node.as_str(), a.direction))
        .collect();
    assert_eq!(live, [("c2", Direction::Up), ("c1", Direction::Down)]);
}

#[test]
fn live_attempts_are_found_by_their_small_indexes() {
    let ledger = ledger();
    for direction in ["up", "down"] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT id FROM attempt WHERE node = 'c1' AND direction = '{direction}'
             AND state IN ('unknown', 'accepted', 'done') ORDER BY id"
        );
        let plan: String = ledger.conn.query_row(&sql, [], |row| row.get(3)).unwrap();
        assert!(plan.contains(&format!("attempt_one_{direction}")), "{plan}");
    }
}
