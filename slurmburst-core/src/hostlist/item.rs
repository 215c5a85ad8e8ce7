//! What a list is made of: names, one folded number, or a grid of brackets.

use std::sync::Arc;

use super::name::{NodeName, split};
use super::range::{Span, last_number, push_number};

/// One piece of a list. Never expanded.
#[derive(Clone)]
pub(crate) enum Item {
    Name(NodeName),
    Fold(Box<Fold>),
    Grid(Box<Grid>),
}

/// Names that differ in their last number only.
///
/// The prefix does not end with a digit and the suffix has none, so a name
/// has one place where it can be.
#[derive(Clone)]
pub(crate) struct Fold {
    pub(crate) prefix: Arc<str>,
    pub(crate) suffix: Arc<str>,
    pub(crate) spans: Vec<Span>,
}

/// Everything else: several brackets, or digits after one.
#[derive(Clone)]
pub(crate) struct Grid {
    /// One more than there are brackets.
    pub(crate) literals: Box<[Box<str>]>,
    pub(crate) dims: Box<[Dim]>,
    /// The product of the brackets.
    pub(crate) count: u64,
}

/// One bracket.
#[derive(Clone, PartialEq)]
pub(crate) struct Dim {
    pub(crate) spans: Box<[Span]>,
    /// How many numbers there are up to the end of each span.
    ends: Box<[u64]>,
}

impl Dim {
    /// `None` if there are more numbers than 64 bits count, or none.
    pub(crate) fn new(spans: Vec<Span>) -> Option<Dim> {
        let mut total = 0u64;
        let ends = spans
            .iter()
            .map(|span| {
                total = total.checked_add(u64::try_from(span.count()).ok()?)?;
                Some(total)
            })
            .collect::<Option<Box<[u64]>>>()?;
        (total > 0).then(|| Dim {
            spans: spans.into(),
            ends,
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// What is left of the span that has the number at `index`, from it on.
    fn rest_at(&self, index: u64) -> Option<Span> {
        let at = self.ends.partition_point(|end| *end <= index);
        let before = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.spans
            .get(at)
            .map(|span| span.part(index - before, u64::MAX))
    }
}

/// Names that follow each other: prefix, one number, suffix. Without `span`
/// the prefix is the whole name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run<P> {
    pub(crate) prefix: P,
    pub(crate) span: Option<Span>,
    pub(crate) suffix: P,
}

impl<'a> Run<&'a str> {
    /// A single name as a run.
    pub(crate) fn of_name(name: &'a str) -> Run<&'a str> {
        match split(name) {
            Some((prefix, span, suffix)) => Run {
                prefix,
                span: Some(span),
                suffix,
            },
            None => Run {
                prefix: name,
                span: None,
                suffix: "",
            },
        }
    }
}

impl Grid {
    /// `None` if the names are more than 64 bits count.
    pub(crate) fn new(literals: Vec<Box<str>>, dims: Vec<Dim>) -> Option<Grid> {
        let count = dims
            .iter()
            .try_fold(1u64, |n, dim| n.checked_mul(dim.count()))?;
        Some(Grid {
            literals: literals.into(),
            dims: dims.into(),
            count,
        })
    }

    /// How many runs [`run_at`](Grid::run_at) makes of it at most.
    pub(crate) fn runs(&self) -> u64 {
        let (Some(last), Some(suffix)) = (self.dims.last(), self.literals.last()) else {
            return 1;
        };
        if suffix.bytes().any(|b| b.is_ascii_digit()) {
            return self.count;
        }
        (self.count / last.count().max(1)).saturating_mul(last.spans.len() as u64)
    }

    /// Writes the name at `index` up to the last bracket, and returns what is
    /// left of the last bracket's span there.
    ///
    /// Slurm's order: the last bracket counts fastest, then the first, then
    /// the second and so on.
    fn write_head(&self, index: u64, out: &mut String) -> Option<Span> {
        let (last, outer) = self.dims.split_last()?;
        let mut rest = index / last.count().max(1);
        for (literal, dim) in self.literals.iter().zip(outer) {
            out.push_str(literal);
            let count = dim.count().max(1);
            let span = dim.rest_at(rest % count)?;
            push_number(out, span.len, span.lo);
            rest /= count;
        }
        out.push_str(self.literals.get(outer.len())?);
        last.rest_at(index % last.count().max(1))
    }

    /// Writes the name at `index`.
    pub(crate) fn write_name(&self, index: u64, out: &mut String) {
        if let Some(span) = self.write_head(index, out) {
            push_number(out, span.len, span.lo);
        }
        if let Some(suffix) = self.literals.last() {
            out.push_str(suffix);
        }
    }

    /// The longest run of names from `index` on, and how many it has.
    pub(crate) fn run_at(&self, index: u64) -> (Run<String>, u64) {
        let suffix = self.literals.last().map_or("", |suffix| suffix);
        let mut prefix = String::new();
        if !suffix.bytes().any(|b| b.is_ascii_digit())
            && let Some(span) = self.write_head(index, &mut prefix)
        {
            let from = match last_number(&prefix) {
                (from, to) if to == prefix.len() => from,
                _ => prefix.len(),
            };
            let joined = match &prefix[from..] {
                "" => Some(span),
                digits => span.after(digits),
            };
            if let (Some(joined), Ok(count)) = (joined, u64::try_from(span.count())) {
                prefix.truncate(from);
                return (
                    Run {
                        prefix,
                        span: Some(joined),
                        suffix: suffix.to_owned(),
                    },
                    count,
                );
            }
        }
        let mut name = String::new();
        self.write_name(index, &mut name);
        let run = Run::of_name(&name);
        (
            Run {
                prefix: run.prefix.into(),
                span: run.span,
                suffix: run.suffix.into(),
            },
            1,
        )
    }

    /// Whether `name` is one of the names.
    pub(crate) fn contains(&self, name: &str) -> bool {
        // Every place where the next literal may begin, bracket by bracket.
        let bytes = name.as_bytes();
        let mut places = vec![0usize];
        for (literal, dim) in self.literals.iter().zip(&self.dims) {
            let mut next = Vec::new();
            for place in places {
                let Some(at) = strip(bytes, place, literal) else {
                    continue;
                };
                for span in &dim.spans {
                    let end = at.saturating_add(span.len as usize);
                    if name
                        .get(at..end)
                        .and_then(Span::of_digits)
                        .is_some_and(|n| span.has(&n))
                    {
                        next.push(end);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            places = next;
        }
        let suffix = self.literals.last().map_or("", |suffix| suffix);
        places
            .into_iter()
            .any(|place| strip(bytes, place, suffix) == Some(bytes.len()))
    }
}

/// Where `literal` ends if it stands at `place`.
fn strip(text: &[u8], place: usize, literal: &str) -> Option<usize> {
    text.get(place..)?
        .starts_with(literal.as_bytes())
        .then(|| place + literal.len())
}

impl Item {
    /// How many names.
    pub(crate) fn count(&self) -> u128 {
        match self {
            Item::Name(_) => 1,
            Item::Fold(fold) => fold.spans.iter().map(Span::count).sum(),
            Item::Grid(grid) => u128::from(grid.count),
        }
    }

    pub(crate) fn contains(&self, name: &NodeName) -> bool {
        match self {
            Item::Name(own) => own == name,
            Item::Fold(fold) => name.parts().is_some_and(|(prefix, one, suffix)| {
                *fold.prefix == *prefix
                    && *fold.suffix == *suffix
                    && fold.spans.iter().any(|span| span.has(&one))
            }),
            Item::Grid(grid) => grid.contains(name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(literals: &[&str], dims: &[&[(u32, u64, u64)]]) -> Grid {
        let dims = dims
            .iter()
            .map(|dim| {
                Dim::new(
                    dim.iter()
                        .map(|&(len, lo, hi)| Span { len, lo, hi })
                        .collect(),
                )
                .unwrap()
            })
            .collect();
        Grid::new(literals.iter().map(|l| (*l).into()).collect(), dims).unwrap()
    }

    fn names(grid: &Grid) -> Vec<String> {
        (0..grid.count)
            .map(|index| {
                let mut out = String::new();
                grid.write_name(index, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn counts_in_slurms_order() {
        let grid = grid(
            &["a", "b", "c", ""],
            &[&[(1, 1, 2)], &[(1, 3, 4)], &[(1, 5, 6)]],
        );
        assert_eq!(
            names(&grid).join(" "),
            "a1b3c5 a1b3c6 a2b3c5 a2b3c6 a1b4c5 a1b4c6 a2b4c5 a2b4c6"
        );
        assert!(names(&grid).iter().all(|name| grid.contains(name)));
        assert!(!grid.contains("a1b3c7") && !grid.contains("a1b3c56") && !grid.contains(""));
    }

    #[test]
    fn digits_between_brackets_are_one_number() {
        let grid = grid(&["n", "", ""], &[&[(1, 1, 2)], &[(1, 3, 4), (2, 10, 11)]]);
        let (run, count) = grid.run_at(2);
        assert_eq!(
            (run.prefix.as_str(), run.span),
            (
                "n",
                Some(Span {
                    len: 3,
                    lo: 110,
                    hi: 111
                })
            )
        );
        assert_eq!(count, 2);
        assert!(grid.contains("n13") && grid.contains("n211") && !grid.contains("n31"));
    }

    #[test]
    fn digits_after_a_bracket_are_single_names() {
        let grid = grid(&["n", "x3"], &[&[(1, 1, 2)]]);
        let (run, count) = grid.run_at(1);
        assert_eq!(
            (run.prefix.as_str(), run.span, count),
            ("n2x", Some(Span::one(1, 3)), 1)
        );
        assert_eq!(grid.runs(), 2);
    }
}
