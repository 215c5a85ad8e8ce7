//! What is wrong with a hostlist, where, and what to do about it.

use std::fmt;
use std::ops::Range;

/// What kind of thing is wrong.
///
/// New kinds may be added, so a `match` needs a `_` arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostlistErrorKind {
    /// A name of no bytes.
    EmptyName,
    /// A character that no node name can have.
    InvalidCharacter,
    /// A name longer than the limit.
    NameTooLong,
    /// `[` without `]`.
    UnclosedBracket,
    /// `]` without `[`.
    StrayBracket,
    /// `[` inside brackets.
    NestedBracket,
    /// `[]`.
    EmptyBracket,
    /// Two commas with nothing between them inside brackets, or one at an end.
    EmptyRange,
    /// Something inside brackets that is neither `NUMBER` nor `NUMBER-NUMBER`.
    NotANumber,
    /// A number in brackets above 18446744073709551615.
    NumberTooLarge,
    /// A range that counts down.
    ReversedRange,
    /// A range, or a bracket, of more names than the limit.
    RangeTooLarge,
    /// More brackets in one item than the limit.
    TooManyBrackets,
    /// More ranges in one bracket or in the whole list than the limit.
    TooManyRanges,
    /// More names than the limit, or than can be counted.
    TooManyNames,
    /// A longer text than the limit.
    InputTooLong,
    /// Text after a bracket, which Slurm cannot read before 23.11.
    SuffixUnsupported,
}

/// Why a text is not a hostlist, or a name not a node name.
///
/// `Display` is one line that names the item and its place and says what to
/// do. [`render`](HostlistError::render) adds the text with a caret under the
/// place.
///
/// ```
/// use slurmburst_core::hostlist::{HostList, HostlistErrorKind};
///
/// let error = "gpu[1-2],n[7-3]".parse::<HostList>().unwrap_err();
/// assert_eq!(error.kind(), HostlistErrorKind::ReversedRange);
/// assert_eq!(error.span(), 11..14);
/// assert_eq!(error.item(), "n[7-3]");
/// assert_eq!(
///     error.render(),
///     "`n[7-3]` at byte 11: the range `7-3` counts down; write the lower number first\n\
///      | gpu[1-2],n[7-3]\n\
///      |            ^^^"
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HostlistError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: HostlistErrorKind,
    span: Range<usize>,
    item: String,
    what: String,
    line: String,
    caret: usize,
    width: usize,
}

/// Longest part of an item that a message quotes, in characters.
const QUOTED: usize = 60;
/// Characters shown on each side of the place.
const AROUND: usize = 40;

impl HostlistError {
    /// An error at `span` of `text`, in the item at `item`.
    pub(crate) fn new(
        kind: HostlistErrorKind,
        text: &str,
        span: Range<usize>,
        item: Range<usize>,
        what: impl Into<String>,
    ) -> HostlistError {
        let item = text.get(item).unwrap_or_default();
        let (line, caret, width) = excerpt(text, &span);
        HostlistError(Box::new(Inner {
            kind,
            span,
            item: item.to_owned(),
            what: what.into(),
            line,
            caret,
            width,
        }))
    }

    /// What kind of thing is wrong.
    #[must_use]
    pub fn kind(&self) -> HostlistErrorKind {
        self.0.kind
    }

    /// Where, in bytes of the text that was read.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }

    /// The whole item (what stands between two commas) that the place is in.
    #[must_use]
    pub fn item(&self) -> &str {
        &self.0.item
    }

    /// The message, the text around the place, and a caret under it.
    #[must_use]
    pub fn render(&self) -> String {
        let inner = &self.0;
        if inner.line.is_empty() {
            return self.to_string();
        }
        format!(
            "{self}\n| {}\n| {}{}",
            inner.line,
            " ".repeat(inner.caret),
            "^".repeat(inner.width)
        )
    }
}

impl fmt::Display for HostlistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if !inner.item.is_empty() {
            write!(
                f,
                "`{}` at byte {}: ",
                quoted(&inner.item),
                inner.span.start
            )?;
        }
        f.write_str(&inner.what)
    }
}

impl fmt::Debug for HostlistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostlistError")
            .field("kind", &self.0.kind)
            .field("span", &self.0.span)
            .field("message", &format_args!("{self}"))
            .finish()
    }
}

impl std::error::Error for HostlistError {}

/// `text`, short enough for one line and with nothing that moves a cursor.
pub(crate) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(QUOTED).map(visible).collect();
    if text.chars().nth(QUOTED).is_some() {
        out.push('…');
    }
    out
}

/// Control characters as their pictures, so that one character stays one wide.
fn visible(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        c if c.is_control() => '\u{fffd}',
        // Marks that reorder the line around them.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

/// The text around `span`, with the caret's column and width in it.
fn excerpt(text: &str, span: &Range<usize>) -> (String, usize, usize) {
    let (Some(before), Some(rest)) = (text.get(..span.start), text.get(span.start..)) else {
        return (String::new(), 0, 1);
    };
    let marked = text.get(span.clone()).unwrap_or_default();
    let width = marked.chars().take(AROUND).count().max(1);
    let caret = before.chars().rev().take(AROUND).count();
    let from = before
        .char_indices()
        .rev()
        .nth(AROUND - 1)
        .map_or(0, |(at, _)| at);
    let left = before.get(from..).unwrap_or_default();
    let line = left
        .chars()
        .chain(rest.chars().take(width + AROUND))
        .map(visible)
        .collect();
    (line, caret, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_the_surroundings_of_a_long_text() {
        let text = format!("{}[3-1]{}", "a".repeat(5000), "b".repeat(5000));
        let error = HostlistError::new(
            HostlistErrorKind::ReversedRange,
            &text,
            5001..5004,
            0..text.len(),
            "the range counts down",
        );
        let shown = error.render();
        assert!(shown.len() < 600, "{shown}");
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[1].find("3-1"), lines[2].find('^'));
    }

    #[test]
    fn hides_what_moves_a_cursor() {
        let text = "n\u{1b}[1\u{202e}m";
        let error = HostlistError::new(
            HostlistErrorKind::InvalidCharacter,
            text,
            1..2,
            0..text.len(),
            "x",
        );
        let shown = error.render();
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
            "{shown}"
        );
    }

    #[test]
    fn survives_a_place_outside_the_text() {
        let error = HostlistError::new(HostlistErrorKind::EmptyName, "", 5..9, 3..4, "empty");
        assert_eq!(error.render(), "empty");
    }

    #[test]
    fn is_one_word() {
        assert_eq!(size_of::<HostlistError>(), size_of::<usize>());
    }
}
