//! Sets of numbers: spans sorted, apart from each other, as long as can be.

use super::range::{Span, push_span};

/// Sorts, joins what overlaps or touches.
pub(crate) fn normal(mut spans: Vec<Span>) -> Vec<Span> {
    if !spans.is_sorted() {
        // Many single numbers, as from a list of names, are sorted as numbers.
        if let Some(mut packed) = pack_all(&spans) {
            sort_numbers(&mut packed);
            return joined(packed.into_iter().map(unpack));
        }
        spans.sort_unstable();
    }
    joined(spans.into_iter())
}

/// Joins what overlaps or touches of sorted spans.
fn joined(spans: impl ExactSizeIterator<Item = Span>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if last.len == span.len && span.lo <= last.hi => {
                last.hi = last.hi.max(span.hi);
            }
            _ => push_span(&mut out, span),
        }
    }
    out.shrink_to_fit();
    out
}

/// All of them packed, if all can be.
fn pack_all(spans: &[Span]) -> Option<Vec<u64>> {
    let mut all = Vec::with_capacity(spans.len());
    for span in spans {
        all.push(pack(span)?);
    }
    Some(all)
}

/// What is above this in a packed number is its length.
const VALUE_BITS: u32 = 56;

/// A single number that is not too large, in the order of spans.
fn pack(span: &Span) -> Option<u64> {
    let fits =
        span.lo == span.hi && span.lo >> VALUE_BITS == 0 && span.len < 1 << (64 - VALUE_BITS);
    fits.then(|| u64::from(span.len) << VALUE_BITS | span.lo)
}

fn unpack(packed: u64) -> Span {
    let len = u32::try_from(packed >> VALUE_BITS).unwrap_or_default();
    Span::one(len, packed & ((1 << VALUE_BITS) - 1))
}

/// The digits that numbers are sorted by, in bits.
const DIGIT: u32 = 11;

/// Sorts digit by digit, the lowest first. Digits in which all are the same are
/// left out, and so is what comes to nothing: numbers without padding are in
/// the order of their lengths already.
fn sort_numbers(numbers: &mut Vec<u64>) {
    let first = numbers.first().copied().unwrap_or_default();
    let differing = numbers.iter().fold(0, |bits, n| bits | (n ^ first));
    let mut from = vec![0; numbers.len()];
    for shift in (0..u64::BITS).step_by(DIGIT as usize) {
        let digit = |n: u64| (n >> shift) as usize & ((1 << DIGIT) - 1);
        if digit(differing) == 0 || numbers.is_sorted() {
            continue;
        }
        std::mem::swap(numbers, &mut from);
        let mut places = [0; 1 << DIGIT];
        from.iter().for_each(|n| places[digit(*n)] += 1);
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for n in &from {
            let place = &mut places[digit(*n)];
            numbers[*place] = *n;
            *place += 1;
        }
    }
}

/// In either.
pub(crate) fn union(a: &[Span], b: &[Span]) -> Vec<Span> {
    normal([a, b].concat())
}

/// In both.
pub(crate) fn intersection(a: &[Span], b: &[Span]) -> Vec<Span> {
    let mut out = Vec::new();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        if x.len == y.len {
            let (lo, hi) = (x.lo.max(y.lo), x.hi.min(y.hi));
            if lo <= hi {
                out.push(Span { len: x.len, lo, hi });
            }
        }
        if (x.len, x.hi) <= (y.len, y.hi) {
            a.next();
        } else {
            b.next();
        }
    }
    out
}

/// In `a` and not in `b`.
pub(crate) fn difference(a: &[Span], b: &[Span]) -> Vec<Span> {
    let mut out = Vec::new();
    let mut b = b.iter().peekable();
    for span in a {
        let mut rest = Some(*span);
        while let (Some(left), Some(cut)) = (rest, b.peek()) {
            if (cut.len, cut.hi) < (left.len, left.lo) {
                b.next();
                continue;
            }
            if (cut.len, cut.lo) > (left.len, left.hi) {
                break;
            }
            if cut.lo > left.lo {
                out.push(Span {
                    hi: cut.lo - 1,
                    ..left
                });
            }
            let lo = cut.hi.checked_add(1).filter(|lo| *lo <= left.hi);
            rest = lo.map(|lo| Span { lo, ..left });
        }
        out.extend(rest);
    }
    out
}

/// Whether `one` is in.
pub(crate) fn contains(spans: &[Span], one: &Span) -> bool {
    let at = spans.partition_point(|span| (span.len, span.hi) < (one.len, one.lo));
    spans.get(at).is_some_and(|span| span.has(one))
}

/// Puts `one` in; says whether it was not there.
pub(crate) fn insert(spans: &mut Vec<Span>, one: Span) -> bool {
    let at = spans.partition_point(|span| (span.len, span.hi) < (one.len, one.lo));
    if spans.get(at).is_some_and(|span| span.has(&one)) {
        return false;
    }
    let touches =
        |low: &Span, high: &Span| low.len == high.len && low.hi.checked_add(1) == Some(high.lo);
    let before = at.checked_sub(1).filter(|at| touches(&spans[*at], &one));
    let after = spans.get(at).is_some_and(|span| touches(&one, span));
    match (before, after) {
        (Some(low), true) => {
            spans[low].hi = spans[at].hi;
            spans.remove(at);
        }
        (Some(low), false) => spans[low].hi = one.hi,
        (None, true) => spans[at].lo = one.lo,
        (None, false) => spans.insert(at, one),
    }
    true
}

/// Takes `one` out; says whether it was there.
pub(crate) fn remove(spans: &mut Vec<Span>, one: Span) -> bool {
    let at = spans.partition_point(|span| (span.len, span.hi) < (one.len, one.lo));
    let Some(span) = spans.get(at).copied().filter(|span| span.has(&one)) else {
        return false;
    };
    spans.splice(at..=at, difference(&[span], &[one]));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn spans(numbers: &BTreeSet<(u32, u64)>) -> Vec<Span> {
        normal(numbers.iter().map(|(len, n)| Span::one(*len, *n)).collect())
    }

    fn numbers(seed: u64) -> BTreeSet<(u32, u64)> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..30)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (2 + (state % 2) as u32, (state >> 8) % 40)
            })
            .collect()
    }

    #[test]
    fn agrees_with_sets_of_numbers() {
        for seed in 1..200 {
            let (a, b) = (numbers(seed), numbers(seed + 1000));
            let (x, y) = (spans(&a), spans(&b));
            assert_eq!(union(&x, &y), spans(&a.union(&b).copied().collect()));
            assert_eq!(
                intersection(&x, &y),
                spans(&a.intersection(&b).copied().collect())
            );
            assert_eq!(
                difference(&x, &y),
                spans(&a.difference(&b).copied().collect())
            );
            let (mut grown, mut shrunk) = (x.clone(), x.clone());
            for (len, n) in &b {
                let one = Span::one(*len, *n);
                assert_eq!(contains(&x, &one), a.contains(&(*len, *n)));
                assert_eq!(insert(&mut grown, one), !a.contains(&(*len, *n)));
                assert_eq!(remove(&mut shrunk, one), a.contains(&(*len, *n)));
            }
            assert_eq!(grown, union(&x, &y));
            assert_eq!(shrunk, difference(&x, &y));
        }
    }

    #[test]
    fn sorts_single_numbers_and_others() {
        let mut state = 1u64;
        let mut random = move |most: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 20) % most
        };
        for most in [3, 1_000, 1 << 30, 1 << 43] {
            let mut spans: Vec<Span> = (0..3_000)
                .map(|_| Span::one(random(20) as u32 + 1, random(most)))
                .collect();
            let expected = |spans: &[Span]| {
                let mut sorted = spans.to_vec();
                sorted.sort_unstable();
                joined(sorted.into_iter())
            };
            assert_eq!(normal(spans.clone()), expected(&spans));
            spans.swap(7, 2_000);
            spans[9].hi += 2;
            assert_eq!(normal(spans.clone()), expected(&spans));
        }
    }

    #[test]
    fn at_the_highest_number() {
        let all = Span {
            len: 20,
            lo: 10_000_000_000_000_000_000,
            hi: u64::MAX,
        };
        let top = Span::one(20, u64::MAX);
        let rest = difference(&[all], &[top]);
        assert_eq!(
            rest,
            [Span {
                hi: u64::MAX - 1,
                ..all
            }]
        );
        assert_eq!(union(&rest, &[top]), [all]);
    }
}
