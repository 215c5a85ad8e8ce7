//! Calls and attempts.

use super::*;
use crate::error::{Effect, Error, ErrorKind};

#[test]
fn a_call_is_kept_verbatim_before_it_is_sent() {
    let mut l = ledger();
    let new = new_call("a", "p", &[("c1", 1), ("c2", 2)]);
    l.begin_calls(std::slice::from_ref(&new)).unwrap();
    assert_eq!(l.call("a").unwrap().as_ref(), Some(&new.call));
    assert_eq!(l.call("b").unwrap(), None);
    let live = l.live_attempts().unwrap();
    assert_eq!(live.len(), 2);
    assert_eq!(live[1].node, node("c2"));
    assert_eq!(live[1].generation, Generation(2));
    assert_eq!(live[1].state, AttemptState::Unknown);
    assert_eq!(
        (live[1].placement.as_str(), live[1].call.as_str()),
        ("p", "a")
    );
    assert_eq!(live[1].lifecycle, Lifecycle::CreateDelete);
}

#[test]
fn a_node_with_a_live_power_up_gets_no_second_one() {
    let mut l = ledger();
    l.begin_calls(&[new_call("a", "p", &[("c1", 1)])]).unwrap();
    for state in [
        AttemptState::Unknown,
        AttemptState::Accepted(pending("c1", Direction::Up)),
        AttemptState::Done,
    ] {
        let e = event("c1", "x");
        l.record_outcomes(&[AttemptUpdate::up(node("c1"), "a", state, None, e)])
            .unwrap();
        let refused = l
            .begin_calls(&[new_call("b", "q", &[("c2", 2), ("c1", 2)])])
            .unwrap_err();
        assert_eq!(refused.kind(), LedgerErrorKind::LiveAttempt);
        assert!(
            refused
                .to_string()
                .contains("c1 already has the power-up a"),
            "{refused}"
        );
        assert_eq!(l.call("b").unwrap(), None, "all or none");
        assert!(
            l.attempts(&node("c2"), None).unwrap().is_empty(),
            "all or none"
        );
    }
    assert_eq!(l.close_attempts(&node("c1"), Generation(0)).unwrap(), 0);
    assert_eq!(l.close_attempts(&node("c1"), Generation(1)).unwrap(), 1);
    l.begin_calls(&[new_call("b", "q", &[("c2", 2), ("c1", 2)])])
        .unwrap();
    let all = l.attempts(&node("c1"), None).unwrap();
    assert_eq!(
        all.iter().map(|a| &a.state).collect::<Vec<_>>(),
        [&AttemptState::Closed, &AttemptState::Unknown]
    );
    assert_eq!(
        l.attempts(&node("c1"), Some(Generation(2))).unwrap(),
        all[1..]
    );
}

#[test]
fn a_node_twice_in_one_call_is_refused_and_so_is_an_id_used_before() {
    let mut l = ledger();
    let twice = l
        .begin_calls(&[new_call("a", "p", &[("c1", 1), ("c1", 1)])])
        .unwrap_err();
    assert_eq!(twice.kind(), LedgerErrorKind::LiveAttempt);
    l.begin_calls(&[new_call("a", "p", &[("c1", 1)])]).unwrap();
    let again = l
        .begin_calls(&[new_call("a", "p", &[("c2", 1)])])
        .unwrap_err();
    assert_eq!(again.kind(), LedgerErrorKind::Invalid);
}

#[test]
fn outcomes_are_kept_with_what_they_hold() {
    let mut l = ledger();
    l.begin_calls(&[new_call("a", "p", &[("c1", 1), ("c2", 1)])])
        .unwrap();
    let p = pending("c1", Direction::Up);
    let why = Error::new(ErrorKind::Capacity, "no room")
        .code("Zonal")
        .effect(Effect::None);
    let changed = l
        .record_outcomes(&[
            AttemptUpdate::up(
                node("c1"),
                "a",
                AttemptState::Accepted(p.clone()),
                Some("i-1".into()),
                event("c1", "accepted"),
            ),
            AttemptUpdate::up(
                node("c2"),
                "a",
                AttemptState::Refused(why.clone()),
                None,
                event("c2", "refused"),
            ),
        ])
        .unwrap();
    assert_eq!(changed, 2);
    let live = l.live_attempts().unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].state, AttemptState::Accepted(p));
    assert_eq!(live[0].instance.as_deref(), Some("i-1"));
    assert_eq!(
        l.tried(&node("c2"), Generation(1)).unwrap(),
        [("p".to_owned(), why)]
    );
    assert!(l.tried(&node("c1"), Generation(1)).unwrap().is_empty());

    let update = AttemptUpdate::of(&live[0], AttemptState::Done, None, event("c1", "done"));
    assert_eq!(l.record_outcomes(&[update]).unwrap(), 1);
    let live = l.live_attempts().unwrap();
    assert_eq!(
        (&live[0].state, live[0].instance.as_deref()),
        (&AttemptState::Done, Some("i-1"))
    );

    let late = AttemptUpdate::up(
        node("c2"),
        "a",
        AttemptState::Done,
        None,
        event("c2", "late"),
    );
    assert_eq!(
        l.record_outcomes(&[late]).unwrap(),
        0,
        "what is over stays over"
    );
    let words: Vec<_> = l
        .events(None, 9)
        .unwrap()
        .into_iter()
        .map(|e| e.what)
        .collect();
    assert_eq!(words, ["accepted", "refused", "done", "late"]);
}

#[test]
fn a_repeated_power_down_takes_the_place_of_the_live_one() {
    let mut l = ledger();
    l.begin_downs(&[
        down("c1", 1, Some("i-1")),
        down("c1", 1, Some("i-2")),
        down("c1", 1, None),
    ])
    .unwrap();
    let p = pending("c1", Direction::Down);
    let accepted = AttemptState::Accepted(p);
    l.record_outcomes(&[AttemptUpdate::down(
        node("c1"),
        Some("i-1".into()),
        accepted,
        event("c1", "x"),
    )])
    .unwrap();
    l.begin_downs(&[down("c1", 2, Some("i-1"))]).unwrap();
    let live = l.live_attempts().unwrap();
    let seen: Vec<_> = live
        .iter()
        .map(|a| (a.generation.0, a.instance.as_deref()))
        .collect();
    assert_eq!(seen, [(1, Some("i-2")), (1, None), (2, Some("i-1"))]);
    assert!(
        live.iter()
            .all(|a| a.state == AttemptState::Unknown && a.mode == Some(DownMode::Terminate))
    );
    assert_eq!(l.attempts(&node("c1"), None).unwrap().len(), 3);

    let done = |i: Option<&str>| {
        AttemptUpdate::down(
            node("c1"),
            i.map(str::to_owned),
            AttemptState::Done,
            event("c1", "x"),
        )
    };
    assert_eq!(
        l.record_outcomes(&[done(None), done(Some("i-2"))]).unwrap(),
        2
    );
    assert_eq!(
        l.live_attempts().unwrap().len(),
        3,
        "done, and not yet over"
    );
    l.begin_calls(&[new_call("a", "p", &[("c1", 3)])]).unwrap();
    let live = l.live_attempts().unwrap();
    let seen: Vec<_> = live
        .iter()
        .map(|a| (a.direction, a.instance.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [(Direction::Down, Some("i-1")), (Direction::Up, None)]
    );
}

#[test]
fn closing_leaves_a_power_down_that_is_under_way() {
    let mut l = ledger();
    l.begin_calls(&[new_call("a", "p", &[("c1", 1)])]).unwrap();
    l.begin_downs(&[down("c1", 2, None)]).unwrap();
    l.record_outcomes(&[AttemptUpdate::down(
        node("c1"),
        None,
        AttemptState::Accepted(pending("c1", Direction::Down)),
        event("c1", "accepted"),
    )])
    .unwrap();
    assert_eq!(l.close_attempts(&node("c1"), Generation(9)).unwrap(), 1);
    let live = l.live_attempts().unwrap();
    assert_eq!(
        live.iter().map(|a| a.direction).collect::<Vec<_>>(),
        [Direction::Down]
    );
}

#[test]
fn power_ups_are_counted_unless_they_did_nothing() {
    let mut l = ledger();
    for (i, state) in [
        AttemptState::Refused(Error::new(ErrorKind::Capacity, "no room")),
        AttemptState::Closed,
        AttemptState::Done,
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("a{i}");
        l.begin_calls(&[new_call(&id, "p", &[("c1", 1)])]).unwrap();
        l.record_outcomes(&[AttemptUpdate::up(
            node("c1"),
            id,
            state,
            None,
            event("c1", "x"),
        )])
        .unwrap();
    }
    l.begin_downs(&[down("c1", 2, None), down("c2", 2, None)])
        .unwrap();
    let counts = l.power_ups_since(T0).unwrap();
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(node("c1"), 2)]);
    assert!(l.power_ups_since(T0 + 3_600_000).unwrap().is_empty());
}

#[test]
fn tokens_are_stable_and_ids_are_not_repeated() {
    // Written down: a token that changes makes a second machine.
    assert_eq!(
        call_token("hpc1-7f3a9c", "a-1"),
        "f875cf85cc40f23ae80625048620d8db"
    );
    assert_ne!(call_token("hpc1", "x"), call_token("hpc2", "x"));
    let ids: std::collections::HashSet<_> = (0..10_000).map(|_| new_call_id()).collect();
    assert_eq!(ids.len(), 10_000);
    for id in ids {
        assert!(id.len() <= 45, "{id}");
        assert!(
            id.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
    }
}
