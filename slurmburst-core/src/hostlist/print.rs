//! The two ways to write a list.

use std::fmt::{self, Write};

use super::piece::Piece;
use super::range::push_number;
use super::runs::Stretches;

/// Most names that Slurm reads in one range, and most ranges in one bracket.
const SLURM_RANGE: u64 = 65_536;
/// A longer range is not for Slurm and not cut up for it.
const SLURM_CUT: u64 = 1 << 24;

/// Writes what slurmctld prints: order kept, only a number that ends the name
/// folded, neighbours with the same prefix in one bracket.
pub(crate) fn write_slurm<'a, W: Write + ?Sized>(
    pieces: impl Iterator<Item = Piece<'a>>,
    out: &mut W,
) -> fmt::Result {
    let mut bracket = Bracket {
        out,
        first: true,
        open: None,
        text: String::new(),
    };
    for stretch in Stretches::new(pieces) {
        match stretch.ends {
            None => bracket.alone(&[&stretch.prefix])?,
            Some(ends) if stretch.suffix.is_empty() => bracket.range(&stretch.prefix, ends)?,
            Some((first, last)) => {
                let mut digits = String::new();
                for value in first.1..=last.1 {
                    digits.clear();
                    push_number(&mut digits, first.0, value);
                    bracket.alone(&[&stretch.prefix, &digits, &stretch.suffix])?;
                }
            }
        }
    }
    bracket.close()
}

type Number = (u32, u64);

struct Bracket<'w, W: ?Sized> {
    out: &'w mut W,
    first: bool,
    /// The prefix that further ranges can join, and how many it has.
    open: Option<(String, usize)>,
    /// The only range so far, not yet written as it may need no bracket.
    text: String,
}

impl<W: Write + ?Sized> Bracket<'_, W> {
    fn comma(&mut self) -> fmt::Result {
        if std::mem::take(&mut self.first) {
            Ok(())
        } else {
            self.out.write_char(',')
        }
    }

    fn close(&mut self) -> fmt::Result {
        match self.open.take() {
            None => Ok(()),
            // One number needs no bracket.
            Some((_, 1)) if !self.text.contains('-') => self.out.write_str(&self.text),
            Some((_, 1)) => write!(self.out, "[{}]", self.text),
            Some(_) => self.out.write_char(']'),
        }
    }

    /// A name that nothing joins.
    fn alone(&mut self, parts: &[&str]) -> fmt::Result {
        self.close()?;
        self.comma()?;
        parts.iter().try_for_each(|part| self.out.write_str(part))
    }

    /// A range, in as many parts as Slurm needs to read it.
    fn range(&mut self, prefix: &str, (first, last): (Number, Number)) -> fmt::Result {
        let (mut lo, mut hi) = (first.1, last.1);
        // Slurm cannot count up to the highest number.
        let highest = hi == u64::MAX && lo < hi;
        if highest {
            hi -= 1;
        }
        let step = if hi - lo < SLURM_CUT {
            SLURM_RANGE
        } else {
            u64::MAX
        };
        loop {
            let end = hi.min(lo.saturating_add(step - 1));
            self.part(prefix, first.0, lo, end)?;
            match end.checked_add(1) {
                Some(next) if next <= hi => lo = next,
                _ => break,
            }
        }
        if highest {
            self.part(prefix, first.0, u64::MAX, u64::MAX)
        } else {
            Ok(())
        }
    }

    fn part(&mut self, prefix: &str, len: u32, lo: u64, hi: u64) -> fmt::Result {
        match &mut self.open {
            Some((own, count)) if own == prefix && (*count as u64) < SLURM_RANGE => {
                *count += 1;
                let first = std::mem::take(&mut self.text);
                if *count == 2 {
                    write!(self.out, "[{first}")?;
                }
                self.out.write_char(',')?;
                push_range(&mut self.text, len, lo, hi);
                self.out.write_str(&self.text)
            }
            _ => {
                self.close()?;
                self.comma()?;
                self.out.write_str(prefix)?;
                self.open = Some((prefix.to_owned(), 1));
                self.text.clear();
                push_range(&mut self.text, len, lo, hi);
                Ok(())
            }
        }
    }
}

/// `lo` or `lo-hi`, padded to `len`.
pub(crate) fn push_range(out: &mut String, len: u32, lo: u64, hi: u64) {
    push_number(out, len.max(super::range::digits(lo)), lo);
    if lo < hi {
        out.push('-');
        push_number(out, len.max(super::range::digits(hi)), hi);
    }
}
