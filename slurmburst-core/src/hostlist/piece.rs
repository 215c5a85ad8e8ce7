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

/// Calls `each` with every name of the piece, in one buffer, until it says
/// `false`; returns whether it never did.
pub(crate) fn for_each(
    piece: &Piece<'_>,
    buffer: &mut String,
    each: &mut impl FnMut(&str) -> bool,
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

/// The last digits of a number, which change from name to name.
const LOW: usize = 3;
const BLOCK: u64 = 1000;

/// `000` to `999`, one after the other.
static DIGITS: &str = {
    const BYTES: [u8; LOW * BLOCK as usize] = {
        let mut bytes = [0; LOW * BLOCK as usize];
        let mut n = 0;
        while n < BLOCK as usize {
            bytes[LOW * n] = b'0' + (n / 100) as u8;
            bytes[LOW * n + 1] = b'0' + (n / 10 % 10) as u8;
            bytes[LOW * n + 2] = b'0' + (n % 10) as u8;
            n += 1;
        }
        bytes
    };
    match std::str::from_utf8(&BYTES) {
        Ok(digits) => digits,
        Err(_) => "",
    }
};

/// One span: of most names only the last digits are written anew.
fn for_span(
    prefix: &str,
    span: &Span,
    suffix: &str,
    buffer: &mut String,
    each: &mut impl FnMut(&str) -> bool,
) -> bool {
    let digits = span.len.min(LOW as u32) as usize;
    let mut next = Some(span.lo);
    while let Some(lo) = next {
        let block = lo / BLOCK;
        let hi = span.hi.min((block * BLOCK).saturating_add(BLOCK - 1));
        buffer.clear();
        buffer.push_str(prefix);
        if block > 0 || span.len > LOW as u32 {
            push_number(buffer, span.len.saturating_sub(LOW as u32), block);
        }
        let high = buffer.len();
        let from = LOW * (lo % BLOCK) as usize;
        let to = LOW * (hi % BLOCK) as usize + LOW;
        for at in (from..to).step_by(LOW) {
            buffer.truncate(high);
            buffer.push_str(&DIGITS[at + LOW - digits..at + LOW]);
            buffer.push_str(suffix);
            if !each(buffer) {
                return false;
            }
        }
        next = hi.checked_add(1).filter(|lo| *lo <= span.hi);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_in_place() {
        for (len, lo, hi) in [
            (1, 0, 9),
            (2, 8, 11),
            (3, 0, 999),
            (4, 0, 2001),
            (4, 1000, 2001),
            (7, 998, 1002),
            (25, 999, 3000),
            (20, u64::MAX - 2000, u64::MAX),
        ] {
            let span = Span { len, lo, hi };
            let run = Run {
                prefix: "n",
                span: Some(span),
                suffix: "-ib",
            };
            let mut got = Vec::new();
            let mut buffer = String::new();
            assert!(for_each(&Piece::One(run), &mut buffer, &mut |name| {
                got.push(name.to_owned());
                true
            }));
            let width = len as usize;
            let expected: Vec<_> = (lo..=hi).map(|n| format!("n{n:0width$}-ib")).collect();
            assert_eq!(got, expected);
        }
    }
}
