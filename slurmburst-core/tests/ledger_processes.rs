//! The ledger under several processes: killed at any moment, or writing at once.
//!
//! A child is this test binary again, running one of the ignored `child_` tests
//! with a folder in its environment.
#![cfg(feature = "ledger")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slurmburst_core::clock::Clock;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::ledger::{
    AttemptState, AttemptUpdate, Event, Lease, Ledger, NewCall, NewWish, Program, Wish, call_token,
    new_call_id,
};
use slurmburst_core::provider::{Call, CallNode, Direction, Lifecycle, Placement, Template};

const DIR: &str = "SLURMBURST_TEST_DIR";
const NODES: usize = 50;

fn spawn(child: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            child,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The folder, in a child; `None` where somebody runs the ignored tests by hand.
fn dir_of_child() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, Clock::system()).unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn nodes() -> Vec<NodeName> {
    (0..NODES)
        .map(|i| NodeName::new(&format!("c{i}")).unwrap())
        .collect()
}

fn wish(node: &NodeName, direction: Direction) -> NewWish {
    NewWish {
        node: node.clone(),
        direction,
        deadline_ms: 0,
        program: Program::Resume,
    }
}

fn event(wish: &Wish, what: &str) -> Event {
    Event {
        at_ms: 1,
        node: wish.node.clone(),
        generation: Some(wish.generation),
        what: what.to_owned(),
        placement: None,
        call: None,
        request_id: None,
        duration_ms: None,
        detail: None,
    }
}

fn call(wishes: &[Wish]) -> NewCall {
    let id = new_call_id();
    let nodes = wishes
        .iter()
        .map(|w| CallNode {
            name: w.node.clone(),
            generation: w.generation,
        })
        .collect();
    let placement = Placement {
        name: "p".to_owned(),
        provider: "here".to_owned(),
        lifecycle: Lifecycle::CreateDelete,
        template: Template::default(),
    };
    let token = call_token("hpc1", &id);
    NewCall {
        call: Call {
            id,
            token,
            placement,
            nodes,
            request: serde_json::Value::Null,
        },
    }
}

/// Wishes, calls, outcomes and ends for all nodes at once, until it is killed.
/// Says the generation of every batch of wishes that was recorded.
#[test]
#[ignore = "a child of killed_at_any_moment_every_transaction_is_whole"]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = dir_of_child() else { return };
    let mut l = open(&dir);
    let nodes = nodes();
    say("begun");
    loop {
        for node in &nodes {
            l.close_attempts(node, slurmburst_core::provider::Generation(i64::MAX))
                .unwrap();
        }
        for direction in [Direction::Up, Direction::Down] {
            let new: Vec<_> = nodes.iter().map(|n| wish(n, direction)).collect();
            let wishes = l.record(&new).unwrap();
            say(&format!("recorded {}", wishes[0].generation));
            if direction == Direction::Up {
                let call = call(&wishes);
                let id = call.call.id.clone();
                l.begin_calls(&[call]).unwrap();
                let updates: Vec<_> = wishes
                    .iter()
                    .map(|w| {
                        let (node, e) = (w.node.clone(), event(w, "done"));
                        AttemptUpdate::up(node, &id, AttemptState::Done, None, e)
                    })
                    .collect();
                assert_eq!(l.record_outcomes(&updates).unwrap(), NODES);
            }
            let ends: Vec<_> = wishes
                .into_iter()
                .map(|w| (w.node, w.generation, Ok(())))
                .collect();
            assert_eq!(l.settle(&ends).unwrap(), NODES);
        }
    }
}

#[test]
fn killed_at_any_moment_every_transaction_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut moments: u64 = 88_172_645_463_325_252;
    let mut last_said = 0;
    for _ in 0..20 {
        let mut child = spawn("child_that_writes_until_it_is_killed", dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while lines
            .next()
            .is_some_and(|line| !line.unwrap().ends_with("begun"))
        {}
        // Xorshift: other moments each time, the same in every run.
        moments ^= moments << 13;
        moments ^= moments >> 7;
        moments ^= moments << 17;
        std::thread::sleep(Duration::from_micros(moments % 120_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(said) = line.strip_prefix("recorded ") {
                last_said = said.parse().unwrap_or(last_said);
            }
        }
        look_that_all_is_whole(&open(dir.path()), last_said);
    }
    assert!(last_said > 0, "no child came as far as a wish");
}

fn look_that_all_is_whole(l: &Ledger, last_said: i64) {
    l.check().unwrap();
    let wishes = l.wishes(None).unwrap();
    assert!(wishes.is_empty() && last_said == 0 || wishes.len() == NODES);
    let kinds: BTreeSet<_> = wishes
        .iter()
        .map(|w| {
            (
                w.generation,
                w.direction == Direction::Up,
                w.settled.is_some(),
            )
        })
        .collect();
    assert!(kinds.len() <= 1, "a part of a batch: {kinds:?}");
    assert!(
        wishes.iter().all(|w| w.generation.0 >= last_said),
        "what was said is lost"
    );
    assert_eq!(
        l.events(None, usize::MAX).unwrap().len() % NODES,
        0,
        "a part of the events"
    );

    let mut calls: BTreeMap<String, Vec<AttemptState>> = BTreeMap::new();
    for node in nodes() {
        for attempt in l.attempts(&node, None).unwrap() {
            calls.entry(attempt.call).or_default().push(attempt.state);
        }
    }
    for (id, states) in calls {
        assert_eq!(states.len(), NODES, "a part of a call's attempts");
        assert_eq!(l.call(&id).unwrap().unwrap().nodes.len(), NODES);
        // They are closed one by one.
        let has = |state| states.contains(&state);
        assert!(
            !has(AttemptState::Unknown) || !has(AttemptState::Done),
            "a part of the outcomes"
        );
    }
}

#[test]
#[ignore = "a child of two_processes_that_record_at_once_lose_nothing"]
fn child_that_records_a_thousand_wishes() {
    let Some(dir) = dir_of_child() else { return };
    let mut l = open(&dir);
    let shared = NodeName::new("shared").unwrap();
    for i in 0..1_000 {
        let own = NodeName::new(&format!("p{}n{i}", std::process::id())).unwrap();
        l.record(&[wish(&own, Direction::Up), wish(&shared, Direction::Up)])
            .unwrap();
    }
    say("recorded all");
}

#[test]
fn two_processes_that_record_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let children = [(); 2].map(|()| spawn("child_that_records_a_thousand_wishes", dir.path()));
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&out.stdout).contains("recorded all"));
    }
    let l = open(dir.path());
    assert_eq!(l.wishes(None).unwrap().len(), 2_001);
    assert_eq!(l.wake_counter().unwrap(), 2_000);
    let shared = [NodeName::new("shared").unwrap()];
    let generations: Vec<_> = l
        .events(Some(&shared), 5_000)
        .unwrap()
        .iter()
        .map(|e| e.generation)
        .collect();
    assert_eq!(generations.len(), 2_000);
    assert!(
        generations.is_sorted_by(|a, b| a < b),
        "each newer than the one before"
    );
}

#[test]
#[ignore = "a child of a_killed_holder_frees_the_lease"]
fn child_that_holds_the_lease() {
    let Some(dir) = dir_of_child() else { return };
    let lease = Lease::try_acquire(&dir).unwrap().unwrap();
    open(&dir).heartbeat(&lease).unwrap();
    say("held");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_holder_frees_the_lease() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn("child_that_holds_the_lease", dir.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines
        .next()
        .is_some_and(|line| !line.unwrap().ends_with("held"))
    {}
    assert!(Lease::is_held(dir.path()));
    assert!(Lease::try_acquire(dir.path()).unwrap().is_none());
    let holder = open(dir.path()).holder().unwrap().unwrap();
    assert_eq!(holder.pid, child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!Lease::is_held(dir.path()));
    assert!(Lease::try_acquire(dir.path()).unwrap().is_some());
}
