//! Our hostlists against `scontrol show hostnames`, `hostlist` and `hostlistsorted` of real Slurms, with random
//! expressions, right ones and mangled ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use slurmburst_core::hostlist::{HostList, HostlistErrorKind as Kind, SlurmVersion as Version};
use slurmburst_tests::{Cluster, SlurmVersion, on_both};

/// Right expressions, and as many mangled ones.
const EXPRESSIONS: usize = 10_000;
/// No expression that may have more names than this.
const NAMES: u64 = 2_000;

/// How many expressions are recorded for the core's own tests.
const GOLDEN: usize = 400;

/// What is in every document about hostlists, and what is easily got wrong.
const CLASSIC: &[&str] = &[
    "n1",
    "n[1-3]",
    "n[01-10]",
    "n[8-012]",
    "n[08-11]",
    "n[1,3-5,07]",
    "n[10,9,8]",
    "n1,n1",
    "n[1-5],n3",
    "r[1-2]n[1-3]",
    "a[1-2]b[1-2]c[1-2]",
    "a[1-2]b[1-2]c[1-2]d[1-2]",
    "n[1-2]-ib",
    "n[1-2].cluster.example",
    "gpu[1-3,7],login,r[1-2]n[01-16]",
    "q1-dy-c5xlarge-[1-3],q1-st-c5xlarge-1",
    "n[9-11],m[1-2],n12",
    "1,2,3",
    "[1-3]",
    "a,b,c",
    "n[99-101]",
    "n[099-101]",
    "n[0-3]",
    "n[00-03]",
    "n1[3-4]",
    "x[1-2]y[01-02]",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn number(&mut self) -> String {
        let width = [0, 0, 0, 2, 3][self.below(5)];
        let most = [10, 30, 120, 1_100][self.below(4)];
        format!("{:0width$}", self.below(most))
    }

    fn range(&mut self) -> String {
        let low = self.number();
        if self.below(2) == 0 {
            return low;
        }
        let high = low.parse::<usize>().unwrap() + self.below(15);
        let width = if self.below(4) == 0 { 0 } else { low.len() };
        format!("{low}-{high:0width$}")
    }

    fn bracket(&mut self) -> String {
        let parts: Vec<String> = (0..=self.below(4)).map(|_| self.range()).collect();
        format!("[{}]", parts.join(","))
    }

    fn item(&mut self) -> String {
        let mut item = self
            .of(&["n", "n", "gpu", "r1n", "c-", "a.b", "x_", "", "9"])
            .to_owned();
        let brackets = [0, 1, 1, 1, 2, 3][self.below(6)];
        for _ in 0..brackets {
            item += &self.bracket();
            item += self.of(&["", "", "", "x", "-ib", "n2", "7", ".c"]);
        }
        if brackets == 0 {
            item += &self.number();
            item += self.of(&["", "", "-ib", "x"]);
        }
        item
    }

    fn expression(&mut self) -> String {
        let items: Vec<String> = (0..=self.below(4)).map(|_| self.item()).collect();
        items.join(",")
    }

    /// A character more, less, twice or another.
    fn mangled(&mut self) -> String {
        let mut text: Vec<char> = self.expression().chars().collect();
        for _ in 0..=self.below(2) {
            let at = self.below(text.len());
            let other = self
                .of(&["[", "]", ",", "-", "0", "5", "+", "n", ":", "*", "é"])
                .chars()
                .next()
                .unwrap();
            match self.below(4) {
                0 => text.insert(at, other),
                1 => text[at] = other,
                2 => text.insert(at, text[at]),
                _ if text.len() > 1 => _ = text.remove(at),
                _ => {}
            }
        }
        text.into_iter().collect()
    }
}

/// More than the names of an expression, whoever reads it.
fn most_names(text: &str) -> u64 {
    let mut product = 1u64;
    for bracket in text.split('[').skip(1) {
        let inside = bracket.split(']').next().unwrap_or_default();
        let sum: u64 = inside
            .split(',')
            .map(|range| {
                let mut numbers = range
                    .split('-')
                    .map(|n| n.trim_start_matches('+').parse::<u64>().unwrap_or(0));
                let low = numbers.next().unwrap_or(0);
                numbers.max().map_or(1, |high| high.abs_diff(low) + 1)
            })
            .sum();
        product = product.saturating_mul(sum.max(1));
    }
    product
}

/// What scontrol answers to each, by lines; one process for all.
fn ask(cluster: &Cluster, what: &str, texts: &[String]) -> Vec<Vec<String>> {
    let mut scontrol = cluster.command("scontrol");
    let mut child = scontrol
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let questions: String = texts
        .iter()
        .map(|text| format!("show {what} {text}\n"))
        .collect();
    let writer = thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let mut output = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    writer.join().unwrap().unwrap();
    child.wait().unwrap();
    let mut answers: Vec<Vec<String>> = Vec::new();
    for line in output.lines() {
        match line.strip_prefix("scontrol: ") {
            Some("") => {}
            Some(_) => answers.push(Vec::new()),
            None => answers
                .last_mut()
                .expect("a question before")
                .push(line.to_owned()),
        }
    }
    let unanswered = texts.get(answers.len());
    assert_eq!(
        answers.len(),
        texts.len(),
        "scontrol ended at {unanswered:?}"
    );
    answers
}

fn expressions(seed: u64, count: usize, make: impl Fn(&mut Random) -> String) -> Vec<String> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    while all.len() < count {
        let text = make(&mut random);
        // A slash is a file's name, and nothing is another question.
        if !text.is_empty() && most_names(&text) <= NAMES {
            all.push(text);
        }
    }
    all
}

fn names(list: &HostList) -> Vec<String> {
    list.iter().map(String::from).collect()
}

/// What Slurm reads as something else than was written, and we refuse: brackets that do not match (`n[1` is `n]` for
/// 22.05), nothing where a number should be, letters in a number (`n[6:3-6]` is `n006`), ranges that count down.
const MANGLED: [Kind; 7] = [
    Kind::EmptyBracket,
    Kind::EmptyRange,
    Kind::NestedBracket,
    Kind::NotANumber,
    Kind::ReversedRange,
    Kind::StrayBracket,
    Kind::UnclosedBracket,
];

fn differs(text: &str, ours: &dyn std::fmt::Debug, theirs: &[String]) -> ! {
    let theirs: String = theirs.join(" ").chars().take(400).collect();
    panic!("{text}\n  scontrol: {theirs}\n  ours: {ours:.400?}")
}

fn expressions_are_read_as_slurm_reads_them(version: SlurmVersion) {
    let Some(release) = version.or_skip() else {
        return;
    };
    let cluster = Cluster::builder(version).start();
    let ours = Version::new(release.year, release.month);
    let texts = expressions(7, EXPRESSIONS, Random::expression);
    for (text, theirs) in texts.iter().zip(ask(&cluster, "hostnames", &texts)) {
        match ours.check(text) {
            Ok(list) if names(&list) == theirs => {}
            Err(error) if theirs.is_empty() && error.kind() == Kind::SuffixUnsupported => {}
            answer => differs(text, &answer, &theirs),
        }
    }
}

fn mangled_expressions_are_read_as_slurm_reads_them_or_refused(version: SlurmVersion) {
    let Some(release) = version.or_skip() else {
        return;
    };
    let cluster = Cluster::builder(version).start();
    let ours = Version::new(release.year, release.month);
    let texts = expressions(11, EXPRESSIONS, Random::mangled);
    let mut alike = 0;
    for (text, theirs) in texts.iter().zip(ask(&cluster, "hostnames", &texts)) {
        match ours.check(text) {
            Ok(list) if names(&list) == theirs => alike += 1,
            Err(_) if theirs.is_empty() => alike += 1,
            Err(error) if MANGLED.contains(&error.kind()) => {}
            answer => differs(text, &answer, &theirs),
        }
    }
    assert!(alike > EXPRESSIONS / 2, "{alike} of {EXPRESSIONS}");
}

/// Whether a number begins with a zero.
fn is_padded(list: &HostList) -> bool {
    let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
    list.iter().any(|name| padded(name.digits()))
}

/// Whether some numbers are padded and others are not as long.
fn mixes_widths(list: &HostList) -> bool {
    let mut widths: Vec<usize> = list.iter().map(|name| name.digits().len()).collect();
    widths.dedup();
    is_padded(list) && widths.len() > 1
}

/// Whether a number does not fit 32 bits. Slurm loses some of those in sorting: 24.11 makes `[9100300026]` of
/// `9100300026,907000027`.
fn is_large(list: &HostList) -> bool {
    list.iter().any(|name| name.digits().len() > 9)
}

fn names_are_folded_as_slurm_folds_them(version: SlurmVersion) {
    if version.or_skip().is_none() {
        return;
    }
    let cluster = Cluster::builder(version).start();
    let lists: Vec<HostList> = expressions(13, EXPRESSIONS / 4, |random| {
        let list = random.expression().parse::<HostList>();
        let mut all = list.map(|l| names(&l)).unwrap_or_default();
        for at in (1..all.len())
            .filter(|_| random.below(2) == 0)
            .collect::<Vec<_>>()
        {
            let other = random.below(at);
            all.swap(at, other);
        }
        all.truncate(100);
        all.join(",")
    })
    .iter()
    .map(|text| text.parse().unwrap())
    .collect();
    let texts: Vec<String> = lists.iter().map(|list| names(list).join(",")).collect();
    for (list, theirs) in lists.iter().zip(ask(&cluster, "hostlist", &texts)) {
        if [list.to_slurm()] != *theirs {
            differs(&names(list).join(","), &list.to_slurm(), &theirs);
        }
    }
    for (list, theirs) in lists.iter().zip(ask(&cluster, "hostlistsorted", &texts)) {
        let ours = list.sorted().to_slurm();
        if [ours.clone()] == *theirs || is_large(list) {
            continue;
        }
        // The same names in another order: before 26.05 Slurm put a number among those of other padding by its value.
        let again = theirs
            .first()
            .and_then(|text| text.parse::<HostList>().ok());
        if !(is_padded(list) && again.is_some_and(|again| again.sorted() == list.sorted())) {
            differs(&names(list).join(","), &ours, &theirs);
        }
    }
}

/// The golden set of the core's tests: expressions, and what this Slurm makes of them. Tabs between.
///
/// `SLURMBURST_GOLDEN=FILE cargo test -p slurmburst-tests --test hostlist -- --ignored golden_set`
#[test]
#[ignore = "writes the golden set anew"]
fn golden_set() {
    let version = SlurmVersion::Newer;
    let (Some(release), Some(file)) = (version.or_skip(), std::env::var_os("SLURMBURST_GOLDEN"))
    else {
        return;
    };
    let cluster = Cluster::builder(version).start();
    let mut texts: Vec<String> = CLASSIC.iter().map(|text| (*text).to_owned()).collect();
    texts.extend(expressions(17, 3 * GOLDEN, Random::expression));
    let few = |text: &String| {
        text.parse::<HostList>()
            .is_ok_and(|list| list.len() <= 40 && !is_large(&list))
    };
    texts.retain(few);
    texts.truncate(GOLDEN);
    let hostnames = ask(&cluster, "hostnames", &texts);
    let named: Vec<String> = hostnames.iter().map(|names| names.join(",")).collect();
    let folded = ask(&cluster, "hostlist", &named);
    let sorted = ask(&cluster, "hostlistsorted", &named);
    let mut golden = format!(
        "# Recorded from scontrol of Slurm {release}: an expression, its names, those folded, and folded in order.\n"
    );
    for (((text, names), folded), sorted) in texts.iter().zip(&named).zip(&folded).zip(&sorted) {
        // Releases differ in the order of a number among those of other padding.
        let sorted = match mixes_widths(&text.parse().unwrap()) {
            true => "-",
            false => sorted[0].as_str(),
        };
        golden += &format!("{text}\t{names}\t{}\t{sorted}\n", folded[0]);
    }
    std::fs::write(file, golden).unwrap();
}

on_both! {
    expressions_are_read_as_slurm_reads_them,
    mangled_expressions_are_read_as_slurm_reads_them_or_refused,
    names_are_folded_as_slurm_folds_them,
}
