//! A list as the longest runs of names that follow each other.
//!
//! Which runs there are depends on the names alone, so two lists are the same
//! if their runs are.

use std::borrow::Cow;

use super::item::Run;
use super::piece::Piece;
use super::range::Span;

/// The runs of some pieces, one per range.
pub(crate) struct Runs<'a, I> {
    pieces: I,
    piece: Option<Piece<'a>>,
    /// Spans, or names of a grid, that have been given out.
    at: u64,
}

impl<'a, I: Iterator<Item = Piece<'a>>> Runs<'a, I> {
    pub(crate) fn new(pieces: I) -> Runs<'a, I> {
        Runs {
            pieces,
            piece: None,
            at: 0,
        }
    }
}

fn borrowed<'a>(run: &Run<&'a str>) -> Run<Cow<'a, str>> {
    Run {
        prefix: run.prefix.into(),
        span: run.span,
        suffix: run.suffix.into(),
    }
}

impl<'a, I: Iterator<Item = Piece<'a>>> Iterator for Runs<'a, I> {
    type Item = Run<Cow<'a, str>>;

    fn next(&mut self) -> Option<Run<Cow<'a, str>>> {
        loop {
            let at = self.at;
            match &self.piece {
                None => {}
                Some(Piece::Name(name)) if at == 0 => {
                    self.at = 1;
                    return Some(borrowed(&Run::of_name(name.as_str())));
                }
                Some(Piece::One(run)) if at == 0 => {
                    self.at = 1;
                    return Some(borrowed(run));
                }
                Some(Piece::Fold {
                    prefix,
                    spans,
                    suffix,
                }) => {
                    let index = usize::try_from(at).unwrap_or(usize::MAX);
                    if let Some(span) = spans.get(index) {
                        self.at = at + 1;
                        return Some(borrowed(&Run {
                            prefix,
                            span: Some(*span),
                            suffix,
                        }));
                    }
                }
                Some(Piece::Grid(grid)) if at < grid.count => {
                    let (run, count) = grid.run_at(at);
                    self.at = at + count;
                    return Some(Run {
                        prefix: run.prefix.into(),
                        span: run.span,
                        suffix: run.suffix.into(),
                    });
                }
                Some(_) => {}
            }
            self.piece = Some(self.pieces.next()?);
            self.at = 0;
        }
    }
}

/// A longest run: from the first of one span to the last of another (the same,
/// or a later one where the numbers get longer).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stretch<'a> {
    pub(crate) prefix: Cow<'a, str>,
    /// Lengths and values of the first and the last number.
    pub(crate) ends: Option<((u32, u64), (u32, u64))>,
    pub(crate) suffix: Cow<'a, str>,
}

impl Stretch<'_> {
    fn last(&self) -> Option<Span> {
        self.ends.map(|(_, (len, value))| Span::one(len, value))
    }
}

/// The longest runs.
pub(crate) struct Stretches<'a, I> {
    runs: Runs<'a, I>,
    held: Option<Stretch<'a>>,
}

impl<'a, I: Iterator<Item = Piece<'a>>> Stretches<'a, I> {
    pub(crate) fn new(pieces: I) -> Stretches<'a, I> {
        Stretches {
            runs: Runs::new(pieces),
            held: None,
        }
    }
}

impl<'a, I: Iterator<Item = Piece<'a>>> Iterator for Stretches<'a, I> {
    type Item = Stretch<'a>;

    fn next(&mut self) -> Option<Stretch<'a>> {
        for run in self.runs.by_ref() {
            if let Some(held) = &mut self.held
                && let (Some(last), Some(span)) = (held.last(), run.span)
                && last.continues_in(&span)
                && held.prefix == run.prefix
                && held.suffix == run.suffix
                && let Some((_, end)) = &mut held.ends
            {
                *end = (span.len, span.hi);
                continue;
            }
            let ends = run
                .span
                .map(|span| ((span.len, span.lo), (span.len, span.hi)));
            let next = Stretch {
                prefix: run.prefix,
                ends,
                suffix: run.suffix,
            };
            if let Some(held) = self.held.replace(next) {
                return Some(held);
            }
        }
        self.held.take()
    }
}
