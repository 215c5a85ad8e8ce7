//! How a case is timed, and the texts that all peers read.

use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs};

/// How often each is timed; the least counts.
const ROUNDS: usize = 7;

/// Times cases, and prints `CASE<TAB>WHO<TAB>NANOSECONDS<TAB>ANSWER` for each.
pub struct Bench {
    only: Option<String>,
}

impl Bench {
    /// With the cases alone whose names contain the first argument.
    pub fn from_args() -> Bench {
        Bench {
            only: env::args().nth(1),
        }
    }

    /// Times each of `all` in turn; `per` is what a time is divided by.
    pub fn case(&self, case: &str, per: usize, all: &mut [(&str, &mut dyn FnMut() -> usize)]) {
        if self.only.as_ref().is_some_and(|only| !case.contains(only)) {
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
            println!("{case}\t{who}\t{:.3}\t{answer}", time / per as f64);
        }
    }
}

/// What is read, by everybody alike.
pub struct Texts {
    /// `n1` to `n1000000`, in ranges that Slurm reads.
    pub million: String,
    /// Ten thousand single numbers in one bracket.
    pub fragments: String,
    /// Text after the bracket.
    pub suffix: String,
    /// Names in an order that looks like none.
    pub fold_100k: String,
    pub fold_1m: String,
    /// Two sets of a hundred thousand single numbers.
    pub odd: String,
    pub third: String,
    /// Two ranges that overlap, of parts that Slurm reads.
    pub low: String,
    pub high: String,
}

impl Texts {
    /// Makes them.
    pub fn make() -> Texts {
        Texts {
            million: ranges(1, 1_000_000),
            fragments: fragments(10_000, 2),
            suffix: "n[1-65536]-ib".to_owned(),
            fold_100k: names(&shuffled(100_000)),
            fold_1m: names(&shuffled(1_000_000)),
            odd: fragments(100_000, 2),
            third: fragments(100_000, 3),
            low: ranges(1, 100_000),
            high: ranges(50_000, 150_000),
        }
    }

    fn each(&mut self) -> [(&'static str, &mut String); 9] {
        [
            ("million", &mut self.million),
            ("fragments", &mut self.fragments),
            ("suffix", &mut self.suffix),
            ("fold-100k", &mut self.fold_100k),
            ("fold-1M", &mut self.fold_1m),
            ("odd", &mut self.odd),
            ("third", &mut self.third),
            ("low", &mut self.low),
            ("high", &mut self.high),
        ]
    }

    /// Writes each to a file of its name, for drivers in other languages.
    pub fn write(mut self) {
        for (name, text) in self.each() {
            fs::write(folder().join(name), text).expect("a text can be written");
        }
    }

    /// What [`Texts::write`] has written.
    pub fn read() -> Texts {
        let mut texts = Texts::make();
        for (name, text) in texts.each() {
            *text = fs::read_to_string(folder().join(name)).expect("a text that was written");
        }
        texts
    }
}

/// The folder of the texts: `$TEXTS`.
fn folder() -> PathBuf {
    env::var_os("TEXTS").expect("TEXTS names a folder").into()
}

/// Slurm reads no range of more.
fn ranges(first: u64, last: u64) -> String {
    let parts = (first..=last).step_by(65_536);
    let parts = parts.map(|low| format!("n[{low}-{}]", last.min(low + 65_535)));
    parts.collect::<Vec<_>>().join(",")
}

fn fragments(n: u64, step: u64) -> String {
    let numbers: Vec<String> = (0..n).map(|i| (1 + step * i).to_string()).collect();
    format!("n[{}]", numbers.join(","))
}

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
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}n{n}").expect("a String takes all");
    }
    text
}
