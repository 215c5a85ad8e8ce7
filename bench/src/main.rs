//! Hostlists, ours and the peers', timed side by side: each case several times in turn, the least of each counts.
//!
//! `slurmburst-bench [CASE]`. With `TEXTS` in the environment the texts go there first, for the drivers in other
//! languages. `tests/bench.sh hostlist` runs them all and makes a table.

#[path = "../../slurmburst-core/tests/hostile/texts.rs"]
mod hostile;

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use nodeset::{IdRangeTree, NodeSet};
use slurmburst_bench_timing::{Bench, Texts};
use slurmburst_core::hostlist::{Dialect, HostList, HostSet, Limits};

fn ours(text: &str) -> HostList {
    HostList::parse_with(text, Dialect::Strict, &limits()).expect("a hostlist")
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.input_bytes = 64 << 20;
    limits.ranges_per_list = 1 << 22;
    limits.ranges_per_bracket = 1 << 22;
    limits.names = 1 << 24;
    limits
}

fn set(text: &str) -> HostSet {
    ours(text).try_into_set(&limits()).expect("a set")
}

fn theirs(text: &str) -> NodeSet {
    text.parse().expect("a nodeset")
}

fn main() {
    let bench = Bench::from_args();
    let texts = Texts::make();
    names(&bench, &texts);
    parsing(&bench, &texts);
    folding(&bench, &texts);
    algebra(&bench, &texts);
    processes(&bench, &texts);
    worst();
    if std::env::var_os("TEXTS").is_some() {
        texts.write();
    }
}

/// All names of a list that was read before.
fn names(bench: &Bench, texts: &Texts) {
    let million = &texts.million;
    let (list, peer) = (ours(million), theirs(million));
    bench.case(
        "stream-1M",
        1_000_000,
        &mut [
            ("slurmburst", &mut || {
                let mut sum = 0;
                list.for_each(|name| sum += black_box(name).len());
                sum
            }),
            ("nodeset", &mut || {
                peer.iter().map(|name| black_box(name).len()).sum()
            }),
        ],
    );
    bench.case(
        "strings-1M",
        1_000_000,
        &mut [
            ("slurmburst", &mut || {
                let mut sum = 0;
                list.for_each(|name| sum += black_box(name.to_owned()).len());
                sum
            }),
            ("nodeset", &mut || {
                peer.iter().map(|name: String| black_box(name).len()).sum()
            }),
        ],
    );
    bench.case(
        "vector-1M",
        1_000_000,
        &mut [
            ("slurmburst", &mut || {
                let mut all = Vec::with_capacity(1_000_000);
                list.for_each(|name| all.push(name.to_owned()));
                all.len()
            }),
            ("nodeset", &mut || {
                let mut all = Vec::with_capacity(1_000_000);
                all.extend(peer.iter());
                all.len()
            }),
            ("hostlist_iter", &mut || {
                let all = hostlist_iter::expand_hostlist(million);
                all.expect("names").len()
            }),
            ("hostlist-parser", &mut || {
                hostlist_parser::parse(million).expect("names").len()
            }),
        ],
    );
    bench.case(
        "buffer-1M",
        1_000_000,
        &mut [
            ("slurmburst", &mut || {
                let mut out = String::new();
                list.write_to(&mut out, "\n").expect("text");
                out.len()
            }),
            ("nodeset", &mut || {
                let mut out = String::new();
                peer.iter().for_each(|name| {
                    if !out.is_empty() {
                        out.push('\n')
                    }
                    out.push_str(&name)
                });
                out.len()
            }),
        ],
    );
}

fn parsing(bench: &Bench, texts: &Texts) {
    let text = &texts.fragments;
    bench.case(
        "fragments-10k",
        10_000,
        &mut [
            ("slurmburst", &mut || {
                let mut sum = 0;
                ours(text).for_each(|name| sum += black_box(name).len());
                sum
            }),
            ("nodeset", &mut || {
                theirs(text).iter().map(|name| black_box(name).len()).sum()
            }),
            ("hostlist_iter", &mut || {
                let all = hostlist_iter::expand_hostlist(text).expect("names");
                all.iter().map(String::len).sum()
            }),
        ],
    );
    let text = &texts.suffix;
    bench.case(
        "suffix-65536",
        65_536,
        &mut [
            ("slurmburst", &mut || {
                let mut sum = 0;
                ours(text).for_each(|name| sum += black_box(name.to_owned()).len());
                sum
            }),
            ("nodeset", &mut || {
                theirs(text)
                    .iter()
                    .map(|name: String| black_box(name).len())
                    .sum()
            }),
        ],
    );
    let text = "n[1-10000000]";
    bench.case(
        "len-10M",
        1,
        &mut [
            ("slurmburst", &mut || ours(text).len() as usize),
            ("hostlist_iter", &mut || {
                hostlist_iter::Hostlist::new(text).expect("a list").len()
            }),
        ],
    );
}

fn folding(bench: &Bench, texts: &Texts) {
    for (case, names, text) in [
        ("fold-100k", 100_000, &texts.fold_100k),
        ("fold-1M", 1_000_000, &texts.fold_1m),
    ] {
        bench.case(
            case,
            names,
            &mut [
                // Slurm would read no more than 65,536 in one part.
                ("slurmburst", &mut || {
                    set(set(text).to_slurm().as_str()).len() as usize
                }),
                // Its default, a list of ranges, sorts anew for every name.
                ("nodeset", &mut || {
                    let folded = text.parse::<NodeSet<IdRangeTree>>().expect("a nodeset");
                    theirs(&folded.to_string()).len()
                }),
            ],
        );
    }
}

fn algebra(bench: &Bench, texts: &Texts) {
    let (a, b) = (&texts.odd, &texts.third);
    bench.case(
        "algebra-fragments-100k",
        1,
        &mut [
            ("slurmburst", &mut || {
                let (a, b) = (set(a), set(b));
                ((&a & &b).len() + (&a - &b).len()) as usize
            }),
            ("nodeset", &mut || {
                let (a, b) = (theirs(a), theirs(b));
                a.intersection(&b).len() + a.difference(&b).len()
            }),
        ],
    );
    let (a, b) = (&texts.low, &texts.high);
    bench.case(
        "difference-contiguous-100k",
        1,
        &mut [
            ("slurmburst", &mut || (set(a) - set(b)).len() as usize),
            ("nodeset", &mut || theirs(a).difference(&theirs(b)).len()),
        ],
    );
}

/// Whole programs, from fork to the last byte read.
fn processes(bench: &Bench, texts: &Texts) {
    let Some(slurmburst) = std::env::var_os("SLURMBURST") else {
        return;
    };
    let output = |command: &mut Command| {
        let output = command.arg(&texts.million).output().expect("it runs");
        output.stdout.trim_ascii_end().len()
    };
    bench.case(
        "process-1M",
        1_000_000,
        &mut [
            ("slurmburst", &mut || {
                output(Command::new(&slurmburst).args(["hostlist", "expand"]))
            }),
            ("scontrol", &mut || {
                output(Command::new("scontrol").args(["show", "hostnames"]))
            }),
        ],
    );
}

/// The text that takes longest to expand or to refuse of those that are made to hurt.
fn worst() {
    let mut worst = (0.0, "");
    let all = hostile::hostile();
    for (what, text) in &all {
        for (dialect, limits) in [
            (Dialect::Strict, Limits::default()),
            (Dialect::SlurmCompat, Limits::slurm()),
        ] {
            let start = Instant::now();
            let read = HostList::parse_with(text, dialect, &limits);
            // What does not fit in memory is counted, and the others gone through.
            if let Ok(list) = black_box(read)
                && list.len() <= limits.names
            {
                list.for_each(|name| _ = black_box(name));
            }
            let took = start.elapsed().as_nanos() as f64;
            if took > worst.0 {
                worst = (took, what);
            }
        }
    }
    println!("hostile\t{}\t{:.0}\t{}", worst.1, worst.0, all.len());
}
