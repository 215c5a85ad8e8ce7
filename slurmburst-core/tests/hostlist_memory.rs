//! What a list costs of the heap: in proportion to its text, whatever its names.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "hostile/texts.rs"]
mod texts;

use peak_alloc::PeakAlloc;
use slurmburst_core::hostlist::{Dialect, HostList, Limits};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Bytes of the heap for each byte of the text.
const EACH: usize = 64;
/// Of the heap, to go through a million names.
const STREAM: usize = 64 << 10;

/// What is taken at most while this goes on.
fn peak(work: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    work();
    HEAP.peak_usage().saturating_sub(before)
}

fn numbers(n: usize, step: usize) -> String {
    let all: Vec<String> = (0..n).map(|i| (i * step).to_string()).collect();
    all.join(",")
}

/// The only test here: the heap belongs to the whole process.
#[test]
fn lists_cost_what_their_texts_are_worth() {
    let mut all = vec![
        ("one number each", format!("n[{}]", numbers(50_000, 2))),
        ("the shortest names", "a,".repeat(100_000)),
        ("the shortest numbers", "1,".repeat(100_000)),
        ("the shortest brackets", "[1],".repeat(60_000)),
        ("two brackets each", "a[1]b[2],".repeat(60_000)),
        ("suffixes", "a[1]b,".repeat(60_000)),
    ];
    all.extend(texts::hostile());
    let mut most = (0.0, "");
    for (what, text) in &all {
        // A small text has the fixed cost of a list and of an error.
        let allowed = EACH * text.len() + 4096;
        for (dialect, limits) in [
            (Dialect::Strict, Limits::default()),
            (Dialect::SlurmCompat, Limits::slurm()),
        ] {
            let taken = peak(|| drop(HostList::parse_with(text, dialect, &limits)));
            assert!(taken <= allowed, "{what}: {taken} B for {} B", text.len());
            let each = taken as f64 / text.len() as f64;
            if text.len() > 4096 && each > most.0 {
                most = (each, what);
            }
        }
    }
    println!(
        "heap of a list: at most {:.1} B for each byte of its text ({})",
        most.0, most.1
    );

    let taken = peak(|| {
        let list: HostList = "n[1-1000000]".parse().unwrap();
        let mut bytes = 0;
        list.for_each(|name| bytes += name.len());
        assert_eq!(bytes, 6_888_896);
    });
    println!("heap of going through a million names: {taken} B");
    assert!(taken <= STREAM, "{taken} B");
}
