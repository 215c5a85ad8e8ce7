//! The crate `hostlist`, timed as the others are.

use slurmburst_bench_timing::{Bench, Texts};

fn main() {
    let bench = Bench::from_args();
    let texts = Texts::read();
    bench.case(
        "vector-1M",
        1_000_000,
        &mut [("hostlist", &mut || {
            hostlist::expand(&texts.million).expect("names").len()
        })],
    );
    bench.case(
        "fragments-10k",
        10_000,
        &mut [("hostlist", &mut || {
            let names = hostlist::expand(&texts.fragments).expect("names");
            names.iter().map(String::len).sum()
        })],
    );
}
