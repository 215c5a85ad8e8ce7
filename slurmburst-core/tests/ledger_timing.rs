//! How long a wish takes to be on disk, in the ledger and in a journal file.
//! The numbers of docs/decisions/0001-sqlite-ledger.md:
//! `cargo test --release -p slurmburst-core --test ledger_timing -- --ignored --nocapture`
#![cfg(feature = "ledger")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use slurmburst_core::clock::Clock;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::ledger::{Ledger, NewWish, Program};
use slurmburst_core::provider::Direction;

fn wishes(count: usize) -> Vec<NewWish> {
    let wish = |i| NewWish {
        node: NodeName::new(&format!("node{i}")).unwrap(),
        direction: Direction::Up,
        deadline_ms: 1_780_000_000_000,
        program: Program::Resume,
    };
    (0..count).map(wish).collect()
}

/// The median of 50 runs.
fn median(mut run: impl FnMut()) -> Duration {
    let mut took: Vec<_> = (0..50)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

#[test]
#[ignore = "measures, and proves nothing"]
fn a_record_against_an_appended_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(dir.path(), Clock::system()).unwrap();
    let mut journal = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.path().join("journal"))
        .unwrap();
    for count in [1, 1_000, 10_000] {
        let wishes = wishes(count);
        let sqlite = median(|| drop(ledger.record(&wishes).unwrap()));
        let file = median(|| {
            let lines: String = wishes
                .iter()
                .map(|w| {
                    let (node, program) = (&w.node, w.program.as_str());
                    format!(
                        "{{\"node\":\"{node}\",\"up\":true,\"deadline_ms\":{},\"program\":\"{program}\"}}\n",
                        w.deadline_ms
                    )
                })
                .collect();
            journal.write_all(lines.as_bytes()).unwrap();
            journal.sync_data().unwrap();
        });
        println!("{count:>6} wishes: ledger {sqlite:>10.2?}, journal {file:>10.2?}");
    }
    let open = median(|| drop(Ledger::open(dir.path(), Clock::system()).unwrap()));
    println!("opening the ledger: {open:.2?}");
}
