//! Names to give out, from a list or a set.

use super::block::{Block, Names, WORTH};
use super::item::{Grid, Item, Run};
use super::name::NodeName;
use super::range::{Span, push_number};

/// A stretch of names to give out.
#[derive(Clone)]
pub(crate) enum Piece<'a> {
    Name(&'a NodeName),
    Fold {
        prefix: &'a str,
        spans: &'a [Span],
        suffix: &'a str,
    },
    One(Run<&'a str>),
    Grid(&'a Grid),
}

impl<'a> From<&'a Item> for Piece<'a> {
    fn from(item: &'a Item) -> Piece<'a> {
        match item {
            Item::Name(name) => Piece::Name(name),
            Item::Fold(fold) => Piece::Fold {
                prefix: &fold.prefix,
                spans: &fold.spans,
                suffix: &fold.suffix,
            },
            Item::Grid(grid) => Piece::Grid(grid),
        }
    }
}

impl Piece<'_> {
    pub(crate) fn count(&self) -> u128 {
        match self {
            Piece::Name(_) => 1,
            Piece::Fold { spans, .. } => spans.iter().map(Span::count).sum(),
            Piece::One(run) => run.span.map_or(1, |span| span.count()),
            Piece::Grid(grid) => u128::from(grid.count),
        }
    }
}

/// Memory that names are written into, used again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    name: String,
    block: Block,
}

/// Calls `each` with every name of the piece, with `before` in front of it,
/// often many names at once, until it says `false`; returns whether it never
/// did.
pub(crate) fn for_names(
    piece: &Piece<'_>,
    before: &str,
    scratch: &mut Scratch,
    each: &mut impl FnMut(Names<'_>) -> bool,
) -> bool {
    match piece {
        Piece::Name(name) => one(before, name.as_str(), scratch, each),
        Piece::Fold {
            prefix,
            spans,
            suffix,
        } => for_spans(before, prefix, spans, suffix, scratch, each),
        Piece::One(Run {
            prefix, span: None, ..
        }) => one(before, prefix, scratch, each),
        Piece::One(Run {
            prefix,
            span: Some(span),
            suffix,
        }) => for_spans(
            before,
            prefix,
            std::slice::from_ref(span),
            suffix,
            scratch,
            each,
        ),
        Piece::Grid(grid) => (0..grid.count).all(|index| {
            let name = &mut scratch.name;
            name.clear();
            name.push_str(before);
            grid.write_name(index, name);
            each(Names::one(name))
        }),
    }
}

fn one(
    before: &str,
    name: &str,
    scratch: &mut Scratch,
    each: &mut impl FnMut(Names<'_>) -> bool,
) -> bool {
    if before.is_empty() {
        return each(Names::one(name));
    }
    scratch.name.clear();
    scratch.name.push_str(before);
    scratch.name.push_str(name);
    each(Names::one(&scratch.name))
}

fn for_spans(
    before: &str,
    prefix: &str,
    spans: &[Span],
    suffix: &str,
    scratch: &mut Scratch,
    each: &mut impl FnMut(Names<'_>) -> bool,
) -> bool {
    let Scratch { name, block } = scratch;
    name.clear();
    name.push_str(before);
    name.push_str(prefix);
    let number = name.len();
    spans.iter().all(|span| {
        if span.hi - span.lo >= WORTH {
            return block.for_span(before, prefix, span, suffix, each);
        }
        (span.lo..=span.hi).all(|value| {
            name.truncate(number);
            push_number(name, span.len, value);
            name.push_str(suffix);
            each(Names::one(name))
        })
    })
}
