//! Wishes and their counter.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::error::{Error, ErrorKind};

#[test]
fn a_wish_is_kept_as_it_was_recorded() {
    let mut l = ledger();
    let recorded = l
        .record(&[wish("c1", Direction::Up), wish("c2", Direction::Down)])
        .unwrap();
    assert_eq!(l.wishes(None).unwrap(), recorded);
    assert_eq!(l.wish(&node("c2")).unwrap().as_ref(), recorded.get(1));
    assert_eq!(l.wish(&node("c3")).unwrap(), None);
    let some = [node("c2"), node("none"), node("c1")];
    let names: Vec<_> = l
        .wishes(Some(&some))
        .unwrap()
        .into_iter()
        .map(|w| w.node)
        .collect();
    assert_eq!(names, [node("c2"), node("c1")]);
    assert!(recorded[0].generation.0 >= T0);
    assert_eq!(recorded[0].program, Program::Resume);
}

#[test]
fn a_wish_down_raises_the_floor_and_a_wish_up_keeps_it() {
    let mut l = ledger();
    let up = l.record(&[wish("c1", Direction::Up)]).unwrap().remove(0);
    assert_eq!(up.floor, Generation(0));
    let again = l.record(&[wish("c1", Direction::Up)]).unwrap().remove(0);
    assert_eq!(again.floor, Generation(0));
    assert!(again.generation > up.generation);
    let down = l.record(&[wish("c1", Direction::Down)]).unwrap().remove(0);
    assert_eq!(down.floor, down.generation);
    let up = l.record(&[wish("c1", Direction::Up)]).unwrap().remove(0);
    assert_eq!(up.floor, down.generation);
    assert!(up.generation > up.floor);
}

#[test]
fn a_node_named_twice_has_two_generations_and_the_later_counts() {
    let mut l = ledger();
    let both = l
        .record(&[wish("c1", Direction::Up), wish("c1", Direction::Up)])
        .unwrap();
    assert!(both[1].generation > both[0].generation);
    assert_eq!(l.wishes(None).unwrap(), both[1..]);
}

#[test]
fn only_the_newest_open_wish_is_settled_and_reopened() {
    let mut l = ledger();
    let c1 = node("c1");
    let old = l
        .record(&[wish("c1", Direction::Up)])
        .unwrap()
        .remove(0)
        .generation;
    let new = l
        .record(&[wish("c1", Direction::Up)])
        .unwrap()
        .remove(0)
        .generation;
    let why = Error::new(ErrorKind::Capacity, "no room")
        .code("NoRoom")
        .request_id("r");
    assert_eq!(l.settle(&[(c1.clone(), old, Ok(()))]).unwrap(), 0);
    assert_eq!(l.settle(&[(c1.clone(), new, Err(why.clone()))]).unwrap(), 1);
    assert_eq!(
        l.settle(&[(c1.clone(), new, Ok(()))]).unwrap(),
        0,
        "it has ended"
    );
    let settled = l.wish(&c1).unwrap().unwrap().settled.unwrap();
    assert_eq!(settled.result, Err(why));
    assert!(l.open_wishes().unwrap().is_empty());
    assert!(!l.reopen(&c1, old).unwrap());
    assert!(l.reopen(&c1, new).unwrap());
    assert!(!l.reopen(&c1, new).unwrap());
    assert_eq!(l.open_wishes().unwrap().len(), 1);
    l.settle(&[(c1.clone(), new, Ok(()))]).unwrap();
    let next = l.record(&[wish("c1", Direction::Up)]).unwrap();
    assert_eq!(next[0].settled, None);
    assert_eq!(l.open_wishes().unwrap(), next);
}

#[test]
fn recording_wakes_and_writes_the_history() {
    let mut l = ledger();
    let before = l.wake_counter().unwrap();
    l.record(&[wish("c1", Direction::Up), wish("c2", Direction::Down)])
        .unwrap();
    assert_eq!(l.wake_counter().unwrap(), before + 1);
    l.bump_wake().unwrap();
    assert_eq!(l.wake_counter().unwrap(), before + 2);
    let events = l.events(None, 10).unwrap();
    let words: Vec<_> = events
        .iter()
        .map(|e| (e.node.as_str(), e.what.as_str()))
        .collect();
    assert_eq!(words, [("c1", "wish-up"), ("c2", "wish-down")]);
    assert!(l.record(&[]).unwrap().is_empty());
    assert_eq!(l.wake_counter().unwrap(), before + 2);
}

#[test]
fn a_generation_that_nobody_can_have_written_is_not_believed() {
    let mut l = ledger();
    l.observe_generations(&[
        (node("c1"), Generation(i64::MAX)),
        (node("c2"), Generation(T0 * 2)),
    ])
    .unwrap();
    let both = l
        .record(&[wish("c1", Direction::Up), wish("c2", Direction::Up)])
        .unwrap();
    assert!(both[0].generation.0 < T0 + 60_000);
    assert_eq!(both[1].generation, Generation(T0 * 2 + 1));
    l.observe_generations(&[(node("c2"), Generation(7))])
        .unwrap();
    let again = l.record(&[wish("c2", Direction::Up)]).unwrap();
    assert_eq!(again[0].generation, Generation(T0 * 2 + 2));
}

#[test]
fn ten_thousand_wishes_and_calls_take_less_than_half_a_second_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::open(dir.path(), Clock::system()).unwrap();
    let wishes: Vec<_> = (0..10_000)
        .map(|i| wish(&format!("c{i}"), Direction::Up))
        .collect();
    // SQLite is compiled without optimisation in a debug build.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 4_000 } else { 500 });
    let timed = |what: &str, begun: Instant| {
        let took = begun.elapsed();
        println!("{what}: {took:?}");
        assert!(took < most, "{what} took {took:?}");
    };
    let begun = Instant::now();
    let recorded = l.record(&wishes).unwrap();
    timed("record", begun);
    let calls: Vec<_> = recorded
        .chunks(100)
        .enumerate()
        .map(|(i, part)| {
            let names: Vec<_> = part
                .iter()
                .map(|w| (w.node.as_str(), w.generation.0))
                .collect();
            new_call(&format!("call{i}"), "p", &names)
        })
        .collect();
    let begun = Instant::now();
    l.begin_calls(&calls).unwrap();
    timed("begin_calls", begun);
    let updates: Vec<_> = calls
        .iter()
        .flat_map(|c| c.call.nodes.iter().map(move |n| (&c.call.id, n)))
        .map(|(call, n)| {
            let e = event(n.name.as_str(), "done");
            AttemptUpdate::up(
                n.name.clone(),
                call,
                AttemptState::Done,
                Some("i".into()),
                e,
            )
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(l.record_outcomes(&updates).unwrap(), 10_000);
    timed("record_outcomes", begun);
    let begun = Instant::now();
    assert_eq!(l.live_attempts().unwrap().len(), 10_000);
    timed("live_attempts", begun);
    let settled: Vec<_> = recorded
        .iter()
        .map(|w| (w.node.clone(), w.generation, Ok(())))
        .collect();
    let begun = Instant::now();
    assert_eq!(l.settle(&settled).unwrap(), 10_000);
    timed("settle", begun);

    // Down again, and up again, over ten thousand that are live and done.
    let downs: Vec<_> = recorded
        .iter()
        .map(|w| down(w.node.as_str(), w.generation.0, Some("i")))
        .collect();
    let begun = Instant::now();
    l.begin_downs(&downs).unwrap();
    timed("begin_downs", begun);
    let updates: Vec<_> = downs
        .into_iter()
        .map(|d| {
            let e = event(d.node.as_str(), "done");
            AttemptUpdate::down(d.node, d.instance, AttemptState::Done, e)
        })
        .collect();
    assert_eq!(l.record_outcomes(&updates).unwrap(), 10_000);
    let begun = Instant::now();
    let over: Vec<_> = recorded
        .iter()
        .map(|w| (w.node.clone(), w.generation))
        .collect();
    assert_eq!(l.close_all(&over).unwrap(), 20_000);
    timed("close_all", begun);
    let again: Vec<_> = calls
        .into_iter()
        .map(|mut c| {
            c.call.id.push('b');
            c
        })
        .collect();
    let begun = Instant::now();
    l.begin_calls(&again).unwrap();
    timed("begin_calls again", begun);
    let begun = Instant::now();
    assert_eq!(l.power_ups_since(0).unwrap().len(), 10_000);
    timed("power_ups_since", begun);
}

#[derive(Debug, Clone)]
enum Op {
    Record(Vec<(usize, bool)>),
    Observe(usize, i64),
    Settle(usize, bool),
    Reopen(usize),
    Clock(i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec((0..4usize, any::<bool>()), 1..5).prop_map(Op::Record),
        1 => (0..4usize, -5_000..100_000i64).prop_map(|(n, d)| Op::Observe(n, d)),
        1 => (0..4usize, any::<bool>()).prop_map(|(n, ok)| Op::Settle(n, ok)),
        1 => (0..4usize).prop_map(Op::Reopen),
        2 => (-1_000_000..1_000_000i64).prop_map(Op::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model: the counter of a node only grows, whatever the clock
    /// does; the floor is the newest wish down; one wish per node is left.
    #[test]
    fn generations_never_go_back(ops in prop::collection::vec(op(), 1..60)) {
        let mut l = ledger();
        // Per node: the newest generation handed out or observed, the floor,
        // and whether the wish is open.
        let mut newest: BTreeMap<usize, i64> = BTreeMap::new();
        let mut floor: BTreeMap<usize, i64> = BTreeMap::new();
        let mut wishes: BTreeMap<usize, (Wish, bool)> = BTreeMap::new();
        let name = |n: usize| format!("c{n}");
        for op in ops {
            match op {
                Op::Clock(by) => l.clock = Clock::tokio(T0 + by),
                Op::Observe(n, by) => {
                    l.observe_generations(&[(node(&name(n)), Generation(T0 + by))]).unwrap();
                    let known = newest.entry(n).or_insert(0);
                    *known = (*known).max(T0 + by);
                }
                Op::Record(list) => {
                    let dir = |up| if up { Direction::Up } else { Direction::Down };
                    let new: Vec<_> = list.iter().map(|(n, up)| wish(&name(*n), dir(*up))).collect();
                    let recorded = l.record(&new).unwrap();
                    for ((n, up), w) in list.into_iter().zip(recorded) {
                        let known = newest.entry(n).or_insert(0);
                        prop_assert!(w.generation.0 > *known);
                        *known = w.generation.0;
                        if !up {
                            floor.insert(n, w.generation.0);
                        }
                        prop_assert_eq!(w.floor.0, floor.get(&n).copied().unwrap_or(0));
                        wishes.insert(n, (w, true));
                    }
                }
                Op::Settle(n, ok) => {
                    let Some((w, open)) = wishes.get_mut(&n) else { continue };
                    let result = if ok { Ok(()) } else { Err(Error::new(ErrorKind::Quota, "x")) };
                    let count = l.settle(&[(node(&name(n)), w.generation, result)]).unwrap();
                    prop_assert_eq!(count, usize::from(*open));
                    *open = false;
                }
                Op::Reopen(n) => {
                    let Some((w, open)) = wishes.get_mut(&n) else { continue };
                    prop_assert_eq!(l.reopen(&w.node, w.generation).unwrap(), !*open);
                    *open = true;
                }
            }
            let stored = l.wishes(None).unwrap();
            prop_assert_eq!(stored.len(), wishes.len());
            for (w, (model, open)) in stored.iter().zip(wishes.values()) {
                prop_assert_eq!((&w.node, w.generation, w.floor), (&model.node, model.generation, model.floor));
                prop_assert_eq!(w.settled.is_none(), *open);
            }
        }
    }
}
