//! Hostlists, ours and the peers', timed side by side: each case several times in turn, the least of each counts.
//!
//! Prints `CASE<TAB>WHO<TAB>NANOSECONDS`, for each name or whole as the case says. `tests/bench.sh hostlist` makes a table
//! of it, beside libslurm, scontrol, ClusterShell and python-hostlist.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use nodeset::{IdRangeTree, NodeSet};
use slurmburst_core::hostlist::{Dialect, HostList, HostSet, Limits};

/// How often each is timed.
const ROUNDS: usize = 7;

struct Bench {
    only: Option<String>,
}

impl Bench {
    /// Times each of `all` in turn; `per` is what a time is divided by.
    fn case(&self, case: &str, per: usize, all: &mut [(&str, &mut dyn FnMut() -> usize)]) {
        if self
            .only
            .as_ref()
            .is_some_and(|only| !case.contains(only.as_str()))
        {
            return;
        }
        let mut least = vec![f64::INFINITY; all.len()];
        let mut answers = vec![0; all.len()];
        for _ in 0..ROUNDS {
            for (at, (_, run)) in all.iter_mut().enumerate() {
                let start = Instant::now();
                answers[at] = black_box(run());
                least[at] = least[at].min(start.elapsed().as_nanos() as f64);
            }
        }
        for ((who, _), (time, answer)) in all.iter().zip(least.iter().zip(&answers)) {
            assert_eq!(*answer, answers[0], "{case}: {who} answers something else");
            println!("{case}\t{who}\t{:.3}", time / per as f64);
        }
    }
}

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
    ours(text).try_to_set(&limits()).expect("a set")
}

fn theirs(text: &str) -> NodeSet {
    text.parse().expect("a nodeset")
}

/// The numbers up to `n` in an order that looks like none.
fn shuffled(n: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (1..=n).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for at in (1..numbers.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(at, (state % (at as u64 + 1)) as usize);
    }
    numbers
}

fn names(numbers: &[u64]) -> String {
    let mut text = String::new();
    for n in numbers {
        let _ = write!(text, "{}n{n}", if text.is_empty() { "" } else { "," });
    }
    text
}

/// One bracket of `n` single numbers, every `step`th from `first`.
fn fragments(n: u64, first: u64, step: u64) -> String {
    let mut text = String::from("n[");
    for i in 0..n {
        let _ = write!(
            text,
            "{}{}",
            if i == 0 { "" } else { "," },
            first + step * i
        );
    }
    text.push(']');
    text
}

fn main() {
    let bench = Bench {
        only: std::env::args().nth(1),
    };
    let million = "n[1-1000000]";
    let total = ours(million)
        .iter()
        .map(|n| n.as_str().len())
        .sum::<usize>();

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
                let mut all = Vec::with_capacity(1_000_000);
                list.for_each(|name| all.push(name.to_owned()));
                all.len()
            }),
            ("nodeset", &mut || {
                peer.iter().collect::<Vec<String>>().len()
            }),
            ("hostlist_iter", &mut || {
                hostlist_iter::expand_hostlist(million)
                    .expect("names")
                    .len()
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
    assert!(total > 0);

    let text = fragments(10_000, 1, 2);
    bench.case(
        "fragments-10k",
        10_000,
        &mut [
            ("slurmburst", &mut || {
                let mut n = 0;
                ours(&text).for_each(|name| n += black_box(name).len());
                n
            }),
            ("nodeset", &mut || {
                theirs(&text).iter().map(|name| black_box(name).len()).sum()
            }),
            ("hostlist_iter", &mut || {
                hostlist_iter::expand_hostlist(&text)
                    .expect("names")
                    .iter()
                    .map(String::len)
                    .sum()
            }),
        ],
    );
    let text = "n[1-65536]-ib";
    bench.case(
        "suffix-65536",
        65_536,
        &mut [
            ("slurmburst", &mut || {
                let mut all = Vec::new();
                ours(text).for_each(|name| all.push(name.to_owned()));
                all.len()
            }),
            ("nodeset", &mut || {
                theirs(text).iter().collect::<Vec<String>>().len()
            }),
        ],
    );
    for (case, n) in [("fold-100k", 100_000), ("fold-1M", 1_000_000)] {
        let text = names(&shuffled(n));
        bench.case(
            case,
            n as usize,
            &mut [
                ("slurmburst", &mut || {
                    usize::from(!set(&text).to_slurm().is_empty())
                }),
                // Its default, a list of ranges, sorts anew for every name.
                ("nodeset", &mut || {
                    text.parse::<NodeSet<IdRangeTree>>()
                        .expect("a nodeset")
                        .to_string()
                        .is_empty() as usize
                        ^ 1
                }),
            ],
        );
    }
    if std::env::var_os("PARTS").is_some() {
        let text = names(&shuffled(100_000));
        let list = ours(&text);
        let whole = set(&text);
        bench.case(
            "part-parse",
            100_000,
            &mut [("slurmburst", &mut || ours(&text).is_empty() as usize)],
        );
        bench.case(
            "part-set",
            100_000,
            &mut [("slurmburst", &mut || {
                list.try_to_set(&limits()).unwrap().is_empty() as usize
            })],
        );
        bench.case(
            "part-print",
            100_000,
            &mut [("slurmburst", &mut || whole.to_slurm().len())],
        );
    }
    let (a, b) = (fragments(100_000, 1, 2), fragments(100_000, 1, 3));
    bench.case(
        "algebra-fragments-100k",
        1,
        &mut [
            ("slurmburst", &mut || {
                let (a, b) = (set(&a), set(&b));
                ((&a & &b).len() + (&a - &b).len()) as usize
            }),
            ("nodeset", &mut || {
                let (a, b) = (theirs(&a), theirs(&b));
                a.intersection(&b).len() + a.difference(&b).len()
            }),
        ],
    );
    let (a, b) = ("n[1-100000]", "n[50000-150000]");
    bench.case(
        "difference-contiguous-100k",
        1,
        &mut [
            ("slurmburst", &mut || (set(a) - set(b)).len() as usize),
            ("nodeset", &mut || theirs(a).difference(&theirs(b)).len()),
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
