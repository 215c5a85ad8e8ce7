//! The short way to write a list: every number folded, suffixes too.

use std::fmt::{self, Write};

use super::item::{Grid, Item};
use super::piece::Piece;
use super::print::push_range;
use super::range::{Span, last_number, push_span};
use super::runs::{Stretch, Stretches};

/// Most brackets and ranges that the default limits read back.
const BRACKETS: usize = 8;
const RANGES: usize = 65_536;

/// Names that are every combination of some numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    /// One more than there are numbers.
    literals: Vec<String>,
    dims: Vec<Vec<Span>>,
    /// The last number is in a bracket even if it is only one: it counts
    /// fastest, so that the one before it does not.
    last_in_bracket: bool,
}

fn single(dim: &[Span]) -> bool {
    matches!(dim, [span] if span.lo == span.hi)
}

impl Block {
    fn of_stretch(stretch: &Stretch<'_>) -> Block {
        let mut block = Block {
            literals: Vec::new(),
            dims: Vec::new(),
            last_in_bracket: false,
        };
        let mut tail = String::new();
        block.split(&stretch.prefix, &mut tail);
        block.literals.push(tail);
        if let Some((first, last)) = stretch.ends {
            block
                .dims
                .push(Span::split(first.0, first.1, last.1).collect());
            block.literals.push(stretch.suffix.clone().into_owned());
        }
        block
    }

    /// Adds the numbers of `text`; what is behind the last goes to `tail`.
    fn split(&mut self, text: &str, tail: &mut String) {
        let mut rest = text;
        let mut found = Vec::new();
        loop {
            let (from, to) = last_number(rest);
            // A number that does not fit stays text, and so does what is
            // before it.
            let Some(span) = Span::of_digits(&rest[from..to]) else {
                break;
            };
            found.push((span, rest[to..].to_owned()));
            rest = &rest[..from];
        }
        let mut literal = rest.to_owned();
        for (span, after) in found.into_iter().rev() {
            self.literals.push(std::mem::replace(&mut literal, after));
            self.dims.push(vec![span]);
        }
        *tail = literal;
    }

    fn of_grid(grid: &Grid) -> Block {
        let dims: Vec<Vec<Span>> = grid.dims.iter().map(|dim| dim.spans.to_vec()).collect();
        let multiple = dims.iter().filter(|dim| !single(dim)).count();
        Block {
            literals: grid
                .literals
                .iter()
                .map(|literal| literal.to_string())
                .collect(),
            last_in_bracket: multiple > 1 && dims.last().is_some_and(|dim| single(dim)),
            dims,
        }
    }

    /// The one number in which the two differ; `Some(None)` if in none.
    fn difference(&self, other: &Block) -> Option<Option<usize>> {
        if self.literals != other.literals
            || self.dims.len() != other.dims.len()
            || self.last_in_bracket != other.last_in_bracket
        {
            return None;
        }
        let mut differing =
            (0..self.dims.len()).filter(|at| self.dims.get(*at) != other.dims.get(*at));
        let one = differing.next();
        differing.next().is_none().then_some(one)
    }

    /// Takes `next` in if the names of both are then still in order.
    fn append(&mut self, next: &Block) -> bool {
        let Some(differing) = self.difference(next) else {
            return false;
        };
        let multiple: Vec<usize> = (0..self.dims.len())
            .filter(|at| {
                differing == Some(*at)
                    || self.dims.get(*at).is_some_and(|dim| !single(dim))
                    || (self.last_in_bracket && at + 1 == self.dims.len())
            })
            .collect();
        // What counts slowest: the last but one of several brackets.
        let slowest = match multiple.as_slice() {
            [] => self.dims.len().checked_sub(1),
            [only] => Some(*only),
            [.., slowest, _] => Some(*slowest),
        };
        let Some(at) = slowest.filter(|at| differing.is_none_or(|d| d == *at)) else {
            return false;
        };
        let (Some(own), Some(more)) = (self.dims.get_mut(at), next.dims.get(at)) else {
            return false;
        };
        if multiple.len() > BRACKETS || own.len() + more.len() > RANGES {
            return false;
        }
        more.iter().for_each(|span| push_span(own, *span));
        true
    }

    fn write<W: Write + ?Sized>(&self, out: &mut W) -> fmt::Result {
        let mut text = String::new();
        for (at, literal) in self.literals.iter().enumerate() {
            out.write_str(literal)?;
            let Some(dim) = self.dims.get(at) else {
                continue;
            };
            text.clear();
            let mut held: Option<(Span, Span)> = None;
            for span in dim {
                match &mut held {
                    Some((_, last)) if last.continues_in(span) => *last = *span,
                    held => {
                        if let Some((first, last)) = held.replace((*span, *span)) {
                            push_range(&mut text, first.len, first.lo, last.hi);
                            text.push(',');
                        }
                    }
                }
            }
            if let Some((first, last)) = held {
                push_range(&mut text, first.len, first.lo, last.hi);
            }
            let last = at + 1 == self.dims.len();
            if single(dim) && !(last && self.last_in_bracket) {
                out.write_str(&text)?;
            } else {
                write!(out, "[{text}]")?;
            }
        }
        Ok(())
    }
}

fn write_all<W: Write + ?Sized>(blocks: &[Block], first: bool, out: &mut W) -> fmt::Result {
    for (at, block) in blocks.iter().enumerate() {
        if !(first && at == 0) {
            out.write_char(',')?;
        }
        block.write(out)?;
    }
    Ok(())
}

/// Writes a list, its order kept.
pub(crate) fn write_list<W: Write + ?Sized>(items: &[Item], out: &mut W) -> fmt::Result {
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = items;
    while let Some(item) = rest.first() {
        // Brackets as they are; everything between them by its names.
        let plain = rest
            .iter()
            .take_while(|item| !matches!(item, Item::Grid(_)))
            .count();
        if let Item::Grid(grid) = item {
            join(&mut blocks, Block::of_grid(grid));
            rest = &rest[1..];
        } else {
            for stretch in Stretches::new(rest[..plain].iter().map(Piece::from)) {
                join(&mut blocks, Block::of_stretch(&stretch));
            }
            rest = &rest[plain..];
        }
    }
    write_all(&blocks, true, out)
}

fn join(blocks: &mut Vec<Block>, block: Block) {
    let mut block = block;
    while let Some(last) = blocks.last_mut() {
        if !last.append(&block) {
            break;
        }
        // The grown one may now join the one before it.
        match blocks.pop() {
            Some(grown) => block = grown,
            None => break,
        }
    }
    blocks.push(block);
}

/// Writes a set, in whatever order is short.
pub(crate) fn write_set<'a, W: Write + ?Sized>(
    pieces: impl Iterator<Item = Piece<'a>>,
    out: &mut W,
) -> fmt::Result {
    let mut blocks: Vec<Block> = Stretches::new(pieces)
        .map(|stretch| Block::of_stretch(&stretch))
        .collect();
    let most = blocks
        .iter()
        .map(|block| block.dims.len())
        .max()
        .unwrap_or(0);
    for at in (0..most).rev() {
        // Those that differ in this number only next to each other.
        let others = |block: &Block| {
            let mut block = block.clone();
            let own = block.dims.get_mut(at).map(std::mem::take);
            (block, own)
        };
        blocks.sort_by_cached_key(others);
        let mut merged: Vec<Block> = Vec::new();
        for block in blocks {
            let joined = merged.last_mut().is_some_and(|last| last.unite(&block, at));
            if !joined {
                merged.push(block);
            }
        }
        for dim in merged.iter_mut().filter_map(|block| block.dims.get_mut(at)) {
            let mut spans = std::mem::take(dim);
            spans.sort_unstable();
            spans.into_iter().for_each(|span| push_span(dim, span));
        }
        blocks = merged;
    }
    blocks.sort();
    write_all(&blocks, true, out)
}

impl Block {
    /// Takes `next` in if they differ in the number `at` only.
    fn unite(&mut self, next: &Block, at: usize) -> bool {
        if self.difference(next) != Some(Some(at)) {
            return false;
        }
        let multiple = (0..self.dims.len())
            .filter(|n| *n == at || self.dims.get(*n).is_some_and(|dim| !single(dim)))
            .count();
        let (Some(own), Some(more)) = (self.dims.get_mut(at), next.dims.get(at)) else {
            return false;
        };
        if multiple > BRACKETS || own.len() + more.len() > RANGES {
            return false;
        }
        more.iter().for_each(|span| push_span(own, *span));
        true
    }
}
