//! Numbers as they are written: a value and how many digits it has.

/// Names that differ in one number only, all of the same length.
///
/// `len` digits, padded with zeros, `lo` to `hi`; so `08-11` is one span and
/// `8-11` is two, `8-9` and `10-11`. Written this way a number has one value
/// and a value one writing, and spans in order (`len`, `lo`) are in Slurm's
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) len: u32,
    pub(crate) lo: u64,
    pub(crate) hi: u64,
}

/// How many digits `n` has.
pub(crate) fn digits(n: u64) -> u32 {
    n.checked_ilog10().map_or(1, |log| log + 1)
}

/// The highest value of `len` digits.
fn top(len: u32) -> u64 {
    10u64.checked_pow(len).map_or(u64::MAX, |n| n - 1)
}

impl Span {
    /// One number.
    pub(crate) fn one(len: u32, value: u64) -> Span {
        Span {
            len,
            lo: value,
            hi: value,
        }
    }

    /// The number that `text` writes, if it is all digits and fits.
    pub(crate) fn of_digits(text: &str) -> Option<Span> {
        let len = u32::try_from(text.len()).ok()?;
        let value = parse_digits(text.as_bytes())?;
        (len > 0).then_some(Span::one(len, value))
    }

    /// The spans of `lo` to `hi` padded to `width`, shortest first.
    pub(crate) fn split(width: u32, lo: u64, hi: u64) -> impl Iterator<Item = Span> {
        let mut next = Some(lo).filter(|lo| *lo <= hi);
        std::iter::from_fn(move || {
            let lo = next?;
            let len = width.max(digits(lo));
            let end = hi.min(top(len));
            next = end.checked_add(1).filter(|lo| *lo <= hi);
            Some(Span { len, lo, hi: end })
        })
    }

    /// How many names.
    pub(crate) fn count(&self) -> u128 {
        u128::from(self.hi - self.lo) + 1
    }

    /// The part from the `skip`th name on, at most `take` names (at least one).
    pub(crate) fn part(&self, skip: u64, take: u64) -> Span {
        let lo = self.lo.saturating_add(skip).min(self.hi);
        let hi = lo.saturating_add(take.saturating_sub(1)).min(self.hi);
        Span {
            len: self.len,
            lo,
            hi,
        }
    }

    /// Whether the first name of `next` is one more than the last of this, as
    /// a range would write it.
    pub(crate) fn continues_in(&self, next: &Span) -> bool {
        self.hi.checked_add(1) == Some(next.lo)
            && (next.len == self.len || (self.hi == top(self.len) && next.len == self.len + 1))
    }

    /// Whether it has the number `value`, written with `len` digits.
    pub(crate) fn has(&self, one: &Span) -> bool {
        self.len == one.len && self.lo <= one.lo && one.hi <= self.hi
    }

    /// The same after `head`, digits too: `[8-9]` after `1` is `[18-19]`.
    pub(crate) fn after(&self, head: &str) -> Option<Span> {
        let head = Span::of_digits(head)?;
        let shift = match 10u64.checked_pow(self.len) {
            Some(power) => head.lo.checked_mul(power)?,
            None if head.lo == 0 => 0,
            None => return None,
        };
        Some(Span {
            len: head.len.checked_add(self.len)?,
            lo: shift.checked_add(self.lo)?,
            hi: shift.checked_add(self.hi)?,
        })
    }
}

/// Adds `span`, growing the last one where it follows in the same length.
pub(crate) fn push_span(spans: &mut Vec<Span>, span: Span) {
    if let Some(last) = spans.last_mut()
        && last.len == span.len
        && last.hi.checked_add(1) == Some(span.lo)
    {
        last.hi = span.hi;
        return;
    }
    spans.push(span);
}

/// The value of ASCII digits, if it fits.
pub(crate) fn parse_digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |n, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d < 10)?;
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Where the last number in `text` begins and ends; both its length if none.
pub(crate) fn last_number(text: &str) -> (usize, usize) {
    let bytes = text.as_bytes();
    match bytes.iter().rposition(u8::is_ascii_digit) {
        None => (text.len(), text.len()),
        Some(last) => {
            let before = &bytes[..last];
            (
                before
                    .iter()
                    .rposition(|b| !b.is_ascii_digit())
                    .map_or(0, |at| at + 1),
                last + 1,
            )
        }
    }
}

/// Appends `value` with `len` digits.
pub(crate) fn push_number(out: &mut String, len: u32, value: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        at -= 1;
    }
    let len = len as usize;
    for _ in digits.len()..len {
        out.push('0');
    }
    let from = at.min(digits.len().saturating_sub(len));
    // Digits are always text.
    out.push_str(std::str::from_utf8(&digits[from..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: u32, value: u64) -> String {
        let mut out = String::new();
        push_number(&mut out, len, value);
        out
    }

    #[test]
    fn writes_numbers() {
        assert_eq!(text(1, 0), "0");
        assert_eq!(text(3, 7), "007");
        assert_eq!(text(25, 1), format!("{:025}", 1));
        assert_eq!(text(20, u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn splits_by_length() {
        let spans: Vec<_> = Span::split(1, 8, 120).collect();
        assert_eq!(
            spans,
            [
                Span {
                    len: 1,
                    lo: 8,
                    hi: 9
                },
                Span {
                    len: 2,
                    lo: 10,
                    hi: 99
                },
                Span {
                    len: 3,
                    lo: 100,
                    hi: 120
                }
            ]
        );
        assert!(spans[0].continues_in(&spans[1]) && spans[1].continues_in(&spans[2]));
        assert_eq!(
            Span::split(2, 8, 11).collect::<Vec<_>>(),
            [Span {
                len: 2,
                lo: 8,
                hi: 11
            }]
        );
        assert_eq!(
            Span::split(1, 0, u64::MAX).map(|s| s.count()).sum::<u128>(),
            1 << 64
        );
    }

    #[test]
    fn padded_does_not_continue_in_other_padding() {
        assert!(!Span::one(2, 9).continues_in(&Span::one(3, 10)));
        assert!(!Span::one(2, 10).continues_in(&Span::one(3, 11)));
        assert!(Span::one(2, 99).continues_in(&Span::one(3, 100)));
        assert!(Span::one(2, 9).continues_in(&Span::one(2, 10)));
        assert!(!Span::one(20, u64::MAX).continues_in(&Span::one(20, 0)));
    }

    #[test]
    fn digits_before_a_bracket_join_it() {
        let span = Span {
            len: 2,
            lo: 8,
            hi: 11,
        };
        assert_eq!(
            span.after("01"),
            Some(Span {
                len: 4,
                lo: 108,
                hi: 111
            })
        );
        assert_eq!(Span::one(2, 1).after("18446744073709551615"), None);
        assert_eq!(Span::one(25, 1).after("0"), Some(Span::one(26, 1)));
        assert_eq!(Span::one(25, 1).after("1"), None);
    }

    #[test]
    fn finds_the_last_number() {
        assert_eq!(last_number("gpu1x02-ib"), (5, 7));
        assert_eq!(last_number("123"), (0, 3));
        assert_eq!(last_number("é"), (2, 2));
    }
}
