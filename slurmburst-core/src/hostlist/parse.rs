//! Text to list, in one pass and without expanding.

use std::ops::Range;

use super::error::{HostlistError, HostlistErrorKind as Kind, quoted};
use super::item::{Dim, Fold, Grid, Item};
use super::limits::{Dialect, Limits};
use super::list::HostList;
use super::name::{allowed, refused};
use super::range::{Span, last_number, parse_digits, push_span};

type Result<T> = std::result::Result<T, HostlistError>;

/// Reads `text`.
pub(crate) fn parse(text: &str, dialect: Dialect, limits: &Limits) -> Result<HostList> {
    parse_for(text, dialect, limits, true)
}

/// Reads `text` as a Slurm that takes text after a bracket, or does not.
pub(crate) fn parse_for(
    text: &str,
    dialect: Dialect,
    limits: &Limits,
    suffixes: bool,
) -> Result<HostList> {
    let list = HostList::new();
    let mut parser = Parser {
        text,
        dialect,
        limits,
        suffixes,
        ranges: 0,
        list,
    };
    if text.len() > limits.input_bytes {
        let what = format!(
            "a hostlist has at most {} bytes, this one has {}; split it or raise Limits::input_bytes",
            limits.input_bytes,
            text.len()
        );
        let mut from = limits.input_bytes;
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        return Err(HostlistError::new(
            Kind::InputTooLong,
            text,
            from..text.len(),
            0..0,
            what,
        ));
    }
    let mut at = 0;
    while at < text.len() {
        at = if separates(text.as_bytes()[at]) {
            at + 1
        } else {
            parser.item(at)?
        };
    }
    Ok(parser.list)
}

/// The range at the beginning of `text`, if it is as most are, and how long it
/// is: one number, or two of the same length that count up.
fn plain_range(text: &[u8]) -> Option<(Span, usize)> {
    let (lo, len) = short_number(text);
    let rest = text.get(len..)?;
    let (hi, length) = match rest.first()? {
        b'-' => {
            let (hi, high) = short_number(rest.get(1..)?);
            (
                hi,
                if high == len {
                    2 * len + 1
                } else {
                    return None;
                },
            )
        }
        _ => (lo, len),
    };
    let ends = matches!(text.get(length)?, b',' | b']');
    let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
    (ends && lo <= hi).then_some((Span { len, lo, hi }, length))
}

/// The number at the beginning of `text`, if it has no more digits than surely
/// fit 64 bits, and how many it has.
fn short_number(text: &[u8]) -> (u64, usize) {
    let (mut value, mut len) = (0, 0);
    for byte in text.iter().take(18) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u64::from(digit);
        len += 1;
    }
    (value, len)
}

/// What stands between items.
fn separates(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'\t' | b'\n')
}

struct Parser<'a> {
    text: &'a str,
    dialect: Dialect,
    limits: &'a Limits,
    suffixes: bool,
    /// Ranges so far.
    ranges: usize,
    list: HostList,
}

impl Parser<'_> {
    /// An error in the item that begins at `start`.
    fn error<T>(
        &self,
        kind: Kind,
        span: Range<usize>,
        start: usize,
        what: impl Into<String>,
    ) -> Result<T> {
        let mut inside = false;
        let end = self.text.as_bytes()[start..]
            .iter()
            .position(|byte| match byte {
                b'[' => {
                    inside = true;
                    false
                }
                b']' => {
                    inside = false;
                    false
                }
                byte => !inside && separates(*byte),
            });
        let end = end.map_or(self.text.len(), |end| start + end);
        Err(HostlistError::new(kind, self.text, span, start..end, what))
    }

    /// One item; returns where it ends.
    fn item(&mut self, start: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        if let Some(end) = self.plain_name(start) {
            return Ok(end);
        }
        let mut literals: Vec<Range<usize>> = Vec::new();
        let mut brackets: Vec<Vec<Span>> = Vec::new();
        let (mut at, mut literal) = (start, start);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'[' => {
                    if brackets.len() >= self.limits.brackets_per_item {
                        let what = format!(
                            "an item has at most {} brackets; split it or raise Limits::brackets_per_item",
                            self.limits.brackets_per_item
                        );
                        return self.error(Kind::TooManyBrackets, at..at + 1, start, what);
                    }
                    if let (Some(last), Some(end)) = (brackets.last(), literals.last()) {
                        self.leading_bracket(last, end.end..literal, start)?;
                    }
                    literals.push(literal..at);
                    let (spans, end) = self.bracket(at, start)?;
                    brackets.push(spans);
                    (at, literal) = (end, end);
                }
                byte if separates(byte) => break,
                b']' => return self.error(Kind::StrayBracket, at..at + 1, start, refused(']', "")),
                b'!'..=b'~' => at += 1,
                _ => {
                    let c = self.text[at..].chars().next().unwrap_or('\0');
                    let end = at + c.len_utf8();
                    if !allowed(c) {
                        let what = refused(c, &self.text[start..at]);
                        return self.error(Kind::InvalidCharacter, at..end, start, what);
                    }
                    at = end;
                }
            }
        }
        literals.push(literal..at);
        self.name_length(&literals, &brackets, start..at)?;
        self.add(&literals, brackets, start..at)?;
        Ok(at)
    }

    /// Adds the item at `start` if it is as most are, a name that ends with a
    /// number or has none; returns where it ends.
    fn plain_name(&mut self, start: usize) -> Option<usize> {
        let rest = self.text.as_bytes().get(start..)?;
        let (mut value, mut digits, mut end) = (0u64, 0, rest.len());
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                    digits += 1;
                }
                byte if separates(*byte) => {
                    end = at;
                    break;
                }
                b'[' | b']' => return None,
                b'!'..=b'~' => (value, digits) = (0, 0),
                _ => return None,
            }
        }
        if end > self.limits.name_bytes {
            return None;
        }
        let name = self.text.get(start..start + end)?;
        match u32::try_from(digits) {
            // As many as surely fit 64 bits.
            Ok(len @ 1..=18) => self.list.push_numbered(name, Span::one(len, value)),
            _ => self.list.push_text(name, None),
        }
        Some(start + end)
    }

    /// A bracket that another one follows must not have too many names.
    fn leading_bracket(&self, spans: &[Span], place: Range<usize>, start: usize) -> Result<()> {
        let most = self.limits.names_per_leading_bracket;
        if spans.iter().map(Span::count).sum::<u128>() > u128::from(most) {
            let what = format!(
                "a bracket before another one has at most {most} names; split the item or raise Limits::names_per_leading_bracket"
            );
            return self.error(Kind::RangeTooLarge, place, start, what);
        }
        Ok(())
    }

    /// The longest name must not be too long.
    fn name_length(
        &self,
        literals: &[Range<usize>],
        brackets: &[Vec<Span>],
        item: Range<usize>,
    ) -> Result<()> {
        let text: usize = literals.iter().map(Range::len).sum();
        let longest = |spans: &Vec<Span>| spans.iter().map(|s| s.len as usize).max().unwrap_or(0);
        let length = text + brackets.iter().map(longest).sum::<usize>();
        let most = self.limits.name_bytes;
        if length > most {
            let what = format!(
                "a node name has at most {most} bytes, here are {length}; shorten it or raise Limits::name_bytes"
            );
            return self.error(Kind::NameTooLong, item.clone(), item.start, what);
        }
        Ok(())
    }

    /// Adds an item to the list.
    fn add(
        &mut self,
        literals: &[Range<usize>],
        mut brackets: Vec<Vec<Span>>,
        item: Range<usize>,
    ) -> Result<()> {
        let text = self.text;
        let (Some(first), Some(last)) = (literals.first(), literals.last()) else {
            return Ok(());
        };
        if brackets.is_empty() {
            self.list.push_text(&text[item], None);
            return Ok(());
        }
        let suffix = &text[last.clone()];
        if !suffix.is_empty() && !self.suffixes {
            let what =
                "Slurm reads text after a bracket only since 23.11; write the names one by one";
            return self.error(Kind::SuffixUnsupported, last.clone(), item.start, what);
        }
        if let [spans] = brackets.as_mut_slice()
            && !suffix.bytes().any(|b| b.is_ascii_digit())
        {
            let before = &text[first.clone()];
            let from = match last_number(before) {
                (from, to) if to == before.len() => from,
                _ => before.len(),
            };
            let (prefix, digits) = before.split_at(from);
            let joined = match digits {
                "" => Some(std::mem::take(spans)),
                digits => spans.iter().map(|span| span.after(digits)).collect(),
            };
            if let Some(spans) = joined {
                if spans.iter().map(Span::count).sum::<u128>() > u128::from(u64::MAX) {
                    return self.too_many(item);
                }
                self.list.push_fold(Fold {
                    prefix: prefix.into(),
                    suffix: suffix.into(),
                    spans,
                });
                return Ok(());
            }
        }
        let dims: Option<Vec<Dim>> = brackets.into_iter().map(Dim::new).collect();
        let literals = literals
            .iter()
            .map(|range| text[range.clone()].into())
            .collect();
        match dims.and_then(|dims| Grid::new(literals, dims)) {
            Some(grid) => {
                self.list.push_item(Item::Grid(Box::new(grid)));
                Ok(())
            }
            None => self.too_many(item),
        }
    }

    fn too_many(&self, item: Range<usize>) -> Result<()> {
        let what = "more names than 64 bits can count; write fewer or shorter ranges";
        self.error(Kind::TooManyNames, item.clone(), item.start, what)
    }

    /// The bracket that opens at `open`; returns where it ends.
    fn bracket(&mut self, open: usize, start: usize) -> Result<(Vec<Span>, usize)> {
        let inside = open + 1;
        let length = self.text.as_bytes()[inside..]
            .iter()
            .position(|b| matches!(b, b'[' | b']'));
        let Some(close) = length.map(|length| inside + length) else {
            let what = "`[` is never closed; add `]`";
            return self.error(Kind::UnclosedBracket, open..inside, start, what);
        };
        if self.text.as_bytes()[close] == b'[' {
            let what = "`[` inside brackets; close the first with `]` before it";
            return self.error(Kind::NestedBracket, close..close + 1, start, what);
        }
        if close == inside {
            let what = "nothing inside `[]`; write numbers such as `[1-3,7]`";
            return self.error(Kind::EmptyBracket, open..close + 1, start, what);
        }
        let mut spans = Vec::new();
        let (mut at, mut count) = (inside, 0);
        loop {
            let plain = plain_range(&self.text.as_bytes()[at..=close]);
            let end = match plain {
                Some((_, length)) => at + length,
                None => {
                    let length = self.text.as_bytes()[at..close]
                        .iter()
                        .position(|b| *b == b',');
                    length.map_or(close, |length| at + length)
                }
            };
            count += 1;
            self.ranges += 1;
            if count > self.limits.ranges_per_bracket {
                let what = format!(
                    "a bracket has at most {} ranges; split it or raise Limits::ranges_per_bracket",
                    self.limits.ranges_per_bracket
                );
                return self.error(Kind::TooManyRanges, at..end, start, what);
            }
            if self.ranges > self.limits.ranges_per_list {
                let what = format!(
                    "a hostlist has at most {} ranges; split it or raise Limits::ranges_per_list",
                    self.limits.ranges_per_list
                );
                return self.error(Kind::TooManyRanges, at..end, start, what);
            }
            match plain {
                Some((span, _)) if span.hi - span.lo < self.limits.names_per_range => {
                    push_span(&mut spans, span);
                }
                _ => {
                    let (width, lo, hi) = self.range(at..end, start)?;
                    Span::split(width, lo, hi).for_each(|span| push_span(&mut spans, span));
                }
            }
            if end == close {
                return Ok((spans, close + 1));
            }
            at = end + 1;
        }
    }

    /// `NUMBER` or `NUMBER-NUMBER`: the width and both ends.
    fn range(&self, place: Range<usize>, start: usize) -> Result<(u32, u64, u64)> {
        let part = &self.text[place.clone()];
        if part.is_empty() {
            let what = "nothing between two commas inside brackets; take one comma out";
            let caret = place.start.saturating_sub(1)..place.end + 1;
            return self.error(Kind::EmptyRange, caret, start, what);
        }
        let (low, high) = match part.split_once('-') {
            Some((low, high)) => (low, Some(high)),
            None => (part, None),
        };
        let lo = self.number(low, high.is_some(), place.start, &place, start)?;
        let hi = match high {
            None => lo,
            // Slurm reads `1-` as `1`.
            Some("") if self.dialect == Dialect::SlurmCompat => lo,
            Some(high) => self.number(high, false, place.start + low.len() + 1, &place, start)?,
        };
        if lo > hi {
            let what = format!(
                "the range `{}` counts down; write the lower number first",
                quoted(part)
            );
            return self.error(Kind::ReversedRange, place, start, what);
        }
        let most = self.limits.names_per_range;
        if hi - lo >= most {
            let what = format!(
                "the range `{}` has more than {most} names; split it or raise Limits::names_per_range",
                quoted(part)
            );
            return self.error(Kind::RangeTooLarge, place, start, what);
        }
        // A width of more than 32 bits is far above any limit on names.
        Ok((u32::try_from(low.len()).unwrap_or(u32::MAX), lo, hi))
    }

    /// One number of the range at `place`.
    fn number(
        &self,
        text: &str,
        dash_follows: bool,
        at: usize,
        place: &Range<usize>,
        start: usize,
    ) -> Result<u64> {
        let mut digits = text;
        if self.dialect == Dialect::SlurmCompat {
            // Slurm counts blanks and a plus as digits of the width.
            let blank = |c: char| matches!(c, ' ' | '\t'..='\r');
            digits = digits.trim_start_matches(blank);
            digits = digits.strip_prefix('+').unwrap_or(digits);
            if dash_follows {
                digits = digits.trim_end_matches(blank);
            }
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let what = format!(
                "`{}` is neither a number nor a range; write it like `3` or `1-3`",
                quoted(&self.text[place.clone()])
            );
            return self.error(Kind::NotANumber, place.clone(), start, what);
        }
        match parse_digits(digits.as_bytes()) {
            Some(value) => Ok(value),
            None => {
                let what = format!(
                    "the number `{}` is above {}; write the name without brackets",
                    quoted(digits),
                    u64::MAX
                );
                self.error(Kind::NumberTooLarge, at..at + text.len(), start, what)
            }
        }
    }
}
