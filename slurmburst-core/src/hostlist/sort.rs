//! Runs in Slurm's order, cut where others belong between their names.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::item::Run;
use super::name::compare;
use super::order::natural;
use super::range::{Span, push_number};

type Seg<'a> = Run<&'a str>;

fn same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || a == b
}

/// The name of `seg` with its number at `value`.
fn text<'a>(seg: &Seg<'a>, value: u64) -> Cow<'a, str> {
    match seg.span {
        None => Cow::Borrowed(seg.prefix),
        Some(span) => {
            let mut out = String::from(seg.prefix);
            push_number(&mut out, span.len, value);
            out.push_str(seg.suffix);
            Cow::Owned(out)
        }
    }
}

/// Compares a name of `a` with the first of `b`.
fn compare_at(a: &Seg<'_>, value: u64, b: &Seg<'_>) -> Ordering {
    if let (Some(x), Some(y)) = (a.span, b.span) {
        let (x, y) = ((x.len, value), (y.len, y.lo));
        if x.0 == y.0 && same(a.prefix, b.prefix) && same(a.suffix, b.suffix) {
            return x.cmp(&y);
        }
        if a.suffix.is_empty() && b.suffix.is_empty() {
            let prefixes = if same(a.prefix, b.prefix) {
                Ordering::Equal
            } else {
                natural(a.prefix, b.prefix)
            };
            return prefixes.then(x.cmp(&y));
        }
    }
    compare(&text(a, value), &text(b, b.span.map_or(0, |span| span.lo)))
}

fn compare_first(a: &Seg<'_>, b: &Seg<'_>) -> Ordering {
    compare_at(a, a.span.map_or(0, |span| span.lo), b)
}

/// The smallest first, for the heap.
struct First<'a>(Seg<'a>);

impl Ord for First<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_first(&other.0, &self.0)
    }
}

impl PartialOrd for First<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for First<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for First<'_> {}

/// The highest number of `seg`, which begins at or before `next`, that is not
/// behind the first of `next`.
fn last_before(seg: &Seg<'_>, span: Span, next: &Seg<'_>) -> u64 {
    let fits = |value| compare_at(seg, value, next) != Ordering::Greater;
    if fits(span.hi) {
        return span.hi;
    }
    let (mut fit, mut not) = (span.lo, span.hi);
    while not - fit > 1 {
        let middle = fit + (not - fit) / 2;
        if fits(middle) {
            fit = middle
        } else {
            not = middle
        }
    }
    fit
}

/// All names of `segs` in Slurm's order, duplicates kept.
pub(crate) fn sorted(mut segs: Vec<Seg<'_>>) -> Vec<Seg<'_>> {
    segs.sort_by(compare_first);
    let mut out: Vec<Seg<'_>> = Vec::with_capacity(segs.len());
    let mut whole = segs.into_iter().peekable();
    // What is left of those that had to be cut.
    let mut rests: BinaryHeap<First<'_>> = BinaryHeap::new();
    loop {
        let from_rests = match (rests.peek(), whole.peek()) {
            (Some(First(rest)), Some(next)) => compare_first(rest, next) != Ordering::Greater,
            (rest, _) => rest.is_some(),
        };
        let popped = if from_rests {
            rests.pop().map(|First(seg)| seg)
        } else {
            whole.next()
        };
        let Some(mut seg) = popped else { return out };
        let next = match (rests.peek(), whole.peek()) {
            (Some(First(rest)), Some(next)) if compare_first(rest, next) == Ordering::Less => {
                Some(rest)
            }
            (Some(First(rest)), None) => Some(rest),
            (_, next) => next,
        };
        if let (Some(span), Some(next)) = (seg.span, next) {
            let last = last_before(&seg, span, next);
            if last < span.hi {
                let rest = Span {
                    lo: last + 1,
                    ..span
                };
                rests.push(First(Run {
                    span: Some(rest),
                    ..seg.clone()
                }));
                seg.span = Some(Span { hi: last, ..span });
            }
        }
        out.push(seg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[(&str, u32, u64, u64, &str)]) -> Vec<String> {
        let segs = list
            .iter()
            .map(|&(prefix, len, lo, hi, suffix)| Run {
                prefix,
                span: (len > 0).then_some(Span { len, lo, hi }),
                suffix,
            })
            .collect();
        let mut out = Vec::new();
        for seg in sorted(segs) {
            match seg.span {
                None => out.push(seg.prefix.to_owned()),
                Some(span) => {
                    (span.lo..=span.hi).for_each(|n| out.push(text(&seg, n).into_owned()));
                }
            }
        }
        out
    }

    #[test]
    fn interleaves_suffixes() {
        let names = names(&[
            ("n", 1, 1, 3, "-ib"),
            ("n", 1, 2, 3, "-ic"),
            ("n2-ib", 1, 1, 2, ""),
            ("n", 1, 1, 9, ""),
            ("n", 3, 90, 100, "-ib"),
            ("n", 4, 905, 910, "-ib"),
            ("n1-j", 0, 0, 0, ""),
        ]);
        let mut expected = names.clone();
        expected.sort_by(|a, b| compare(a, b));
        assert_eq!(names, expected);
    }

    #[test]
    fn keeps_duplicates() {
        let names = names(&[("n", 1, 1, 5, ""), ("n", 1, 3, 4, ""), ("n", 1, 1, 5, "")]);
        assert_eq!(names.join(" "), "n1 n1 n2 n2 n3 n3 n3 n4 n4 n4 n5 n5");
    }
}
