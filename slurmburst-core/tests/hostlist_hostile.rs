//! Texts made to hurt are answered or refused at once.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::process::Command;
use std::time::{Duration, Instant};

use slurmburst_core::hostlist::{Dialect, HostList, HostSet, HostlistErrorKind, Limits};

/// Far more than any of them takes, for a busy machine and a slow build.
/// Not a measurement, only what tells an answer from a hang on any machine.
const SOON: Duration = Duration::from_secs(30);

fn hostile() -> Vec<(&'static str, String)> {
    let million = 1_000_000;
    let numbers = |n: usize, step: usize| {
        (0..n)
            .map(|i| (i * step).to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    vec![
        ("range 1-999999999999", "n[1-999999999999]".into()),
        ("range 1-4294967296", "n[1-4294967296]".into()),
        ("range 1-10000000", "n[1-10000000]".into()),
        ("n[[[[", "n[[[[".into()),
        ("1MB of [", "[".repeat(million)),
        ("1MB of n[", "n[".repeat(million / 2)),
        ("1MB of ]", "]".repeat(million)),
        ("1MB of ,", ",".repeat(million)),
        ("1MB of a", "a".repeat(million)),
        ("1MB digits", "1".repeat(million)),
        (
            "1MB digits in bracket",
            format!("n[{}]", "1".repeat(million)),
        ),
        ("width 1MB zeros", format!("n[{}1-9]", "0".repeat(million))),
        (
            "width 100k x 10k hosts",
            format!("n[{}1-9999]", "0".repeat(100_000)),
        ),
        ("dims 1000^3", "n[1-1000][1-1000][1-1000]".into()),
        ("dims 10^9", format!("n{}", "[1-10]".repeat(9))),
        ("dims 2^40", format!("n{}", "[1-2]".repeat(40))),
        ("dims 1^100000", format!("n{}", "[1]".repeat(100_000))),
        (
            "1M ranges in one bracket",
            format!("n[{}]", numbers(150_000, 2)),
        ),
        ("300k comma tokens", "a,b,".repeat(150_000)),
        ("many overlapping", vec!["n[1-60000]"; 60_000].join(",")),
        ("NUL inside", "n[1-3]\0n[4-6]".into()),
        ("u64 max", "n[18446744073709551615]".into()),
        (
            "u64 max range",
            "n[18446744073709551614-18446744073709551615]".into(),
        ),
        ("0-u64max", "n[0-18446744073709551615]".into()),
        ("u64 overflow", "n[18446744073709551616]".into()),
        ("RTL, zero width", "n\u{202e}[1-3]\u{200b}".into()),
        ("newline", "n[1-3]\nm".into()),
        ("shell meta", "n[1-2];$(rm -rf x)".into()),
        ("format", "%s%n[1-2]".into()),
        ("unbalanced close", "n1-3]".into()),
        ("neg", "n[-5--1]".into()),
        ("step huge", "n[1-10/99999999999999999999]".into()),
        ("range 1e6 padded", "n[0000001-1000000]".into()),
        (
            "sort worst",
            format!(
                "n[{}]",
                (0..50_000)
                    .rev()
                    .map(|i| (i * 3).to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ),
        (
            "dims 1000^7",
            "n[1-1000][1-1000][1-1000][1-1000][1-1000][1-1000][1-1000]".into(),
        ),
        ("deep names", "a1".repeat(500_000)),
        (
            "names with numbers",
            (0..150_000)
                .map(|i| format!("a{i:04}"))
                .collect::<Vec<_>>()
                .join(","),
        ),
        (
            "suffixes",
            (0..90_000)
                .map(|i| format!("a{i:04}-b"))
                .collect::<Vec<_>>()
                .join(","),
        ),
    ]
}

/// Reads it as the programs do, and asks what they ask.
fn answer(what: &str, text: &str, and_then: impl Fn(&HostList)) {
    for (dialect, limits) in [
        (Dialect::Strict, Limits::default()),
        (Dialect::SlurmCompat, Limits::slurm()),
    ] {
        match HostList::parse_with(text, dialect, &limits) {
            Ok(list) => {
                let _ = (list.len(), list.iter().nth(5), list.iter().next_back());
                assert!(
                    list.iter().take(1000).all(|name| list.contains(&name)) || list.len() > 2000
                );
                and_then(&list);
            }
            Err(error) => assert!(
                error.render().len() < 2000 && !error.span().is_empty(),
                "{what}: {error}"
            ),
        }
    }
}

#[test]
fn hostile_texts_are_answered_at_once() {
    for (what, text) in hostile() {
        let started = Instant::now();
        answer(what, &text, |list| {
            let _ = (list.clone() == *list, list.to_compact());
        });
        assert!(started.elapsed() < SOON, "{what}: {:?}", started.elapsed());
    }
}

/// Names one of [`hostile`] to the process that answers it alone.
const ONE: &str = "SLURMBURST_HOSTILE";

#[test]
#[ignore = "a process of the next test"]
fn one_of_them() {
    let one = std::env::var(ONE).unwrap().parse::<usize>().unwrap();
    let (what, text) = hostile().swap_remove(one);
    answer(what, &text, |_| {});
}

#[test]
fn each_is_answered_within_64_mib() {
    for (one, (what, _)) in hostile().into_iter().enumerate() {
        let output = Command::new("prlimit")
            .arg("--data=67108864")
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "one_of_them"])
            .env(ONE, one.to_string())
            // An arena of the allocator's for each thread would count too.
            .env("MALLOC_ARENA_MAX", "1")
            .output();
        match output {
            Err(error) => return eprintln!("SKIPPED: prlimit: {error}"),
            Ok(output) => assert!(
                output.status.success(),
                "{what}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }
}

#[test]
fn sets_and_sorting_refuse_what_would_not_fit() {
    for text in ["n[1-9000][1-9000][1-9000]", "n[1-2000000]x3"] {
        let list: HostList = text.parse().unwrap();
        let error = list.try_to_set(&Limits::default()).unwrap_err();
        assert_eq!(error.kind(), HostlistErrorKind::TooManyNames);
        assert!(list.try_sorted(&Limits::default()).is_err());
        assert!(text.parse::<HostSet>().is_err());
        assert!(list.collect_names(&Limits::default()).is_err());
    }
    let overlapping = ["n[1-1000000000]"; 3]
        .join(",")
        .parse::<HostList>()
        .unwrap();
    assert!(overlapping.try_sorted(&Limits::default()).is_err());
    assert_eq!(overlapping.to_set().len(), 1_000_000_000);
}

#[test]
fn a_billion_names_cost_nothing() {
    let started = Instant::now();
    let mut set: HostSet = "n[1-1000000000]".parse().unwrap();
    let down: HostSet = "n[500000000-600000000]".parse().unwrap();
    set = &set - &down;
    assert_eq!(set.len(), 899_999_999);
    assert_eq!(set.iter().nth(499_999_999).unwrap(), "n600000001");
    assert_eq!(set.iter().nth_back(0).unwrap(), "n1000000000");
    assert!(set.is_disjoint(&down));
    assert!(started.elapsed() < SOON);
}
