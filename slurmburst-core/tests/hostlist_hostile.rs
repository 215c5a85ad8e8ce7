//! Texts made to hurt are answered or refused at once.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "hostile/texts.rs"]
mod texts;

use std::process::Command;
use std::time::{Duration, Instant};

use slurmburst_core::hostlist::{Dialect, HostList, HostSet, HostlistErrorKind, Limits};
use texts::hostile;

/// Far more than any of them takes, for a busy machine and a slow build.
/// Not a measurement, only what tells an answer from a hang on any machine.
const SOON: Duration = Duration::from_secs(30);

/// Reads it as the programs do, and asks what they ask.
fn answer(what: &str, text: &str, and_then: impl Fn(&HostList)) {
    for (dialect, limits) in [
        (Dialect::Strict, Limits::default()),
        (Dialect::SlurmCompat, Limits::slurm()),
    ] {
        let started = Instant::now();
        let read = HostList::parse_with(text, dialect, &limits);
        if let Ok(list) = &read {
            let _ = (list.len(), list.iter().nth(5), list.iter().next_back());
        }
        // For whoever measures: `--release -- --ignored --nocapture one_of_them`.
        eprintln!("{what}: {dialect:?}: {:?}", started.elapsed());
        match read {
            Ok(list) => {
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
