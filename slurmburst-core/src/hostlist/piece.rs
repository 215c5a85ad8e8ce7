//! Names to give out, from a list or a set.

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

/// Calls `each` with every name of the piece, in one buffer.
pub(crate) fn for_each(
    piece: &Piece<'_>,
    buffer: &mut String,
    each: &mut dyn FnMut(&str) -> bool,
) -> bool {
    match piece {
        Piece::Name(name) => each(name.as_str()),
        Piece::Fold {
            prefix,
            spans,
            suffix,
        } => spans
            .iter()
            .all(|span| for_span(prefix, span, suffix, buffer, each)),
        Piece::One(Run {
            prefix, span: None, ..
        }) => each(prefix),
        Piece::One(Run {
            prefix,
            span: Some(span),
            suffix,
        }) => for_span(prefix, span, suffix, buffer, each),
        Piece::Grid(grid) => (0..grid.count).all(|index| {
            buffer.clear();
            grid.write_name(index, buffer);
            each(buffer)
        }),
    }
}

/// One span: the number is counted up in the text.
fn for_span(
    prefix: &str,
    span: &Span,
    suffix: &str,
    buffer: &mut String,
    each: &mut dyn FnMut(&str) -> bool,
) -> bool {
    for value in span.lo..=span.hi {
        buffer.clear();
        buffer.push_str(prefix);
        push_number(buffer, span.len, value);
        buffer.push_str(suffix);
        if !each(buffer) {
            return false;
        }
    }
    true
}
